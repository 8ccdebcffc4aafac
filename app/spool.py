"""Where an upload's weights wait until they are checked; what a killed gateway left there is cleared away."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def spool_folder(root: Path) -> Iterator[Path]:
    """A folder for one upload, gone afterwards. It is locked meanwhile, so that nobody takes it for a leftover.

    Raises OSError when the disk refuses.
    """
    # Shared lock of the root: `clear_spool` must not look between the folder's making and its locking.
    with _locked(root, fcntl.LOCK_SH):
        folder = Path(tempfile.mkdtemp(dir=root))
        lock = _lock(folder, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def clear_spool(root: Path) -> int:
    """Make the spool folder if need be, and delete what gateways killed in mid-upload left; how many folders.

    Other gateways may use the same folder. Raises OSError.
    """
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    cleared = 0
    with _locked(root, fcntl.LOCK_EX):
        for folder in root.iterdir():
            with contextlib.suppress(BlockingIOError, FileNotFoundError):
                os.close(_lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB))
                shutil.rmtree(folder, ignore_errors=True)
                cleared += 1
    return cleared


@contextlib.contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    lock = _lock(folder, how)
    try:
        yield
    finally:
        os.close(lock)


def _lock(folder: Path, how: int) -> int:
    """A descriptor that holds the lock until it is closed, or until the kernel closes it for a killed process."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, how)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
