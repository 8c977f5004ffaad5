"""Every table of the shared schema, engine and session helpers, and the migrations."""
