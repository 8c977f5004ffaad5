"""Units of work for flows: thin, idempotent, with small serialisable arguments and no secrets."""
