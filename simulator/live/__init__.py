"""A gateway that speaks Databento's live TCP protocol, so that the real client connects unmodified.

`control` is the text half of the protocol, `messages` the binary half, `session` one client,
`gateway` the server; what it serves is `recorded` in files, or the `simulated` market.
"""

from simulator.live.control import DEFAULT_KEY, KeyRing
from simulator.live.gateway import LiveGateway
from simulator.live.recorded import FileSource
from simulator.live.simulated import SimulatedSource
from simulator.live.sources import RecordSource

__all__ = [
    "DEFAULT_KEY",
    "FileSource",
    "KeyRing",
    "LiveGateway",
    "RecordSource",
    "SimulatedSource",
]
