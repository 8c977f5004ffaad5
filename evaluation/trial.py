"""One seed, from nothing to alerts: simulate, learn baselines, replay the day that is scored.

The days before are learned from as they are, with what was planted in them: nobody would take it
out of real history either. Everything depends on the seed and the plan alone.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from evaluation.matching import Alert
from evaluation.older_engine import OlderEngine
from evaluation.peers import PEERS
from evaluation.results import write_whole
from ifd.baseline import BaselineBuilder, Baselines
from ifd.params import EngineParams
from ifd.pipeline import Pipeline, session_windows
from ifd.records import MboArray
from ifd.symbols import DatedInstruments, Instrument, instrument_from_definition
from ifd.units import NANOS_PER_MINUTE
from ifd.windows import PressureWindow
from simulator.market import Market, MarketParams, definition_messages, list_chain
from simulator.market.chain import Chain, moment_ns
from simulator.market.episodes import Episode
from simulator.session_files import FIRST_DATE, OPENING, SessionPlan, session_seed

OURS: Final = "ifd"
OLDER: Final = "older engine"
DETECTORS: Final = (OURS, *PEERS, OLDER)
ARE_PROBABILITIES: Final = frozenset({OURS, OLDER})
_VERSION: Final = 2
"""Raised when markets, peers or rules change, so that no old result is taken for a new one."""


@dataclasses.dataclass(frozen=True, slots=True)
class TrialPlan:
    """What a seed is put through: `learning_days` sessions, then the one that is scored."""

    params: EngineParams
    learning_days: int = 3
    minutes: int = 390
    strikes: int = 30
    market: MarketParams = dataclasses.field(default_factory=MarketParams)

    def fingerprint(self) -> str:
        """Return 16 hex digits that change with anything a result depends on."""
        text = json.dumps([_VERSION, dataclasses.asdict(self)], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def plan_of(
    params: EngineParams,
    *,
    learning_days: int,
    minutes: int,
    records_per_second: float,
    episode_seconds: float,
) -> TrialPlan:
    """Return a plan with as many confounders as episodes, everything else as usual."""
    market = MarketParams(
        records_per_second=records_per_second,
        episode_seconds=episode_seconds,
        confounder_seconds=episode_seconds,
    )
    return TrialPlan(params, learning_days, minutes, market=market)


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """What was planted in the scored session of a seed, and what each detector said."""

    seed: int
    records: int
    episodes: list[Episode]
    alerts: dict[str, list[Alert]]

    def write(self, path: Path) -> None:
        """Store the trial; the file appears whole."""
        body: dict[str, Any] = {  # Any: as `to_json` of an episode
            "seed": self.seed,
            "records": self.records,
            "episodes": [each.to_json() for each in self.episodes],
            "alerts": {name: [list(one) for one in said] for name, said in self.alerts.items()},
        }
        write_whole(path, orjson.dumps(body))

    @classmethod
    def read(cls, path: Path) -> Trial:
        """Return a stored trial."""
        body = orjson.loads(path.read_bytes())
        return cls(
            seed=body["seed"],
            records=body["records"],
            episodes=[Episode.from_json(each) for each in body["episodes"]],
            alerts={name: [Alert(*one) for one in said] for name, said in body["alerts"].items()},
        )


def run_trial(seed: int, plan: TrialPlan, *, on_minute: Callable[[], None] | None = None) -> Trial:
    """Play one seed through.

    Parameters
    ----------
    on_minute : callable, optional
        Called after each simulated minute, `(learning_days + 1) * minutes` times.
    """
    dates = SessionPlan(plan.learning_days + 1, seed, FIRST_DATE, plan.minutes).dates()
    chain = list_chain(dates[-1], strikes=plan.strikes)
    instruments = [
        instrument_from_definition(message)
        for date in dates
        for message in definition_messages(chain, date)
    ]
    known = DatedInstruments(instruments)
    older = OlderEngine(known)
    builder = BaselineBuilder(plan.params.baseline, known)
    for date in dates[:-1]:
        day = _Day(seed, date, chain, plan, on_minute)
        windows = list(session_windows(day.arrays(), instruments, plan.params))
        for window in windows:
            builder.add(window)
        for _ in older.update(windows):
            pass  # What it says of the days before is not scored.
    baselines = Baselines(builder.build(), plan.params.baseline)
    return _score_day(_Day(seed, dates[-1], chain, plan, on_minute), instruments, baselines, older)


class _Day:
    """One simulated session, minute by minute."""

    def __init__(
        self,
        seed: int,
        date: dt.date,
        chain: Chain,
        plan: TrialPlan,
        on_minute: Callable[[], None] | None,
    ) -> None:
        self.seed = seed
        self.plan = plan
        self.records = 0
        self._on_minute = on_minute
        self._start_ns = moment_ns(date, OPENING)
        self._end_ns = self._start_ns + plan.minutes * NANOS_PER_MINUTE
        self.market = Market(
            session_seed(seed, date), self._start_ns, chain, plan.market, end_ns=self._end_ns
        )

    def arrays(self) -> Iterator[MboArray]:
        for until in range(self._start_ns + NANOS_PER_MINUTE, self._end_ns + 1, NANOS_PER_MINUTE):
            records = self.market.advance(until)
            self.records += len(records)
            yield records
            if self._on_minute is not None:
                self._on_minute()


def _score_day(
    day: _Day, instruments: list[Instrument], baselines: Baselines, older: OlderEngine
) -> Trial:
    pipeline = Pipeline(day.plan.params, baselines=baselines)
    pipeline.define(instruments)
    outputs = [pipeline.update(records) for records in day.arrays()]
    outputs.append(pipeline.finish())
    signals = [signal for output in outputs for signal in output.signals]
    options = {each.instrument_id for each in instruments if each.is_option}
    windows: list[PressureWindow] = [
        window for output in outputs for window in output.windows if window.instrument_id in options
    ]
    alerts = {
        OURS: [Alert(s.instrument_id, s.side.value, s.ts_event, s.confidence) for s in signals],
        **{name: list(peer(windows)) for name, peer in PEERS.items()},
        OLDER: list(older.update(windows)),
    }
    return Trial(day.seed, day.records, list(day.market.labels), alerts)
