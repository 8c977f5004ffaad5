"""Long-lived processes put together from the parts below them, with no orchestrator inside."""
