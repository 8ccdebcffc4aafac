"""The folder of a running machine's sockets, and the lock that keeps a second `atelier serve` out."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

SOCKET_PATH_BYTES = 107
"""sun_path holds 108 bytes with the closing zero."""
LONGEST_NAME_BYTES = len("/rpc/") + 36
"""The longest socket below the folder: vLLM names its own by a UUID, in `rpc`."""


class RunDirError(RuntimeError):
    """There is no safe place for the sockets."""


class AlreadyRunning(RuntimeError):
    """Another process serves from the same runtime folder."""


def run_directory(var_dir: Path) -> Path:
    """A private folder (mode 0700) for sockets: `<var_dir>/run`, or one with a short name under the temp folder.

    RunDirError if what is there is a link, somebody else's, or open to others: in a folder like /tmp anyone
    could have put it there to get at our sockets.
    """
    near = var_dir.absolute() / "run"
    if _fits(near):
        near.parent.mkdir(parents=True, exist_ok=True)
        return _private(near)
    digest = hashlib.sha256(os.fsencode(var_dir.resolve())).hexdigest()[:16]
    for parent in (Path(tempfile.gettempdir()), Path("/tmp")):
        far = parent / f"atelier-{os.geteuid()}-{digest}"
        if _fits(far):
            return _private(far)
    raise RunDirError(
        f"{near} and the temp folder are too long for socket paths; set TMPDIR to a shorter one"
    )


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) + LONGEST_NAME_BYTES <= SOCKET_PATH_BYTES


def _private(path: Path) -> Path:
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise RunDirError(
            f"{path} is not a folder (a link or a file): remove it, after a look at who put it there"
        )
    if found.st_uid != os.geteuid():
        raise RunDirError(
            f"{path} belongs to user {found.st_uid}, not to {os.geteuid()}: remove it, or set TMPDIR"
        )
    if stat.S_IMODE(found.st_mode) != 0o700:
        mode = stat.S_IMODE(found.st_mode)
        raise RunDirError(
            f"{path} has mode {mode:04o}, not 0700: look who could use it, then chmod 700 or remove it"
        )
    return path


def clear_sockets(run_dir: Path) -> None:
    """Removes the sockets that a killed run left. Only with the lock held, and before anything is started."""
    for folder in (run_dir, run_dir / "rpc"):
        if folder.is_dir() and not folder.is_symlink():
            for path in folder.iterdir():
                if stat.S_ISSOCK(path.lstat().st_mode):
                    path.unlink()


@contextlib.contextmanager
def serve_lock(var_dir: Path) -> Iterator[None]:
    """Held while one supervisor serves from `var_dir`; the kernel lets go of it however that one ends.

    AlreadyRunning, naming the other's pid, if it is held.
    """
    var_dir.mkdir(parents=True, exist_ok=True)
    path = var_dir / "serve.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise AlreadyRunning(
                f"another `atelier serve` (pid {pid}) already serves from {var_dir.absolute()}: "
                f"stop it (kill {pid}), or give this one a folder of its own (ATELIER_VAR_DIR)"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        # Never unlinked: a second one could hold the lock of a file that a third no longer sees.
        yield
    finally:
        os.close(descriptor)
