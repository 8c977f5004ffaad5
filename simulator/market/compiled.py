"""Compilation of the market's inner loop, with its types kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

_P = ParamSpec("_P")
_R = TypeVar("_R")


def compiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Return the function compiled on its first call; the machine code is kept beside its file."""
    # Any type is lost in numba, which has none; what comes out is called as what went in.
    return numba.njit(cache=True, error_model="numpy")(function)
