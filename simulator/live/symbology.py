"""Which instruments a subscription means: parents, raw symbols, ids, the front future."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import databento_dbn as dbn

ALL_SYMBOLS: Final = "ALL_SYMBOLS"
_SUFFIX_OF_CLASS: Final = {
    "F": "FUT", "S": "FUT", "C": "OPT", "P": "OPT", "T": "OPT", "M": "OPT", "B": "OPT",
}  # fmt: skip
"""Parent of each instrument class: spreads belong to the product they are made of."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """One instrument that a symbol of a subscription stands for."""

    instrument_id: int
    asked: str
    raw_symbol: str


class Symbology:
    """The instruments a gateway serves, under every name a client may use.

    Parameters
    ----------
    definitions : iterable of InstrumentDefMsg
        A later definition of an id replaces an earlier one.
    names : mapping of str to int
        Raw symbols known without a definition, from the header of a file.
    """

    def __init__(
        self,
        definitions: Iterable[dbn.InstrumentDefMsg],
        names: Mapping[str, int] | None = None,
    ) -> None:
        self._names = {ident: symbol for symbol, ident in (names or {}).items()}
        parents: dict[int, str] = {}
        futures: dict[str, list[tuple[int, int]]] = {}
        for definition in definitions:
            ident = definition.instrument_id
            kind = str(definition.instrument_class)
            self._names[ident] = definition.raw_symbol
            parents[ident] = f"{definition.asset}.{_SUFFIX_OF_CLASS.get(kind, kind)}"
            if kind == "F":
                futures.setdefault(definition.asset, []).append((definition.expiration, ident))
        self._by_parent: dict[str, list[int]] = {}
        for ident, parent in parents.items():
            self._by_parent.setdefault(parent, []).append(ident)
        self._by_symbol = {symbol: ident for ident, symbol in self._names.items()}
        self._front = {f"{asset}.c.0": min(listed)[1] for asset, listed in futures.items()}

    def __len__(self) -> int:
        return len(self._names)

    def resolve(self, symbols: Iterable[str], stype_in: str) -> tuple[list[Resolved], list[str]]:
        """Return the instruments that `symbols` mean, and the symbols that mean none."""
        found: dict[int, Resolved] = {}
        unknown: list[str] = []
        for symbol in symbols:
            idents = self._idents(symbol, stype_in)
            if not idents:
                unknown.append(symbol)
            for ident in idents:
                name = self._names[ident]
                asked = name if symbol == ALL_SYMBOLS else symbol
                found.setdefault(ident, Resolved(ident, asked, name))
        return list(found.values()), unknown

    def _idents(self, symbol: str, stype_in: str) -> list[int]:
        if symbol == ALL_SYMBOLS:
            return list(self._names)
        if stype_in == "parent":
            return self._by_parent.get(symbol, [])
        if stype_in == "instrument_id":
            return [int(symbol)] if symbol.isdecimal() and int(symbol) in self._names else []
        names = self._front if stype_in == "continuous" else self._by_symbol
        ident = names.get(symbol)
        return [] if ident is None else [ident]
