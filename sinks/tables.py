"""Write what the engine gives into the database, the bus between our processes.

A signal and the alert owed for it are one transaction, committed before anything else happens;
windows and bars are kept back and written many at a time. Writing the same output twice changes
nothing, so a stream may be run again over what it had already seen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from ifd.clock import Clock
from ifd.params import EngineParams
from models.alerts import queue_alerts, store_signals
from models.base import transaction, upsert
from models.market import BarRow, InstrumentRow, PressureWindowRow
from models.operations import ProfileVersionRow
from models.signals import SignalRow

if TYPE_CHECKING:
    from ifd.pipeline import Output
    from ifd.signals import Signal
    from ifd.symbols import Instrument
    from ifd.windows import Bar, PressureWindow

BATCH_ROWS: Final = 1_000


class TableWriter:
    """Writes one run of the engine; used by one thread.

    Parameters
    ----------
    source : str
        `live`, `simulated` or `replay`.
    alert_channel : str, optional
        Where alerts go; None: no alert is owed to anybody.
    alert_min_confidence : float
        Least confidence (0..1) of a signal that is alerted.

    Notes
    -----
    `signals`, `alerts`, `windows` and `bars` count rows that were new or rewritten.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        run_id: int | None,
        source: str,
        params_fingerprint: str,
        alert_channel: str | None,
        alert_min_confidence: float,
        clock: Clock,
        dataset: str = "GLBX.MDP3",
    ) -> None:
        self._engine = engine
        self._run_id = run_id
        self._source = source
        self._fingerprint = params_fingerprint
        self._alert_channel = alert_channel
        self._alert_min_confidence = alert_min_confidence
        self._clock = clock
        self._dataset = dataset
        # What a failed transaction held stays here, and is written by the next one.
        self._signals: list[tuple[Signal, int | None, bool]] = []
        self._windows: list[PressureWindow] = []
        self._bars: dict[tuple[int, int, int], Bar] = {}
        self.signals = 0
        self.alerts = 0
        self.windows = 0
        self.bars = 0

    def define(self, instruments: Iterable[Instrument]) -> None:
        """Store definitions; a later one of the same id and date replaces the earlier."""
        newest = {(item.session_date, item.instrument_id): item for item in instruments}
        rows = [_columns(item) | {"dataset": self._dataset} for item in newest.values()]
        with transaction(self._engine) as session:
            for first in range(0, len(rows), BATCH_ROWS):
                upsert(session, InstrumentRow, rows[first : first + BATCH_ROWS])

    def write(self, output: Output, *, received_ns: int | None, late: bool = False) -> None:
        """Commit signals with their alerts now; keep windows and bars for `flush`.

        Called for every micro-batch, mostly with nothing in it.

        Parameters
        ----------
        received_ns : int, optional
            When the newest record behind `output` came off the socket, ns UTC; None in replay.
        late : bool
            True while catching up: the signals are stored as late and nobody is alerted.

        Raises
        ------
        sqlalchemy.exc.OperationalError
            If the database is away. Nothing is lost: the next `write` or `flush` writes it.
        """
        self._signals.extend((signal, received_ns, late) for signal in output.signals)
        self._windows.extend(output.windows)
        for bar in output.bars:
            self._bars[bar.instrument_id, bar.interval_ns, bar.start_ns] = bar
        if self._signals:
            self._write_signals()
        if len(self._windows) >= BATCH_ROWS:
            self._write_context()

    def flush(self) -> None:
        """Write everything kept back; the caller does so about four times a second and at the end.

        Raises
        ------
        sqlalchemy.exc.OperationalError
            If the database is away. Nothing is lost: the next call writes it.
        """
        if self._signals:
            self._write_signals()
        if self._windows or self._bars:
            self._write_context()

    def _write_context(self) -> None:
        windows = [
            _columns(window) | {"params_fingerprint": self._fingerprint} for window in self._windows
        ]
        now_ns = self._clock.now_ns()
        bars = [_columns(bar) | {"updated_ns": now_ns} for bar in self._bars.values()]
        with transaction(self._engine) as session:
            upsert(session, PressureWindowRow, windows)
            upsert(session, BarRow, bars)
        self._windows.clear()
        self._bars.clear()
        self.windows += len(windows)
        self.bars += len(bars)

    def _write_signals(self) -> None:
        try:
            stored, alerts = self._commit_signals()
        except sa.exc.IntegrityError:
            # Another process stored one of them between our look and our insert: look again.
            stored, alerts = self._commit_signals()
        self._signals.clear()
        self.signals += stored
        self.alerts += alerts

    def _commit_signals(self) -> tuple[int, int]:
        now_ns = self._clock.now_ns()
        rows = [
            SignalRow.from_signal(
                signal,
                source=self._source,
                committed_ns=now_ns,
                run_id=self._run_id,
                received_ns=received_ns,
                late=late,
            )
            for signal, received_ns, late in self._signals
        ]
        with transaction(self._engine) as session:
            stored = store_signals(session, rows)
            alerts = 0
            if self._alert_channel is not None:
                alerted = [row for row in stored if self._is_alerted(row)]
                alerts = queue_alerts(session, alerted, self._alert_channel, now_ns=now_ns)
        return len(stored), alerts

    def _is_alerted(self, row: SignalRow) -> bool:
        return not row.late and row.confidence >= self._alert_min_confidence


def store_params(engine: Engine, params: EngineParams, *, clock: Clock) -> str:
    """Store the parameters behind a fingerprint once, and return the fingerprint."""
    row = {
        "fingerprint": params.fingerprint(),
        "profile": params.profile,
        "params": dataclasses.asdict(params),
        "created_ns": clock.now_ns(),
    }
    with transaction(engine) as session:
        upsert(session, ProfileVersionRow, [row], update=False)
    return params.fingerprint()


def _columns(fact: Instrument | PressureWindow | Bar) -> dict[str, Any]:
    # Any: each column has its own type. Not dataclasses.asdict: it copies deeply, ten times slower.
    return {field.name: getattr(fact, field.name) for field in dataclasses.fields(fact)}
