"""All stages in one loop: records in, signals, windows and bars out, the same live and replayed.

The result depends on the records, their order, the parameters and the baselines; never on the wall
clock, nor on how the stream was cut into arrays. A pipeline can be stopped between two arrays and
go on elsewhere: `snapshot` holds all of its state.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from ifd.baseline import Baselines
from ifd.detection import Detector
from ifd.errors import InputError
from ifd.metrics import EngineCounters
from ifd.params import EngineParams
from ifd.records import MboArray
from ifd.signals import Signal
from ifd.symbols import Instrument
from ifd.windows import FAR, Bar, BookFault, PressureWindow
from ifd.windows.stage import WindowStage

_SNAPSHOT_FORMAT: Final = "ifd-pipeline-2"
_SNAPSHOT_CLASSES: Final = frozenset(
    {
        ("ifd.detection.flows", "FlowGroups"),
        ("ifd.detection.flows", "FlowLedger"),
        ("ifd.detection.flows", "Held"),
        ("ifd.pressure", "ChainPressure"),
        ("ifd.pressure", "Lean"),
        ("ifd.signals", "Action"),
        ("ifd.signals", "Side"),
        ("ifd.signals", "Signal"),
        ("ifd.signals", "Tier"),
        ("ifd.symbols", "DatedInstruments"),
        ("ifd.symbols", "Instrument"),
        ("ifd.windows.stage", "WindowStage"),
    }
)


@dataclasses.dataclass(slots=True)
class Output:
    """What one update gave, in the order it happened.

    `windows` are those of the primary and of longer lengths that closed; `bars` those that changed,
    closed ones first, each in its newest state; `faults` say where a book that was complete became
    incomplete, or whole again.
    """

    signals: list[Signal]
    windows: Sequence[PressureWindow]
    bars: list[Bar]
    faults: list[BookFault] = dataclasses.field(default_factory=list)


class Pipeline:
    """Book, tape, windows, chain and detection of every instrument of a stream."""

    def __init__(self, params: EngineParams, *, baselines: Baselines | None = None) -> None:
        self._params = params
        self._stage = WindowStage(params.windows)
        self._detector = Detector(params, baselines)
        self._signals = 0

    @property
    def counters(self) -> EngineCounters:
        """Totals so far; reading them costs one pass over the instruments."""
        counters = self._stage.counters
        counters.signals = self._signals
        return counters

    def define(self, instruments: Iterable[Instrument]) -> None:
        """Take in definitions, at any time: what comes later belongs to what is now defined."""
        self._stage.define(instruments)

    def update(self, records: MboArray) -> Output:
        """Take in MBO records in wire order; the array is only read."""
        signals = list(self._judge(records))
        self._signals += len(signals)
        return self._collect(signals)

    def finish(self) -> Output:
        """Close what is open and give out what was held: the input has ended."""
        self._stage.finish()
        signals = self._detector.release(FAR)
        self._signals += len(signals)
        return self._collect(signals)

    def snapshot(self) -> bytes:
        """Return the whole state between two updates."""
        state = (
            _SNAPSHOT_FORMAT,
            self._params.fingerprint(),
            self._stage,
            self._detector.state(),
            self._signals,
        )
        return pickle.dumps(state, protocol=5)

    def restore(self, snapshot: bytes) -> None:
        """Go on from what `snapshot` gave, with the same parameters and baselines.

        Raises
        ------
        InputError
            If it is not a snapshot, or one of other parameters or of another version.
        """
        try:
            kind, fingerprint, stage, detector, signals = _Unpickler(io.BytesIO(snapshot)).load()
        except (pickle.UnpicklingError, EOFError, AttributeError, ValueError, TypeError) as error:
            raise InputError(f"this is not a snapshot of a pipeline: {error}") from error
        if kind != _SNAPSHOT_FORMAT or fingerprint != self._params.fingerprint():
            raise InputError(
                "the snapshot was taken by another version or with other parameters "
                f"({kind}, {fingerprint}): start afresh"
            )
        self._stage = stage
        self._detector.restore(detector)
        self._signals = signals

    def _judge(self, records: MboArray) -> Iterator[Signal]:
        stage, detector = self._stage, self._detector
        for event in stage.update(records):
            if isinstance(event, int):
                yield from detector.release(event)
            else:
                signal = detector.evaluate(event, stage.underlying_price(event.instrument))
                if signal is not None:
                    yield signal
            stage.wake_at = detector.due

    def _collect(self, signals: list[Signal]) -> Output:
        stage = self._stage
        return Output(signals, stage.take_windows(), stage.take_bars(), stage.take_faults())


def session_windows(
    arrays: Iterable[MboArray], instruments: Iterable[Instrument], params: EngineParams
) -> Iterator[PressureWindow]:
    """Yield every closed window of the primary length, without judging any.

    That is what baselines are made of.
    """
    windows = dataclasses.replace(params.windows, lengths_ns=(params.windows.length_ns,))
    stage = WindowStage(windows)
    stage.define(instruments)
    for records in arrays:
        stage.pass_over(records)
        stage.take_bars()
        stage.take_faults()
        yield from stage.take_windows()
    stage.finish()
    yield from stage.take_windows()


class _Unpickler(pickle.Unpickler):
    """Builds the classes of a snapshot and nothing else, whatever the bytes ask for."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        # Any: as in the standard library, a class.
        if (module_name, global_name) not in _SNAPSHOT_CLASSES:
            raise pickle.UnpicklingError(f"it holds {module_name}.{global_name}")
        return super().find_class(module_name, global_name)
