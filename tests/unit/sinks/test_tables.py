"""What the engine gives becomes rows: once, together, and not lost when the database is away."""

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, SQLModel, col, func, select

from ifd.clock import ManualClock
from ifd.params import EngineParams
from ifd.pipeline import Output
from ifd.signals import Signal
from ifd.symbols import Instrument
from ifd.windows import Bar, PressureWindow
from models.base import make_engine
from models.market import BarRow, InstrumentRow, PressureWindowRow
from models.operations import ProfileVersionRow
from models.signals import AlertOutboxRow, SignalRow
from sinks.tables import BATCH_ROWS, TableWriter, store_params

NOW_NS = 1_764_000_001_000_000_000


def writer(engine: Engine, *, channel: str | None = "#alerts") -> TableWriter:
    return TableWriter(
        engine,
        run_id=None,
        source="simulated",
        params_fingerprint="feedfacecafebeef",
        alert_channel=channel,
        alert_min_confidence=0.8,
        clock=ManualClock(NOW_NS),
    )


def output(
    *,
    signals: tuple[Signal, ...] = (),
    windows: tuple[PressureWindow, ...] = (),
    bars: tuple[Bar, ...] = (),
) -> Output:
    return Output(signals=list(signals), windows=list(windows), bars=list(bars))


def window(start: int = 0, *, buy_volume: int = 5) -> PressureWindow:
    numbers = {field.name: 0 for field in dataclasses.fields(PressureWindow) if field.type == "int"}
    return PressureWindow(
        **numbers  # type: ignore[arg-type]
        | {
            "instrument_id": 7,
            "window_start": start,
            "window_end": start + 60,
            "session_date": "2026-11-23",
            "raw_symbol": "QN4X6 C25100",
            "buy_volume": buy_volume,
            "mid_open": None,
            "mid_close": 2**40,
        }
    )


def bar(close: int, *, closed: bool = False) -> Bar:
    return Bar(
        instrument_id=9,
        interval_ns=60,
        start_ns=0,
        raw_symbol="NQZ6",
        session_date="2026-11-23",
        open=100,
        high=max(100, close),
        low=min(100, close),
        close=close,
        volume=3,
        trades=2,
        closed=closed,
    )


def count(engine: Engine, table: type[SQLModel]) -> int:
    with Session(engine) as session:
        return session.exec(select(func.count()).select_from(table)).one()


def test_a_sure_signal_is_committed_with_the_alert_owed_for_it(
    engine: Engine, make_signal: Callable[..., Signal]
) -> None:
    tables, signal = writer(engine), make_signal()

    tables.write(output(signals=(signal,)), received_ns=NOW_NS - 5)

    with Session(engine) as session:
        row = session.exec(select(SignalRow)).one()
        alert = session.exec(select(AlertOutboxRow)).one()
    assert row.to_signal_json() == signal.to_json()
    assert (row.source, row.late, row.received_ns, row.committed_ns) == (
        "simulated",
        False,
        NOW_NS - 5,
        NOW_NS,
    )
    assert (alert.signal_id, alert.channel, alert.state) == (signal.signal_id, "#alerts", "pending")
    assert (tables.signals, tables.alerts) == (1, 1)


@pytest.mark.parametrize(
    ("confidence", "late", "channel"),
    [(0.79, False, "#alerts"), (0.95, True, "#alerts"), (0.95, False, None)],
    ids=["not sure enough", "late", "nobody to tell"],
)
def test_some_signals_are_stored_without_an_alert(
    engine: Engine,
    make_signal: Callable[..., Signal],
    confidence: float,
    late: bool,
    channel: str | None,
) -> None:
    tables = writer(engine, channel=channel)

    tables.write(output(signals=(make_signal(confidence=confidence),)), received_ns=None, late=late)

    assert count(engine, SignalRow) == 1
    assert count(engine, AlertOutboxRow) == 0
    assert (tables.signals, tables.alerts) == (1, 0)


def test_a_signal_as_sure_as_the_least_is_alerted(
    engine: Engine, make_signal: Callable[..., Signal]
) -> None:
    writer(engine).write(output(signals=(make_signal(confidence=0.8),)), received_ns=None)

    assert count(engine, AlertOutboxRow) == 1


def test_running_again_over_the_same_stream_changes_nothing(
    engine: Engine, make_signal: Callable[..., Signal]
) -> None:
    given = output(signals=(make_signal(),), windows=(window(),), bars=(bar(101),))
    writer(engine).write(given, received_ns=1)
    again = writer(engine)

    again.write(given, received_ns=2, late=True)
    again.write(given, received_ns=3)
    again.flush()

    with Session(engine) as session:
        assert session.exec(select(SignalRow.received_ns)).one() == 1
    assert count(engine, AlertOutboxRow) == 1
    assert count(engine, PressureWindowRow) == 1
    assert count(engine, BarRow) == 1
    assert (again.signals, again.alerts) == (0, 0)


