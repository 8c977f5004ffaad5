"""The report against sums and projections worked by hand, and how it is shown."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, select

from config.settings import Settings
from ifd.errors import InputError
from ifd.units import ns_from_datetime
from models.money import BudgetAlarmRow
from models.signals import AlertOutboxRow, NoticeRow
from runtime.costs.figures import CostReport, KindCosts
from runtime.costs.nightly import close_day, queue_digest, reported_day
from runtime.costs.plot import COLOURS, costs_svg
from runtime.costs.report import cost_report, last_day
from runtime.costs.words import cost_markdown, digest, headline

SettingsOf = Callable[..., Settings]
Spend = Callable[..., None]
WEDNESDAY = "2026-11-25"
EVENING_NS = ns_from_datetime(dt.datetime(2026, 11, 25, 23, tzinfo=dt.UTC))
SVG = "{http://www.w3.org/2000/svg}"


def kind(report: CostReport, name: str) -> KindCosts:
    return next(one for one in report.kinds if one.kind == name)


def test_day_week_and_month_are_sums_of_the_ledger(
    settings_of: SettingsOf, engine: Engine, spend: Spend
) -> None:
    # Sunday the 22nd is of the week before; October and tomorrow are of neither sum.
    for day, amount in (
        ("2026-10-31", 1_000_000),
        ("2026-11-02", 2_000_000),
        ("2026-11-22", 4_000_000),
        ("2026-11-23", 8_000_000),
        ("2026-11-25", 16_000_000),
        ("2026-11-26", 32_000_000),
    ):
        spend("backfill", day, amount)

    report = cost_report(settings_of(), engine, day=WEDNESDAY)

    backfill = kind(report, "backfill")
    assert backfill.day_micro_dollars == 16_000_000
    assert backfill.week_micro_dollars == 24_000_000
    assert backfill.month_micro_dollars == 30_000_000
    assert (backfill.day_share, backfill.month_share) == (0.8, 0.15)
    # 30 dollars in 18 trading dates, 2 are left: 30 + 30 * 2 / 18, rounded up.
    assert (report.trading_days, report.trading_days_left) == (20, 2)
    assert backfill.projected_micro_dollars == 33_333_334
    assert report.month_micro_dollars == 30_000_000
    assert [day.day for day in report.days] == [
        "2026-11-02",
        "2026-11-22",
        "2026-11-23",
        "2026-11-25",
    ]


def test_a_subscription_is_projected_to_its_very_price(
    settings_of: SettingsOf, engine: Engine
) -> None:
    settings = settings_of(costs__subscription_monthly="199.01")
    before = cost_report(settings, engine, day=WEDNESDAY)
    close_day(settings, engine, day=WEDNESDAY, now_ns=EVENING_NS)

    after = cost_report(settings, engine, day=WEDNESDAY)

    assert kind(before, "streaming").month_micro_dollars == 0
    assert kind(after, "streaming").month_micro_dollars == 18 * 9_950_500
    for report in (before, after):
        assert kind(report, "streaming").projected_micro_dollars == 199_010_000


def test_before_the_first_trading_date_nothing_is_projected(
    settings_of: SettingsOf, engine: Engine, spend: Spend
) -> None:
    spend("history", "2026-11-01", 5_000_000)  # a Sunday

    report = cost_report(settings_of(), engine, day="2026-11-01")

    assert kind(report, "history").projected_micro_dollars == 5_000_000


def test_days_before_the_month_are_shown_when_asked_for(
    settings_of: SettingsOf, engine: Engine, spend: Spend
) -> None:
    spend("history", "2026-10-30", 5_000_000, "NQ.FUT")
    spend("history", "2026-11-02", 1_000_000, "NQ.OPT")
    spend("backfill", "2026-11-02", 1_000_000, "NQ.FUT")

    report = cost_report(settings_of(), engine, day="2026-11-02", days=4)

    assert [(day.day, day.by_kind) for day in report.days] == [
        ("2026-10-30", {"history": 5_000_000}),
        ("2026-11-02", {"backfill": 1_000_000, "history": 1_000_000}),
    ]
    assert [(one.kind, one.symbols, one.micro_dollars) for one in report.symbols] == [
        ("history", "NQ.FUT", 5_000_000),
        ("backfill", "NQ.FUT", 1_000_000),
        ("history", "NQ.OPT", 1_000_000),
    ]
    assert kind(report, "history").month_micro_dollars == 1_000_000


def test_a_month_that_is_over_is_reported_as_of_its_end() -> None:
    assert last_day("2026-11", today=WEDNESDAY) == WEDNESDAY
    assert last_day("2026-02", today=WEDNESDAY) == "2026-02-28"
    assert last_day("2025-12", today=WEDNESDAY) == "2025-12-31"
    with pytest.raises(InputError, match="2026-12 has not begun"):
        last_day("2026-12", today=WEDNESDAY)
    with pytest.raises(InputError, match="is no day"):
        last_day("soon", today=WEDNESDAY)


def test_a_report_is_of_the_day_whose_evening_it_is_also_when_it_is_late() -> None:
    def of(*moment: int) -> str:
        return reported_day(ns_from_datetime(dt.datetime(*moment, tzinfo=dt.UTC)))  # type: ignore[misc]

    assert of(2026, 11, 25, 22, 59, 59) == "2026-11-25"  # 18:00 EST, a little early
    assert of(2026, 7, 1, 22, 0) == "2026-07-01"  # 18:00 EDT
    assert of(2026, 11, 26, 3, 0) == "2026-11-25"  # 22:00 in New York, after an outage
    assert of(2026, 11, 26, 15, 0) == "2026-11-25"  # the next morning


def test_a_day_that_is_asked_for_may_not_be_still_to_come() -> None:
    assert reported_day(EVENING_NS, asked="2026-11-02") == "2026-11-02"
    with pytest.raises(InputError, match="2026-11-26 is still to come"):
        reported_day(EVENING_NS, asked="2026-11-26")
    with pytest.raises(InputError, match="is no day"):
        reported_day(EVENING_NS, asked="yesterday")


def test_words_tell_what_was_spent_and_what_a_cap_still_has(
    settings_of: SettingsOf, engine: Engine, spend: Spend
) -> None:
    spend("backfill", WEDNESDAY, 16_000_001)

    report = cost_report(settings_of(), engine, day=WEDNESDAY)

    assert headline(report) == (
        "2026-11-25: $16.01 (backfill $16.01); this week $16.01, 2026-11 $16.01, projected $17.78"
    )
    assert "backfill 80 % of the day's cap, 8 % of the month's" in digest(report)
    assert "a subscription whose price nobody told: set costs.subscription_monthly" in (
        digest(report)
    )
    page = cost_markdown(report)
    assert "| backfill | $16.01 | $20.00 | 80 % | $16.01 |" in page
    assert "| backfill | NQ.OPT | 1 | $16.01 |" in page


def test_the_plot_has_a_column_a_day_as_high_as_its_cost(
    settings_of: SettingsOf, engine: Engine, spend: Spend
) -> None:
    spend("backfill", "2026-11-24", 5_000_000)
    spend("history", "2026-11-25", 15_000_000)
    spend("backfill", "2026-11-25", 5_000_000)

    picture = ElementTree.fromstring(
        costs_svg(cost_report(settings_of(), engine, day=WEDNESDAY, days=3))
    )

    columns = picture.findall(f"{SVG}g")
    assert [column.findtext(f"{SVG}title") for column in columns] == [
        "2026-11-23: $0.00",
        "2026-11-24: $5.00",
        "2026-11-25: $20.00",
    ]
    heights = [
        {part.attrib["fill"]: float(part.attrib["height"]) for part in column.iter(f"{SVG}rect")}
        for column in columns
    ]
    # 182 pixels are 20 dollars.
    assert heights[0] == {}
    assert heights[1] == {COLOURS["backfill"]: pytest.approx(45.5)}
    assert heights[2] == {
        COLOURS["history"]: pytest.approx(136.5),
        COLOURS["backfill"]: pytest.approx(45.5),
    }
    assert "$20.00" in {text.text for text in picture.iter(f"{SVG}text")}


def test_a_digest_is_owed_once_a_day(settings_of: SettingsOf, engine: Engine, spend: Spend) -> None:
    settings = settings_of()
    spend("backfill", WEDNESDAY, 1_000_000)
    report = cost_report(settings, engine, day=WEDNESDAY)

    owed = [queue_digest(settings, engine, report, now_ns=EVENING_NS) for _ in range(2)]

    assert owed == [True, False]
    with Session(engine) as session:
        assert session.get_one(NoticeRow, "costs-2026-11-25").text == digest(report)
        (alert,) = session.exec(select(AlertOutboxRow)).all()
    assert (alert.notice_key, alert.channel) == ("costs-2026-11-25", "#desk")


def test_closing_a_day_tells_alarms_that_nobody_has_told(
    settings_of: SettingsOf, engine: Engine, spend: Spend
) -> None:
    spend("history", WEDNESDAY, 6_000_000)

    for _ in range(2):
        close_day(settings_of(budget__history_daily="6"), engine, day=WEDNESDAY, now_ns=EVENING_NS)

    with Session(engine) as session:
        (alarm,) = session.exec(select(BudgetAlarmRow)).all()
    assert (alarm.kind, alarm.period, alarm.percent) == ("history", WEDNESDAY, 100)
