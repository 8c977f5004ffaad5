"""How items lie in memory or in a file between two processes: frames of a head and a body.

A frame begins at a multiple of 8 bytes, so that its records are aligned. Records of an array are
one frame; a record of another type is its own, as the version 3 bytes of the official decoder; a
notice is JSON. A frame of kind PAD says that the rest of the ring is left empty.
"""

from __future__ import annotations

import json
import struct
from typing import Final, NamedTuple

import databento_dbn as dbn
import numpy as np

from ifd.errors import CorruptStreamError
from ifd.records import MBO_DTYPE, MBO_SIZE, NEWEST_VERSION, Octets
from ifd.source import Arrival, Item, Notice

HEAD: Final = struct.Struct("<QIIIHH")
"""received_ns, bytes of the whole frame, bytes of the body, records, kind, late."""
MBO: Final = 1
RECORD: Final = 2
NOTICE: Final = 3
PAD: Final = 4


class Frame(NamedTuple):
    """The head of a frame; `size` includes head, body and what fills up to a multiple of 8."""

    received_ns: int
    size: int
    body: int
    records: int
    kind: int
    late: bool


def frame_size(body: int) -> int:
    """Return how many bytes a frame of `body` bytes takes.

    Examples
    --------
    >>> frame_size(56), frame_size(3)
    (80, 32)
    """
    return HEAD.size + (body + 7) // 8 * 8


def body_of(item: Item) -> Octets:
    """Return the bytes of an item: a view where it is an array."""
    if isinstance(item, Notice):
        return json.dumps({"about": item.about, "facts": dict(item.facts)}).encode()
    chunk = item.chunk
    return chunk.view(np.uint8).data if isinstance(chunk, np.ndarray) else bytes(chunk)


def put_frame(target: memoryview, place: int, item: Item, body: Octets) -> int:
    """Write a frame of `item` and return its size; `target` has room for it."""
    size = frame_size(len(body))
    if isinstance(item, Notice):
        head = (0, size, len(body), 0, NOTICE, 0)
    else:
        kind = MBO if isinstance(item.chunk, np.ndarray) else RECORD
        head = (item.received_ns or 0, size, len(body), item.records, kind, item.late)
    begin = place + HEAD.size
    target[begin : begin + len(body)] = body
    HEAD.pack_into(target, place, *head)
    return size


def put_pad(target: memoryview, place: int) -> None:
    """Say at `place` that the rest of the ring is left empty; too short a rest says it itself."""
    if len(target) - place >= HEAD.size:
        HEAD.pack_into(target, place, 0, len(target) - place, 0, 0, PAD, 0)


def read_head(source: memoryview, place: int) -> Frame:
    """Return the head of the frame that begins at `place`."""
    received_ns, size, body, records, kind, late = HEAD.unpack_from(source, place)
    return Frame(received_ns, size, body, records, kind, bool(late))


class FrameReader:
    """Makes items of frames again."""

    def __init__(self) -> None:
        self._decoder = dbn.DBNDecoder(has_metadata=False, input_version=NEWEST_VERSION)

    def item(self, source: memoryview, place: int, frame: Frame, *, skip: int = 0) -> Item:
        """Return the item of a frame: an array is a view of `source`, without its first `skip`.

        Raises
        ------
        CorruptStreamError
            If the frame holds no item.
        """
        begin = place + HEAD.size
        if frame.kind == MBO:
            records = np.frombuffer(
                source, MBO_DTYPE, frame.records - skip, begin + skip * MBO_SIZE
            )
            return Arrival(records, frame.received_ns, frame.late)
        body = bytes(source[begin : begin + frame.body])
        if frame.kind == NOTICE:
            told = json.loads(body)
            return Notice(told["about"], told["facts"])
        if frame.kind != RECORD:
            raise CorruptStreamError(f"a frame of kind {frame.kind} cannot be")
        (record,) = self._decoder.write_and_decode(body)
        # No Metadata: has_metadata=False.
        return Arrival(record, frame.received_ns, frame.late)  # type: ignore[arg-type]
