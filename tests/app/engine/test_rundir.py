"""Sockets lie in a private folder, and one supervisor at a time serves from a runtime folder."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.engine.rundir import AlreadyRunning, RunDirError, clear_sockets, run_directory, serve_lock
from tests.app.engine.kin import until

ROOT = Path(__file__).parents[3]


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose name leaves room for sockets, which pytest's does not."""
    with tempfile.TemporaryDirectory(prefix="a", dir="/tmp") as folder:
        yield Path(folder)


def test_a_short_runtime_folder_holds_its_sockets(short: Path) -> None:
    run = run_directory(short / "var")
    assert run == short / "var" / "run"
    assert run.stat().st_mode & 0o777 == 0o700
    assert run_directory(short / "var") == run


def test_a_long_one_gets_a_short_folder_of_its_own(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    long = short / ("x" * 60)
    first, second = run_directory(long / "one"), run_directory(long / "two")
    assert first == run_directory(long / "one") != second
    assert (first.parent, first.stat().st_mode & 0o777) == (short, 0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        (first / "rpc").mkdir()
        listener.bind(str(first / "rpc" / ("u" * 36)))
    clear_sockets(first)
    assert list((first / "rpc").iterdir()) == []


def test_a_long_temp_folder_is_passed_over(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(short / ("y" * 80)))
    run = run_directory(short / ("x" * 80))
    try:
        assert run.parent == Path("/tmp")
    finally:
        run.rmdir()


def test_a_folder_planted_by_others_is_refused(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_directory(short / "var")
    run.chmod(0o755)
    with pytest.raises(RunDirError, match="has mode 0755, not 0700"):
        run_directory(short / "var")
    run.rmdir()
    (short / "elsewhere").mkdir(mode=0o700)
    run.symlink_to(short / "elsewhere")
    with pytest.raises(RunDirError, match="is not a folder"):
        run_directory(short / "var")
    run.unlink()
    run.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: run.stat().st_uid + 1)
    with pytest.raises(RunDirError, match="belongs to user"):
        run_directory(short / "var")


def test_only_sockets_are_cleared(short: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short / "old.sock"))
    (short / "engine-0.leash").touch()
    clear_sockets(short)
    assert [path.name for path in short.iterdir()] == ["engine-0.leash"]


def test_a_second_supervisor_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from app.engine.rundir import serve_lock\n"
        "with serve_lock(Path(sys.argv[1])): Path(sys.argv[2]).touch(); time.sleep(120)"
    )
    held = tmp_path / "held"
    holder = subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(held)], cwd=ROOT)
    try:
        until(held.exists, "the lock is held")
        with pytest.raises(AlreadyRunning, match=rf"pid {holder.pid}\) already serves from {tmp_path}"):
            serve_lock(tmp_path).__enter__()
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with serve_lock(tmp_path):
        assert (tmp_path / "serve.lock").read_text() == f"{os.getpid()}\n"
        with pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}"):
            serve_lock(tmp_path).__enter__()
    with serve_lock(tmp_path):
        pass
