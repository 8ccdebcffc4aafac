"""Log files of child processes: bounded in size, and their last lines for a message."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

TAIL_BYTES = 16 * 1024
LINE_CHARS = 500


def open_log(path: Path, max_bytes: int, keep: int) -> int:
    """A descriptor that appends to `path` (mode 0600), rotated before if it has reached `max_bytes`.

    Always appending, so that `trim` may cut the file while a process writes. OSError if the disk refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if size(path) >= max_bytes:
        _shift(path, keep)
        path.replace(_older(path, 1))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def trim(path: Path, max_bytes: int, keep: int) -> None:
    """Rotates a log its process still holds open: copy, then cut. Lines written between the two are lost."""
    if size(path) < max_bytes:
        return
    _shift(path, keep)
    shutil.copy2(path, _older(path, 1))
    os.truncate(path, 0)


def tail(path: Path, lines: int, since: int = 0) -> tuple[str, ...]:
    """The last lines written after byte `since`; none if the file cannot be read."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            begin = max(since if since <= end else 0, end - TAIL_BYTES)
            file.seek(begin)
            text = file.read(TAIL_BYTES).decode(errors="replace")
    except OSError:
        return ()
    return tuple(line[:LINE_CHARS] for line in text.splitlines() if line.strip())[-lines:]


def size(path: Path) -> int:
    """Bytes in the file; 0 if there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _older(path: Path, age: int) -> Path:
    return path.with_name(f"{path.name}.{age}")


def _shift(path: Path, keep: int) -> None:
    for age in range(keep - 1, 0, -1):
        if _older(path, age).exists():
            _older(path, age).replace(_older(path, age + 1))
