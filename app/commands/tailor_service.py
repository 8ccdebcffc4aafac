"""The gateway that a tailored assistant is brought to: one that runs, else one that is started and stopped again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from app.commands.client import err, fail

START_SECONDS = 900.0
STOP_SECONDS = 120.0


@contextlib.contextmanager
def running(url: str, work: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """A gateway answers at `url` while this is entered.

    Only a service that was started here is stopped, also one that a killed run of the same `work` left behind.
    """
    left = _left_behind(work / "serve.pid")
    started = None
    if left is None and not ready(url):
        started = _start(work, environment)
    try:
        _wait(url, started, work / "serve.log")
        yield
    finally:
        pid = started.pid if started else left
        if pid is not None:
            _stop(pid, started)
            (work / "serve.pid").unlink(missing_ok=True)


def ready(url: str) -> bool:
    """Whether a gateway answers there and has all that it needs."""
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{url}/readyz", timeout=5.0).is_success
    return False


def _start(work: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    err.print(f"\nno gateway runs: starting one, see {work / 'serve.log'}", highlight=False, soft_wrap=True)
    with (work / "serve.log").open("ab") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "serve"],
            env=dict(environment),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (work / "serve.pid").write_text(str(started.pid), encoding="ascii")
    return started


def _left_behind(file: Path) -> int | None:
    """The process of a service that a killed run started and could not stop."""
    try:
        pid = int(file.read_text(encoding="ascii"))
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if b"app.cli" in command and b"serve" in command else None


def _wait(url: str, started: subprocess.Popen[bytes] | None, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready(url):
        if started is not None and started.poll() is not None:
            fail(f"the service ended with status {started.returncode}; see {log}")
        if time.monotonic() > deadline:
            fail(f"no gateway is ready at {url} after {START_SECONDS:.0f} s; see {log}")
        time.sleep(0.5)


def _stop(pid: int, started: subprocess.Popen[bytes] | None) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if started is not None:
            if started.poll() is not None:
                return
        elif not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.2)
    err.print(f"[yellow]the service (process {pid}) has not stopped yet[/yellow]", highlight=False)