def test_the_legs_of_one_flow_are_committed_together(
    engine: Engine, make_signal: Callable[..., Signal]
) -> None:
    legs = (make_signal(signal_id="leg 1"), make_signal(signal_id="leg 2", volume=None))

    with pytest.raises(sa.exc.IntegrityError):
        writer(engine).write(output(signals=legs), received_ns=None)

    assert count(engine, SignalRow) == 0
    assert count(engine, AlertOutboxRow) == 0


def test_windows_and_bars_wait_for_a_flush(engine: Engine) -> None:
    tables = writer(engine)
    tables.write(output(windows=(window(0), window(60)), bars=(bar(101), bar(99))), received_ns=1)
    assert count(engine, PressureWindowRow) == 0

    tables.flush()

    with Session(engine) as session:
        starts = session.exec(
            select(PressureWindowRow.window_start).order_by(col(PressureWindowRow.window_start))
        ).all()
        stored = session.exec(select(BarRow)).one()
        fingerprint = session.exec(select(PressureWindowRow.params_fingerprint).distinct()).one()
    assert list(starts) == [0, 60]
    assert fingerprint == "feedfacecafebeef"
    assert (stored.close, stored.low, stored.updated_ns) == (99, 99, NOW_NS)
    assert (tables.windows, tables.bars) == (2, 1)


def test_a_moving_bar_is_written_over(engine: Engine) -> None:
    tables = writer(engine)
    for state in (bar(101), bar(104), bar(97, closed=True)):
        tables.write(output(bars=(state,)), received_ns=1)
        tables.flush()

    with Session(engine) as session:
        stored = session.exec(select(BarRow)).one()
    assert (stored.close, stored.closed) == (97, True)


def test_many_windows_do_not_wait(engine: Engine) -> None:
    tables = writer(engine)

    tables.write(output(windows=tuple(window(start) for start in range(BATCH_ROWS))), received_ns=1)

    assert count(engine, PressureWindowRow) == BATCH_ROWS


def test_a_flush_of_nothing_asks_nothing_of_the_database() -> None:
    writer(make_engine("postgresql://127.0.0.1:1/away")).flush()


def test_what_a_dead_database_refused_is_written_when_it_is_back(
    sqlite_url: str, make_signal: Callable[..., Signal]
) -> None:
    from models.database import upgrade

    upgrade(sqlite_url)
    engine = make_engine(sqlite_url)
    sa.event.listen(
        engine, "connect", lambda file, _: file.execute("PRAGMA busy_timeout=50").close()
    )
    holder = make_engine(sqlite_url)
    tables = writer(engine)

    with holder.connect() as other:
        other.exec_driver_sql("BEGIN EXCLUSIVE")
        with pytest.raises(sa.exc.OperationalError):
            tables.write(output(signals=(make_signal(),), windows=(window(),)), received_ns=1)
        other.rollback()
    tables.flush()

    assert (tables.signals, tables.alerts, tables.windows) == (1, 1, 1)
    assert count(holder, SignalRow) == 1
    assert count(holder, PressureWindowRow) == 1
    engine.dispose()
    holder.dispose()


def test_definitions_are_stored_by_date_and_the_later_one_stands(engine: Engine) -> None:
    def instrument(date: str, symbol: str) -> Instrument:
        return Instrument(
            session_date=date,
            instrument_id=2**32 - 1,
            raw_symbol=symbol,
            asset="NQ",
            instrument_class="C",
            underlying="NQZ6",
            underlying_id=1,
            expiration_ns=2**60,
            strike_price=25_100 * 10**9,
            right="C",
            multiplier=20.0,
            min_price_increment=250_000_000,
            user_defined=False,
        )

    tables = writer(engine)
    tables.define([instrument("2026-11-23", "OLD"), instrument("2026-11-23", "NEW")])
    tables.define([instrument("2026-11-24", "NEXT")])
    tables.define([])

    with Session(engine) as session:
        found = session.exec(
            select(InstrumentRow.session_date, InstrumentRow.raw_symbol).order_by(
                InstrumentRow.session_date
            )
        ).all()
    assert found == [("2026-11-23", "NEW"), ("2026-11-24", "NEXT")]


def test_parameters_are_stored_once(engine: Engine) -> None:
    params = EngineParams(profile="default")

    assert store_params(engine, params, clock=ManualClock(1)) == params.fingerprint()
    store_params(engine, params, clock=ManualClock(2))

    with Session(engine) as session:
        row = session.exec(select(ProfileVersionRow)).one()
    assert row.created_ns == 1
    assert row.params["detection"]["min_volume"] == params.detection.min_volume


def test_two_processes_that_find_the_same_signals_store_them_once(
    engine: Engine, make_signal: Callable[..., Signal]
) -> None:
    found = [output(signals=(make_signal(signal_id=f"signal {n}"),)) for n in range(20)]

    def find_all(tables: TableWriter) -> TableWriter:
        for given in found:
            tables.write(given, received_ns=1)
        return tables

    with ThreadPoolExecutor(3) as processes:
        done = list(processes.map(find_all, [writer(engine) for _ in range(3)]))

    assert sum(tables.signals for tables in done) == 20
    assert sum(tables.alerts for tables in done) == 20
    assert count(engine, AlertOutboxRow) == 20
