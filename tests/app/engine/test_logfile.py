"""Logs stay bounded, and the last lines are those of the present life."""

import os
from pathlib import Path

from app.engine.logfile import open_log, tail, trim


def test_a_full_log_is_rotated_at_start_and_the_oldest_dropped(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.log"
    for number in range(5):
        descriptor = open_log(path, max_bytes=10, keep=2)
        os.write(descriptor, f"this is life {number}\n".encode())
        os.close(descriptor)
    kept = {each.name: each.read_text() for each in path.parent.iterdir()}
    assert kept == {"a.log": "this is life 4\n", "a.log.1": "this is life 3\n", "a.log.2": "this is life 2\n"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_short_log_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    for _ in range(2):
        descriptor = open_log(path, max_bytes=1000, keep=2)
        os.write(descriptor, b"line\n")
        os.close(descriptor)
    assert path.read_text() == "line\nline\n"


def test_an_open_log_is_cut_and_continued(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    descriptor = open_log(path, max_bytes=10, keep=1)
    os.write(descriptor, b"0123456789\n")
    trim(path, max_bytes=10, keep=1)
    os.write(descriptor, b"next\n")
    trim(path, max_bytes=10, keep=1)
    os.close(descriptor)
    assert (path.read_text(), (tmp_path / "a.log.1").read_text()) == ("next\n", "0123456789\n")


def test_the_tail_is_bounded_in_lines_bytes_and_age(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    assert tail(path, 5) == ()
    path.write_bytes(b"old\n" + b"x" * 100_000 + b"\n\nnew \xff\n")
    assert tail(path, 1) == ("new \ufffd",)
    assert [len(line) for line in tail(path, 5)] == [500, 5]
    assert tail(path, 5, since=path.stat().st_size - 6) == ("new \ufffd",)
    assert len(tail(path, 5, since=10**9)) == 2, "a log cut since then is read from its start"
