"""The web page of the running system: candles, signals and their reasons, read from the database.

A process of its own, downstream of everything: it writes nothing and nothing waits for it.
"""
