"""How busy the market usually is at a time of its session: what makes one hole worth more.

Busy is counted in messages (orders added, changed and cancelled, and trades) of the stored windows
of the primary length, at the same time after the open on the newest earlier sessions. What lies
beside a hole tells less: the stream may have begun behind it, and the open is not like the noon.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy.engine import Engine
from sqlmodel import Session, col, func, select

from config.settings import Settings
from ifd.sessions import Session as MarketSession
from models.market import InstrumentRow, PressureWindowRow
from runtime.gap_scan import session_calendar

SESSIONS: Final = 3
"""So many earlier sessions are looked at: enough to tell noon from the open, quick to read."""


class Activity:
    """Messages that are to be expected in a time of one session; each bucket is read once."""

    def __init__(
        self, settings: Settings, engine: Engine, market: MarketSession, *, now_ns: int
    ) -> None:
        self._engine = engine
        self._market = market
        params = settings.engine_params()
        self._bucket_ns = params.baseline.bucket_ns
        self._window_ns = params.windows.length_ns
        self._fingerprint = params.fingerprint()
        names = (*settings.feed.parents, *settings.feed.futures)
        self._assets = sorted({name.partition(".")[0] for name in names})
        calendar = session_calendar(settings, now_ns)
        with Session(engine) as session:
            found = (calendar.session_on(date) for date in self._dates(session))
            self._earlier = [each for each in found if each is not None]
        self._known: dict[tuple[int, frozenset[str]], int] = {}

    def expected(self, start_ns: int, end_ns: int, *, symbols: Iterable[str] = ()) -> int | None:
        """Return the messages of `start_ns <= ts < end_ns`, of some raw symbols or of the shard.

        None when no earlier session is known.
        """
        if not self._earlier:
            return None
        chosen, open_ns, size = frozenset(symbols), self._market.open_ns, self._bucket_ns
        total = 0
        for bucket in range((start_ns - open_ns) // size, -(-(end_ns - open_ns) // size)):
            first_ns = open_ns + bucket * size
            shared_ns = min(end_ns, first_ns + size) - max(start_ns, first_ns)
            total += self._messages(bucket, chosen) * shared_ns // size
        return total // len(self._earlier)

    def _messages(self, bucket: int, symbols: frozenset[str]) -> int:
        key = bucket, symbols
        if key not in self._known:
            with Session(self._engine) as session:
                self._known[key] = sum(
                    self._count(session, each, bucket, symbols) for each in self._earlier
                )
        return self._known[key]

    def _count(
        self, session: Session, market: MarketSession, bucket: int, symbols: frozenset[str]
    ) -> int:
        first_ns = market.open_ns + bucket * self._bucket_ns
        window, instrument = PressureWindowRow, InstrumentRow
        query = select(func.coalesce(func.sum(col(window.messages)), 0)).where(
            window.session_date == market.date,
            col(window.window_start) >= first_ns,
            col(window.window_start) < first_ns + self._bucket_ns,
            col(window.window_end) - col(window.window_start) == self._window_ns,
            window.params_fingerprint == self._fingerprint,
        )
        if symbols:
            query = query.where(col(window.raw_symbol).in_(sorted(symbols)))
        else:
            listed = select(instrument.instrument_id).where(
                instrument.session_date == market.date, col(instrument.asset).in_(self._assets)
            )
            query = query.where(col(window.instrument_id).in_(listed))
        return int(session.exec(query).one())

    def _dates(self, session: Session) -> list[str]:
        query = (
            select(PressureWindowRow.session_date)
            .where(PressureWindowRow.session_date < self._market.date)
            .distinct()
            .order_by(col(PressureWindowRow.session_date).desc())
            .limit(SESSIONS)
        )
        return list(session.exec(query))
