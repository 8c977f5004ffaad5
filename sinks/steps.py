"""Steps done one after the other on a thread of their own, so that the caller is not held.

A step that fails keeps its place and everything behind it: the caller learns of it at its next
call, and with that call all of them are begun again. Whoever puts steps must therefore make each
of them leave things as they were when it fails.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


@dataclasses.dataclass(slots=True)
class _Step:
    do: Callable[[], None]
    size: int
    done: Future[bool]


class Steps:
    """The steps that are not done yet; every method is called from one thread.

    Parameters
    ----------
    limit : int
        How much, by the sizes given to `put`, may wait before `wait_for_room` holds the caller.
    """

    def __init__(self, name: str, *, limit: int) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting: deque[_Step] = deque()
        self._size = 0
        self._limit = limit
        self._failed = False

    def put(self, do: Callable[[], None], size: int = 0) -> None:
        """Add a step behind all others."""
        self._waiting.append(_Step(do, size, self._executor.submit(self._run, do)))
        self._size += size

    def settle(self) -> None:
        """Take note of what is done.

        Raises
        ------
        Exception
            What a step raised. It and those behind it are begun again.
        """
        while self._waiting and self._waiting[0].done.done():
            error = self._waiting[0].done.exception()
            if error is not None:
                self._begin_again()
                raise error
            self._size -= self._waiting.popleft().size

    def wait_for_room(self) -> None:
        """Wait until no more than the limit is outstanding.

        Raises
        ------
        Exception
            As `settle`.
        """
        self.settle()
        while self._size > self._limit:
            self._await_first()

    def wait(self) -> None:
        """Wait until every step is done.

        Raises
        ------
        Exception
            As `settle`.
        """
        while self._waiting:
            self._await_first()

    def end(self) -> None:
        """End the thread; to be called after `wait`."""
        self._executor.shutdown()

    def _await_first(self) -> None:
        self._waiting[0].done.exception()  # waits; settle raises it
        self.settle()

    def _begin_again(self) -> None:
        for step in self._waiting:
            step.done.exception()  # those behind a failure return at once
        self._failed = False
        for step in self._waiting:
            step.done = self._executor.submit(self._run, step.do)

    def _run(self, do: Callable[[], None]) -> bool:
        """Do a step, or nothing after a failure; return True when it was done."""
        if self._failed:
            return False
        self._failed = True
        do()
        self._failed = False
        return True
