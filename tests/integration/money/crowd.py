"""Sixteen processes that spend as fast as they can, each to be killed anywhere: `crowd.py URL CAP`.

They are forked from one that has imported everything. Each writes `pid cost` for every purchase
that the provider would have begun to bill.
"""

import os
import random
import signal
import sys

from ifd.clock import ManualClock
from ifd.errors import BudgetExceededError
from models.base import make_engine
from models.budget import Caps, DatabasePurse

WORKERS = 16
NOON_NS = 1_795_780_800_000_000_000


def spend(url: str, seed: int, cap: int) -> None:
    rng = random.Random(seed)
    purse = DatabasePurse(
        make_engine(url), kind="backfill", caps=Caps(cap, cap * 10), clock=ManualClock(NOON_NS)
    )
    refused = 0
    while refused < 5:
        fingerprint, quote = f"{rng.getrandbits(256):064x}", rng.randint(1, 400_000)
        try:
            purse.reserve(fingerprint, quote)
        except BudgetExceededError:
            refused += 1
            continue
        cost = rng.randint(quote // 2, quote)
        os.write(1, f"{os.getpid()} {cost}\n".encode())
        purse.settle(fingerprint, cost, cost)


def main(url: str, cap: int) -> int:
    wait_end, go_end = os.pipe()
    children = []
    for seed in range(WORKERS):
        child = os.fork()
        if child == 0:
            os.close(go_end)
            os.read(wait_end, 1)  # ends when the parent closes its end: all begin at once
            spend(url, seed, cap)
            os._exit(0)
        children.append(child)
    os.close(go_end)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return 0 if set(codes) <= {0, -signal.SIGKILL} else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
