"""What of a child's log reaches people."""

from __future__ import annotations

from pathlib import Path

from runtime.log_tail import LineBudget, LogTail, last_line, serious


def test_each_line_is_read_once_and_only_when_whole(tmp_path: Path) -> None:
    path = tmp_path / "stream.log"
    tail = LogTail(path)

    assert tail.read_lines() == []
    path.write_bytes(b"one\ntwo, ha"[:-3])
    assert tail.read_lines() == ["one"]
    with path.open("ab") as file:
        file.write(b"two, ha"[-3:] + b"lf\n\n")
    assert tail.read_lines() == ["two, half"]
    assert tail.read_lines() == []


def test_a_log_that_ends_inside_a_character_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "stream.log"
    tail = LogTail(path)
    path.write_bytes(b"caf\xc3")
    assert tail.read_lines() == []
    path.write_bytes(b"caf\xc3\xa9\n")
    assert tail.read_lines() == ["café"]


def test_warnings_and_worse_are_serious_in_every_form_of_log() -> None:
    lines = [
        "2026-11-24T14:30:00Z [info     ] stream began                  run_id=1",
        "2026-11-24T14:30:01Z [warning  ] database away                 run_id=1",
        '{"event": "stream failed", "level": "error"}',
        '{"event": "window closed", "level": "info"}',
        "Traceback (most recent call last):",
        "FileNotFoundError: gone",
        "14:30:02 ERROR queue closed",
        "no errors so far",
    ]

    assert serious(lines) == [lines[1], lines[2], lines[4], lines[5], lines[6]]


def test_a_flood_of_warnings_is_cut_and_counted() -> None:
    budget = LineBudget(2)

    assert budget.take(["a"]) == ["a"]
    assert budget.take(["b", "c", "d"]) == ["b"]
    assert budget.take(["e"]) == []
    assert budget.renew() == 3
    assert budget.take(["f"]) == ["f"]
    assert budget.renew() == 0


def test_the_last_word_of_a_log_is_found(tmp_path: Path) -> None:
    path = tmp_path / "stream.log"
    assert last_line(path) is None
    path.write_text("one\n  the end \n\n", encoding="utf-8")
    assert last_line(path) == "the end"
