"""What is wanted from history, in one normal form; its fingerprint is the key of every ledger.

A large request is cut on a fixed grid of half hours and by parent: two requests that overlap share
the slices they have in common, so what one has paid for the other finds on disk.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from typing import Final

import databento_dbn as dbn

from ifd.errors import InputError
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND, utc_from_ns

SLICE_NS: Final = 30 * NANOS_PER_MINUTE
"""Longer requests for many options are cut off by the provider's load balancer (504)."""
_LARGE: Final = frozenset(
    {"mbo", "mbp-1", "mbp-10", "trades", "tbbo", "bbo-1s", "cmbp-1", "tcbbo", "cbbo-1s"}
)
"""Schemas that have to be cut; definitions, statistics and bars come whole."""
_SCHEMAS: Final = frozenset(str(schema) for schema in dbn.Schema.variants())
_SHORT_FINGERPRINT: Final = 12


@dataclasses.dataclass(frozen=True, slots=True)
class HistoricalRequest:
    """Records of a schema and of symbols in `[start_ns, end_ns)`, ns UTC, at most `limit`.

    The provider filters by `ts_recv` where a schema has it, else by `ts_event`.

    Raises
    ------
    InputError
        If the range is empty, there is no such schema, no symbol, or the limit is below 1.
    """

    schema: str
    symbols: tuple[str, ...]
    start_ns: int
    end_ns: int
    stype_in: str = "parent"
    dataset: str = "GLBX.MDP3"
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.start_ns >= self.end_ns:
            raise InputError(
                f"a request from {utc_from_ns(self.start_ns)} to {utc_from_ns(self.end_ns)} "
                "holds nothing: the start must be before the end"
            )
        if self.schema not in _SCHEMAS:
            raise InputError(f"there is no schema {self.schema!r}: choose one such as mbo")
        if not any(symbol.strip() for symbol in self.symbols):
            raise InputError("a request needs at least one symbol")
        if self.limit is not None and self.limit < 1:
            raise InputError(f"a limit of {self.limit} records asks for nothing")

    def normalised(self) -> HistoricalRequest:
        """Return the same request in its one spelling: symbols in order and each once."""
        symbols = tuple(sorted({symbol.strip() for symbol in self.symbols if symbol.strip()}))
        return dataclasses.replace(self, symbols=symbols)

    def fingerprint(self) -> str:
        """Return the SHA-256, as hexadecimal digits, of what is asked for.

        Two spellings of the same request have the same one.
        """
        facts = dataclasses.asdict(self.normalised())
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def slices(self) -> Iterator[HistoricalRequest]:
        """Give the parts that are fetched one by one, in order of time, then of symbol.

        A limited request is one part: what the limit reaches is not known before.
        """
        whole = self.normalised()
        if self.limit is not None:
            yield whole
            return
        for start_ns, end_ns in whole._spans():
            for symbols in whole._groups():
                yield dataclasses.replace(whole, symbols=symbols, start_ns=start_ns, end_ns=end_ns)

    def file_name(self) -> str:
        """Return the name a finished part is kept under, the same every time."""
        symbol = self.symbols[0] if len(self.symbols) == 1 else f"{len(self.symbols)}-symbols"
        readable = "".join(c if c.isalnum() or c in ".-" else "-" for c in symbol)
        span = f"{_compact(self.start_ns)}_{_compact(self.end_ns)}"
        key = self.fingerprint()[:_SHORT_FINGERPRINT]
        return f"{span}_{readable}_{key}.{self.schema}.dbn.zst"

    def _spans(self) -> Iterator[tuple[int, int]]:
        start_ns = self.start_ns
        while start_ns < self.end_ns:
            end_ns = self.end_ns
            if self.schema in _LARGE:
                end_ns = min(end_ns, (start_ns // SLICE_NS + 1) * SLICE_NS)
            yield start_ns, end_ns
            start_ns = end_ns

    def _groups(self) -> list[tuple[str, ...]]:
        if self.stype_in == "parent" and self.schema in _LARGE:
            return [(symbol,) for symbol in self.symbols]
        return [self.symbols]


def _compact(ns: int) -> str:
    nanos = ns % NANOS_PER_SECOND
    return f"{utc_from_ns(ns):%Y%m%dT%H%M%S}" + (f".{nanos:09d}" if nanos else "")
