from __future__ import annotations

import os

import pytest

from runtime.output import outlive_reader


def test_a_pipe_that_nobody_reads_any_more_leads_nowhere() -> None:
    reading, writing = os.pipe()
    watching = outlive_reader([writing])
    os.write(writing, b"heard")
    assert os.read(reading, 5) == b"heard"

    os.close(reading)
    watching.join(timeout=10)

    assert not watching.is_alive()
    assert os.write(writing, b"unheard") == 7
    os.close(writing)


def test_a_pipe_that_is_read_is_left_alone() -> None:
    reading, writing = os.pipe()
    watching = outlive_reader([writing])
    watching.join(timeout=0.05)

    os.write(writing, b"heard")

    assert watching.is_alive()
    assert os.read(reading, 5) == b"heard"
    os.close(reading)
    watching.join(timeout=10)
    os.close(writing)


def test_without_it_the_write_fails() -> None:
    reading, writing = os.pipe()
    os.close(reading)

    with pytest.raises(BrokenPipeError):
        os.write(writing, b"unheard")
    os.close(writing)
