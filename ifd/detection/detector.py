"""The verdict: whether what just traded in an option is institutional and directional.

It is asked at the end of each event in which an aggressor traded an option, about the window that
is running, and answers with at most one signal.
"""

from __future__ import annotations

from ifd.baseline import Baselines, BaselineStat, percentile_rank
from ifd.detection import classes
from ifd.detection.flows import FlowLedger
from ifd.detection.reasons import Evidence, reasons
from ifd.detection.score import MODEL_VERSION, Factors, Score, score
from ifd.makers import doubt
from ifd.params import EngineParams
from ifd.pressure import (
    SIGNED_VOLUME,
    ChainPressure,
    dominance,
    pressure_ratio,
    robust_zscore,
)
from ifd.sessions import session_date
from ifd.signals import Side, Signal, signal_id
from ifd.symbols import Instrument
from ifd.windows import RECENT_WINDOWS, InstrumentFlow, OpenWindow


class Detector:
    """Judges flows; remembers the chain's lean and which flows were told of, nothing else."""

    def __init__(self, params: EngineParams, baselines: Baselines | None) -> None:
        self._params = params
        self._baselines = baselines
        self._fingerprint = params.fingerprint()
        self._chain = ChainPressure()
        self._flows = FlowLedger(
            cooldown_ns=params.detection.cooldown_ns, window_ns=params.windows.length_ns
        )

    @property
    def due(self) -> int:
        """Event time at which `release` has something to give."""
        return self._flows.due

    def evaluate(self, flow: InstrumentFlow, underlying_price: int | None) -> Signal | None:
        """Judge the event that just ended in an option.

        Parameters
        ----------
        underlying_price : int or None
            Mid or last trade of the underlying, 1e-9.

        Returns
        -------
        Signal or None
            A signal that is sure already; a lesser one comes later, from `release`.
        """
        instrument, window = flow.instrument, flow.window
        self._chain.update(flow)
        least = self._params.detection.min_volume
        for side, lots in (
            (Side.BUY, window.signed_volume),
            (Side.SELL, -window.signed_volume),
        ):
            key = (instrument.instrument_id, side)
            if lots < least:
                self._flows.retract(key, window_start=window.start)
            elif _grew(flow, side) and not self._flows.is_told(key, flow.event_ts):
                evidence = self._gather(flow, instrument, window, side, underlying_price)
                verdict = score(evidence.factors)
                if verdict.confidence >= self._params.detection.min_confidence:
                    signal = self._signal(flow, instrument, evidence, verdict, underlying_price)
                    return self._flows.offer(signal)
                self._flows.retract(key, window_start=window.start)
        return None

    def release(self, now: int) -> list[Signal]:
        """Return the lesser signals that have settled by `now`, in the order they were found."""
        return self._flows.release(now)

    def state(self) -> tuple[ChainPressure, FlowLedger]:
        """Return what `restore` needs to go on identically."""
        return (self._chain, self._flows)

    def restore(self, state: tuple[ChainPressure, FlowLedger]) -> None:
        """Go on from what `state` gave."""
        self._chain, self._flows = state

    def _gather(
        self,
        flow: InstrumentFlow,
        instrument: Instrument,
        window: OpenWindow,
        side: Side,
        underlying_price: int | None,
    ) -> Evidence:
        baseline = self._baseline(instrument, flow.event_ts, underlying_price)
        lots = abs(window.signed_volume)
        direction = 1 if side is Side.BUY else -1
        chain = self._chain.view(instrument)
        makers = doubt(window, straddle=chain.straddle)
        factors = Factors(
            zscore=self._zscore(lots, baseline),
            dominance=dominance(window.buy_volume, window.sell_volume),
            sweep_levels=window.sweep_levels,
            touch=direction * window.order_flow_imbalance / lots,
            earlier_lots=direction * self._earlier_lots(flow, window),
            coordination=chain.coordination,
            rank=None if baseline is None else percentile_rank(lots, baseline.quantiles),
            market_making=makers.probability,
        )
        return Evidence(side, window, factors, baseline, chain, makers)

    def _baseline(
        self, instrument: Instrument, ts: int, underlying_price: int | None
    ) -> BaselineStat | None:
        if self._baselines is None:
            return None
        return self._baselines.lookup(
            instrument, SIGNED_VOLUME, ts, underlying_price=underlying_price
        )

    def _zscore(self, lots: int, baseline: BaselineStat | None) -> float:
        prior = self._params.detection
        median, mad = (
            (prior.prior_median, prior.prior_mad)
            if baseline is None
            else (baseline.median, baseline.mad)
        )
        return robust_zscore(lots, median=median, mad=mad, floor=prior.prior_mad)

    def _earlier_lots(self, flow: InstrumentFlow, window: OpenWindow) -> int:
        """Return the signed lots of the closed windows just before this one."""
        oldest = window.start - RECENT_WINDOWS * (window.end - window.start)
        return sum(signed for start, signed in flow.recent if start >= oldest)

    def _signal(
        self,
        flow: InstrumentFlow,
        instrument: Instrument,
        evidence: Evidence,
        verdict: Score,
        underlying_price: int | None,
    ) -> Signal:
        side, window, factors = evidence.side, evidence.window, evidence.factors
        detection = self._params.detection
        tier = classes.tier_of(verdict.confidence)
        volume = window.buy_volume if side is Side.BUY else window.sell_volume
        session = session_date(flow.event_ts)
        identity = signal_id(
            params_fingerprint=self._fingerprint,
            session_date=session,
            instrument_id=instrument.instrument_id,
            side=side,
            ts_event=flow.event_ts,
        )
        return Signal(
            signal_id=identity,
            ts_event=flow.event_ts,
            ts_recv=flow.event_recv,
            session_date=session,
            instrument_id=instrument.instrument_id,
            raw_symbol=instrument.raw_symbol,
            underlying=instrument.underlying,
            expiration=instrument.expiration_date,
            strike=instrument.strike or 0.0,
            right=instrument.right or "",
            side=side,
            pattern=classes.pattern_of(
                side=side,
                sweep_levels=window.sweep_levels,
                largest_print=window.largest_print,
                volume=volume,
            ),
            confidence=verdict.confidence,
            tier=tier,
            action=classes.action_of(tier, side),
            pressure_ratio=pressure_ratio(window.buy_volume, window.sell_volume),
            baseline_zscore=None if evidence.baseline is None else factors.zscore,
            percentile_rank=factors.rank,
            market_making_probability=factors.market_making,
            coordination=factors.coordination,
            volume=volume,
            price=flow.last_price,
            underlying_price=underlying_price,
            window_start=window.start,
            window_end=window.end,
            risk_score=classes.risk_score(verdict.confidence, factors.market_making),
            position_size_multiplier=classes.position_size_multiplier(
                tier, most=detection.max_position_multiplier
            ),
            why=reasons(evidence, detection),
            factors=verdict.contributions,
            profile=self._params.profile,
            model_version=MODEL_VERSION,
            params_fingerprint=self._fingerprint,
        )


def _grew(flow: InstrumentFlow, side: Side) -> bool:
    """Return True if the event that ended holds a trade by an aggressor of this side."""
    return (flow.event_buy if side is Side.BUY else flow.event_sell) > 0
