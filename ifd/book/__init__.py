"""The order books of all instruments, order by order: compiled, in flat arrays."""
