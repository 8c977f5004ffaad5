"""A process whose reader is gone goes on: what it says then goes nowhere.

Standard output is often a pipe into the parent (a Prefect worker reads those of its flows). After
the parent's death every write fails, and rich's console ends the process on the first one.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Sequence
from typing import Final

STANDARD_OUTPUTS: Final = (1, 2)


def outlive_reader(descriptors: Sequence[int] = STANDARD_OUTPUTS) -> threading.Thread:
    """Turn each pipe to the null device as soon as nobody reads it; return the thread that does.

    Files and terminals among the descriptors are left as they are. It sleeps in the kernel until
    something happens.
    """
    watching = threading.Thread(target=_watch, args=(tuple(descriptors),), daemon=True)
    watching.start()
    return watching


def _watch(descriptors: tuple[int, ...]) -> None:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, 0)  # errors and hang-ups are told unasked
    left = set(descriptors)
    while left:
        for descriptor, _event in poll.poll():
            poll.unregister(descriptor)
            left.discard(descriptor)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
