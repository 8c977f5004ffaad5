"""Compile the engine's kernels with numba, once per machine and version of their source.

A kernel holds everything it calls, from several files, but numba's cache on disk only looks at the
file a kernel stands in. So the digest of all those files is part of the name it is cached under: an
old kernel is never run for a new source. The cache is `__pycache__` beside the source, in a
read-only checkout the user's cache directory, or wherever `NUMBA_CACHE_DIR` says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from numba import njit

_PACKAGE: Final = Path(__file__).parent
_SOURCES: Final = (
    _PACKAGE / "compiled.py",
    *sorted(_PACKAGE.glob("book/*.py")),
    *sorted(_PACKAGE.glob("windows/*.py")),
    _PACKAGE / "options.py",
    _PACKAGE / "tape.py",
    _PACKAGE / "records" / "layout.py",
    _PACKAGE / "units.py",
)
SOURCE_DIGEST: Final = hashlib.sha256(b"".join(p.read_bytes() for p in _SOURCES)).hexdigest()[:12]

# Any: whatever options numba has. Without its reference counts, which kernels that allocate nothing
# do not need, a row of an array costs no atomic operations: five times the speed.
_WITHOUT_COUNTS: Final[dict[str, Any]] = {"_nrt": False}

# Any: a kernel has whatever arguments it has; mypy sees its Python signature.
_Function = TypeVar("_Function", bound=Callable[..., Any])


def kernel(function: _Function) -> _Function:
    """Compile a function that is called from Python, at its first call; cached on disk."""
    function.__qualname__ = f"{function.__qualname__}_{SOURCE_DIGEST}"
    try:
        return cast(_Function, njit(cache=True, **_WITHOUT_COUNTS)(function))
    except RuntimeError:
        # numba found no directory it may write: compiled anew by every process, never refused.
        return cast(_Function, njit(**_WITHOUT_COUNTS)(function))


def part(function: _Function) -> _Function:
    """Compile a function into the kernels that call it."""
    return cast(_Function, njit(forceinline=True, **_WITHOUT_COUNTS)(function))
