"""Halts, as the exchange's status records tell them."""

from __future__ import annotations

import databento_dbn as dbn
import pytest

from runtime.trading_status import Halts, TradingStatus


def status(instrument_id: int, action: dbn.StatusAction, at: int = 1) -> dbn.StatusMsg:
    return dbn.StatusMsg(1, instrument_id, at, at, action)


@pytest.mark.parametrize(
    "action", [dbn.StatusAction.HALT, dbn.StatusAction.PAUSE, dbn.StatusAction.SUSPEND], ids=str
)
def test_an_instrument_is_halted_until_it_trades_again(action: dbn.StatusAction) -> None:
    trading = TradingStatus()

    trading.heed(status(7, action))
    trading.heed(status(7, action))
    trading.heed(status(8, action))
    assert trading.halted == 2

    trading.heed(status(7, dbn.StatusAction.TRADING))
    assert trading.halted == 1


def test_what_is_no_halt_changes_nothing() -> None:
    trading = TradingStatus()

    trading.heed(status(7, dbn.StatusAction.QUOTING))
    trading.heed(status(7, dbn.StatusAction.TRADING))
    trading.heed(status(8, dbn.StatusAction.HALT))
    trading.heed(status(8, dbn.StatusAction.QUOTING))

    assert trading.halted == 1


def test_a_session_remembers_when_each_instrument_was_stopped() -> None:
    halts = Halts()

    halts.heed(status(7, dbn.StatusAction.TRADING, at=20))
    halts.heed(status(7, dbn.StatusAction.HALT, at=10))
    halts.heed(status(7, dbn.StatusAction.QUOTING, at=15))

    assert [halts.is_halted(7, ts_ns) for ts_ns in (9, 10, 19, 20)] == [False, True, True, False]
    assert not halts.is_halted(8, 15)
