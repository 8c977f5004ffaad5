"""The local exchange: a simulated market, and a gateway that speaks Databento's live protocol.

`python -m simulator` runs the gateway as a process of its own; the project's real client connects
to it unmodified. `simulator.market` makes the records, `simulator.session_files` writes them to
DBN files, `simulator.live` serves either over TCP.
"""
