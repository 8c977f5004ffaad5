"""Four processes that book the live feed of the same day at the same moment: `bookkeepers.py URL`.

They are forked from one that has imported everything; half of them have a subscription, half pay by
the byte.
"""

import os
import sys

from config.settings import load_settings
from models.base import make_engine
from runtime.costs.streaming import book_streaming

WORKERS = 4
NOON_NS = 1_795_780_800_000_000_000
ROUNDS = 3


def book(url: str, live: str) -> None:
    os.environ["IFD_COSTS__LIVE"] = live
    settings = load_settings(database_url=url)
    engine = make_engine(url)
    for _ in range(ROUNDS):
        book_streaming(settings, engine, day="2026-11-27", now_ns=NOON_NS)


def main(url: str) -> int:
    os.environ["IFD_COSTS__SUBSCRIPTION_MONTHLY"] = "199"
    os.environ["IFD_SESSION__HOURS"] = "always"  # every weekday; the real calendar takes a second
    wait_end, go_end = os.pipe()
    children = []
    for number in range(WORKERS):
        child = os.fork()
        if child == 0:
            os.close(go_end)
            os.read(wait_end, 1)  # ends when the parent closes its end: all begin at once
            book(url, ("subscription", "usage")[number % 2])
            os._exit(0)
        children.append(child)
    os.close(go_end)
    return max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
