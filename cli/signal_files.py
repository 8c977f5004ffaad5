"""Signals as files for other programs: JSON lines, or a table for a spreadsheet."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import orjson

from cli.whole_file import whole_file
from ifd.signals import Signal
from models.signals import SignalRow


def write_signals(path: Path, signals: Iterable[SignalRow]) -> int:
    """Write `signals` to a `.jsonl` or `.csv` file and return how many there were.

    A file of that name is replaced when the new one is whole.

    Raises
    ------
    EnvironmentProblemError
        If the file cannot be written; nothing is left behind.
    """
    write = _write_csv if path.suffix == ".csv" else _write_lines
    with whole_file(path) as file:
        return write(file, signals)


def _write_lines(file: IO[str], signals: Iterable[SignalRow]) -> int:
    written = 0
    for row in signals:
        file.write(orjson.dumps(row.to_signal_json()).decode() + "\n")
        written += 1
    return written


def _write_csv(file: IO[str], signals: Iterable[SignalRow]) -> int:
    names = [field.name for field in dataclasses.fields(Signal)]
    table = csv.DictWriter(file, names, lineterminator="\n")
    table.writeheader()
    written = 0
    for row in signals:
        table.writerow({name: _cell(value) for name, value in row.to_signal_json().items()})
        written += 1
    return written


def _cell(value: Any) -> Any:
    # Any: a column's value; what is not one value becomes JSON in its cell.
    return orjson.dumps(value).decode() if isinstance(value, list | dict) else value
