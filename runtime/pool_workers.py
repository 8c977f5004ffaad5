"""Workers of a process pool, which end with the process that started them.

A pool's worker whose parent was killed waits for its next task for ever, with all it has loaded: a
third of a gigabyte. What it writes appears whole or not at all, so it may be ended at any moment.
"""

from __future__ import annotations

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """End this process when the one that started it is gone: the initializer of every pool."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
