"""Files that are there as a whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ifd.errors import EnvironmentProblemError


@contextmanager
def whole_file(path: Path) -> Iterator[IO[str]]:
    """Give a text file that becomes `path` when the block ends, and nothing if it fails.

    A path that is no regular file, such as /dev/stdout, is written directly.

    Raises
    ------
    EnvironmentProblemError
        If it cannot be written there.
    """
    try:
        if path.exists() and not path.is_file():
            with path.open("w", encoding="utf-8") as file:
                yield file
            return
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}-", delete=False
        ) as file:
            part = Path(file.name)
            try:
                yield file
                file.flush()
                # A temporary file is private; the result is as readable as any other.
                part.chmod(0o644)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise EnvironmentProblemError(f"{path} cannot be written: {reason}") from error
