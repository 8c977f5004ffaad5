"""Compile the market's inner loop with numba, once per machine and version of its source.

A compiled function holds everything it calls, from several files, but numba's cache on disk only
looks at the file the function stands in. So the digest of all those files is part of the name it is
cached under: old code is never run for a new source.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from numba import njit

_PACKAGE: Final = Path(__file__).parent
_COMPILED: Final = (
    "beats",
    "chain",
    "compiled",
    "definitions",
    "interventions",
    "matching",
    "pricing",
    "quoting",
    "state",
)
_SOURCES: Final = (
    *(_PACKAGE / f"{name}.py" for name in _COMPILED),
    _PACKAGE.parents[1] / "ifd" / "records" / "layout.py",
    _PACKAGE.parents[1] / "ifd" / "units.py",
)
_SOURCE_DIGEST: Final = hashlib.sha256(b"".join(p.read_bytes() for p in _SOURCES)).hexdigest()[:12]
# Any: whatever options numba has. Nothing here allocates, so nothing need be counted.
_OPTIONS: Final[dict[str, Any]] = {"error_model": "numpy", "_nrt": False}

# Any: a function has whatever arguments it has; mypy sees its Python signature.
_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile a function at its first call; the machine code is kept beside its file."""
    function.__qualname__ = f"{function.__qualname__}_{_SOURCE_DIGEST}"
    try:
        return cast(_Function, njit(cache=True, **_OPTIONS)(function))
    except RuntimeError:
        # numba found no directory it may write: compiled anew by every process, never refused.
        return cast(_Function, njit(**_OPTIONS)(function))
