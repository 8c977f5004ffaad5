"""The binary half of the live protocol: session header, control records, send times."""

from __future__ import annotations

from typing import Final

import databento_dbn as dbn
import numpy as np

from ifd.records import MBO_DTYPE, MboArray
from ifd.units import UNDEFINED_TIMESTAMP

_VERSION_OFFSET: Final = 3
_NO_STYPE: Final = 255
_STYPE_OFFSETS: Final = (16, 88)
"""Where a mapping keeps its two symbologies: undefined in every live session recorded so far."""
_LENGTH_WITH_TS_OUT: Final = (MBO_DTYPE.itemsize + 8) // 4
_MBO_WITH_TS_OUT: Final = np.dtype([("record", MBO_DTYPE), ("ts_out", "<u8")])
_LONGEST_TEXT: Final = 300


def session_header(dataset: str, start_ns: int, *, ts_out: bool) -> bytes:
    """Return the DBN header of a live session: no schema, no input symbology, no symbols."""
    return dbn.Metadata(
        dataset=dataset,
        start=start_ns,
        stype_in=None,
        stype_out=dbn.SType.from_str("instrument_id"),
        schema=None,
        ts_out=ts_out,
    ).encode()


def as_version(header: bytes, version: int) -> bytes:
    """Return a DBN header that claims to be of another version."""
    return header[:_VERSION_OFFSET] + bytes([version]) + header[_VERSION_OFFSET + 1 :]


def symbol_mapping(instrument_id: int, asked: str, raw_symbol: str, ns: int) -> bytes:
    """Return the record that names an instrument: `asked` is what the client subscribed to."""
    raw = dbn.SType.from_str("raw_symbol")
    message = dbn.SymbolMappingMsg(
        publisher_id=0,
        instrument_id=instrument_id,
        ts_event=ns,
        stype_in=raw,
        stype_in_symbol=asked,
        stype_out=raw,
        stype_out_symbol=raw_symbol,
        start_ts=UNDEFINED_TIMESTAMP,
        end_ts=UNDEFINED_TIMESTAMP,
    )
    octets = bytearray(bytes(message))
    for offset in _STYPE_OFFSETS:
        octets[offset] = _NO_STYPE
    return bytes(octets)


def subscription_acknowledged(number: int, schema: str, ns: int) -> bytes:
    """Return the record that says a subscription is in force."""
    text = f"Subscription request {number} for {schema} data succeeded"
    return _system(text, dbn.SystemCode.from_str("subscription_ack"), ns)


def replay_completed(schema: str, ns: int) -> bytes:
    """Return the record that says a schema's replay has caught up with the present."""
    return _system(f"Finished {schema} replay", dbn.SystemCode.from_str("replay_completed"), ns)


def slow_reader_warning(ns: int) -> bytes:
    """Return the record that tells a client that it reads too slowly; nothing is skipped."""
    text = "Slow reader detected: the session is behind"
    return _system(text, dbn.SystemCode.from_str("slow_reader_warning"), ns)


def heartbeat(ns: int) -> bytes:
    """Return the record that fills a silence."""
    return _system("Heartbeat", dbn.SystemCode.from_str("heartbeat"), ns)


def error(text: str, code: dbn.ErrorCode, ns: int, *, is_last: bool = True) -> bytes:
    """Return an error record."""
    return bytes(dbn.ErrorMsg(ts_event=ns, err=text[:_LONGEST_TEXT], code=code, is_last=is_last))


def mbo_with_ts_out(records: MboArray, ns: int) -> bytes:
    """Return MBO records with the send time appended to each."""
    longer = np.empty(len(records), dtype=_MBO_WITH_TS_OUT)
    longer["record"] = records
    longer["record"]["length"] = _LENGTH_WITH_TS_OUT
    longer["ts_out"] = ns
    return longer.tobytes()


def with_ts_out(record: bytes, ns: int) -> bytes:
    """Return any single record with the send time appended."""
    return bytes([record[0] + 2]) + record[1:] + ns.to_bytes(8, "little")


def _system(text: str, code: dbn.SystemCode, ns: int) -> bytes:
    return bytes(dbn.SystemMsg(ts_event=ns, msg=text, code=code))
