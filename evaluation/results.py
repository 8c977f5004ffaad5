"""Results on the disk: each file appears as a whole, so that what is there can be trusted."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from evaluation.run import Evaluation


def write_evaluation(found: Evaluation, directory: Path) -> None:
    """Write `scores.json` and `scores.png`."""
    from evaluation.plots import draw

    write_json(directory / "scores.json", found.to_json())
    write_picture(directory / "scores.png", lambda file: draw(found.scores, file))


def write_json(path: Path, body: dict[str, Any]) -> None:
    """Write one JSON object, made to be read."""
    # Any: numbers, names and lists of them.
    write_whole(path, orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def write_picture(path: Path, draw: Callable[[IO[bytes]], None]) -> None:
    """Write what `draw` draws."""
    write_whole(path, drawn(draw))


def drawn(draw: Callable[[IO[bytes]], None]) -> bytes:
    """Return the bytes of a picture."""
    picture = io.BytesIO()
    draw(picture)
    return picture.getvalue()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, whoever else writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(path)
