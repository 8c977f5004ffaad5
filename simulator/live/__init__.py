"""A gateway that speaks Databento's live TCP protocol, so that the real client connects unmodified.

`control` is the text half of the protocol, `messages` the binary half, `session` one client,
`gateway` the server; what it serves lies in `arrays`, is `recorded` in files, or is the
`simulated` market. `faults` names what can be made to go wrong, `saboteur` knows when it does,
`breaking` does it.
"""

from simulator.live.arrays import ArraySource
from simulator.live.control import DEFAULT_KEY, KeyRing
from simulator.live.faults import Fault, FaultName, FaultPlan
from simulator.live.gateway import LiveGateway
from simulator.live.limits import UNLIMITED, Limits
from simulator.live.recorded import FileSource
from simulator.live.simulated import SimulatedSource
from simulator.live.sources import RecordSource

__all__ = [
    "DEFAULT_KEY",
    "UNLIMITED",
    "ArraySource",
    "Fault",
    "FaultName",
    "FaultPlan",
    "FileSource",
    "KeyRing",
    "Limits",
    "LiveGateway",
    "RecordSource",
    "SimulatedSource",
]
