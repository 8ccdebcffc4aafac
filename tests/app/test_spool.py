"""Spool folders: there while an upload runs, gone afterwards, however it ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from app.spool import clear_spool, spool_folder

KILLED = """
import os, pathlib, signal, sys
from app.spool import spool_folder
with spool_folder(pathlib.Path(sys.argv[1])) as folder:
    (folder / "weights").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_folder_is_gone_after_the_upload(tmp_path: Path) -> None:
    with spool_folder(tmp_path) as folder:
        (folder / "weights").write_bytes(b"all")
        assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_gateway_left_is_cleared_and_no_more(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, timeout=60)
    (left,) = tmp_path.iterdir()
    with spool_folder(tmp_path) as used:
        assert clear_spool(tmp_path) == 1
        assert list(tmp_path.iterdir()) == [used]
    assert not left.exists()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    before = open_files()
    for _ in range(20):
        with spool_folder(tmp_path):
            assert clear_spool(tmp_path) == 0
    assert open_files() == before


def test_root_is_made_private(tmp_path: Path) -> None:
    assert clear_spool(tmp_path / "var" / "spool") == 0
    assert (tmp_path / "var" / "spool").stat().st_mode & 0o077 == 0
