"""The engine's book, tape and windows in plain Python, one object an order.

Nothing that runs imports it: it is what the compiled engine is compared with, field by field, in
tests and benchmarks. A rule is easiest to read here, and is changed here first.
"""
