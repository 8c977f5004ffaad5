"""A gateway that only blasts: the real handshake, then records as fast as the socket takes them.

The local exchange of `simulator` is an exchange; here the sender must not be what is measured.
Started as `python -m benchmarks.blaster PORT_FILE RECORDS [RATE]`; each connection is served
RECORDS MBO records, as fast as it reads or, with a RATE, in bursts a millisecond apart whose
`ts_recv` is the time they were sent.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Final

import databento_dbn as dbn
import numpy as np

from ifd.clock import SystemClock
from ifd.records import MBO_DTYPE, RTYPE_MBO, MboArray
from ifd.units import NANOS_PER_SECOND
from simulator.live.control import greeting

POOL_RECORDS: Final = 2_000_000
INSTRUMENTS: Final = 3_000
NANOS_PER_RECORD: Final = 1_000
BURST_SECONDS: Final = 0.001
SEND_BYTES: Final = 2**20


def pool(count: int) -> MboArray:
    """Return MBO records of `INSTRUMENTS` instruments, one a microsecond, a few of them busy."""
    rng = np.random.default_rng(1)
    records = np.zeros(count, MBO_DTYPE)
    records["length"] = MBO_DTYPE.itemsize // 4
    records["rtype"] = RTYPE_MBO
    records["instrument_id"] = np.minimum(rng.zipf(1.3, count), INSTRUMENTS)
    records["ts_event"] = SystemClock().now_ns() + np.arange(count) * NANOS_PER_RECORD
    records["ts_recv"] = records["ts_event"]
    records["order_id"] = np.arange(count)
    records["price"] = rng.integers(100, 200, count) * NANOS_PER_SECOND
    records["size"] = 1
    records["flags"] = 0x80
    records["action"] = ord("A")
    records["side"] = ord("B")
    return records


def serve(connection: socket.socket, records: MboArray, total: int, rate: int | None) -> None:
    """Speak the text half, then send."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(greeting("a-challenge-that-nobody-checks-00"))
    lines = connection.makefile("rb")
    lines.readline()
    connection.sendall(b"success=1|session_id=1\n")
    while not lines.readline().startswith(b"start_session"):
        pass
    header = dbn.Metadata(
        dataset="GLBX.MDP3",
        start=int(records["ts_event"][0]),
        stype_in=None,
        stype_out=dbn.SType.from_str("instrument_id"),
        schema=None,
        version=3,
    )
    connection.sendall(header.encode())
    try:
        _blast(connection, records, total) if rate is None else _pace(
            connection, records, total, rate
        )
        connection.shutdown(socket.SHUT_WR)
        lines.read()
    except ConnectionError:
        return  # it has what it wanted
    finally:
        connection.close()


def _blast(connection: socket.socket, records: MboArray, total: int) -> None:
    data = records.view(np.uint8).data
    left = total * MBO_DTYPE.itemsize
    while left:
        part = data[: min(left, len(data))]
        for begin in range(0, len(part), SEND_BYTES):
            connection.sendall(part[begin : begin + SEND_BYTES])
        left -= len(part)
        for column in ("ts_event", "ts_recv"):  # the next round is of the time after
            records[column] += len(records) * NANOS_PER_RECORD


def _pace(connection: socket.socket, records: MboArray, total: int, rate: int) -> None:
    clock = SystemClock()
    burst = max(1, int(rate * BURST_SECONDS))
    begin = time.monotonic()
    for number, place in enumerate(range(0, total, burst)):
        due = begin + number * BURST_SECONDS
        while (wait := due - time.monotonic()) > 0:
            time.sleep(wait)
        at = place % (len(records) - burst)
        part = records[at : at + burst]
        part["ts_event"] = part["ts_recv"] = clock.now_ns()
        connection.sendall(part.view(np.uint8).data)


def main() -> None:
    """Listen on any port of loopback, say which, and serve until killed."""
    port_file, total = Path(sys.argv[1]), int(sys.argv[2])
    rate = int(sys.argv[3]) if len(sys.argv) > 3 else None
    records = pool(min(total, POOL_RECORDS))
    with socket.create_server(("127.0.0.1", 0)) as server:
        part = port_file.with_suffix(".part")
        part.write_text(json.dumps({"port": server.getsockname()[1]}))
        part.rename(port_file)
        while True:
            connection, _ = server.accept()
            threading.Thread(
                target=serve, args=(connection, records, total, rate), daemon=True
            ).start()


if __name__ == "__main__":
    main()
