"""What listens to the engine: the tables, the archive, and alerts."""
