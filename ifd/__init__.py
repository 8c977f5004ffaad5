"""Institutional flow detection: the engine.

Pure and deterministic: no database, no orchestrator, no web. Records go in, windows, bars and
signals come out; the same records give the same signals to the last bit, live or replayed.
"""

__version__ = "0.1.0"
