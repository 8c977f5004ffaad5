"""Commands on standard input, each answered on standard output by `ack: …` or `nack: …`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable


async def answer_commands(apply: Callable[[str], bool]) -> None:
    """Hand every line of standard input to `apply`, and say whether it was done, until its end."""
    reader = asyncio.StreamReader()
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        while line := await reader.readline():
            command = line.decode(errors="replace").strip()
            answer = "ack" if apply(command) else "nack"
            sys.stdout.write(f"{answer}: {command}\n")
            sys.stdout.flush()
    finally:
        pipe.close()
