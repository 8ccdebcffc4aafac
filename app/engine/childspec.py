"""What a supervised child is, what can be said about it, and the pace at which it is handled."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class State(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    UNREADY = "not answering"
    PAUSING = "pausing before a restart"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class Kind(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    PROGRESS = "progress"
    READY = "ready"
    UNREADY = "unready"
    EXITED = "exited"
    CRASH_LOOP = "crash loop"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    ERROR = "error"


@dataclass(frozen=True)
class Event:
    """Something a person may want to read. `seconds`: how long the child has been at it."""

    child: str
    kind: Kind
    text: str
    seconds: float = 0.0
    log_tail: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """One line for a terminal, such as `engine: loading the model… 35 s`."""
        clock = f"… {self.seconds:.0f} s" if self.kind is Kind.PROGRESS else ""
        return f"{self.child}: {self.text}{clock}"


@dataclass(frozen=True)
class ChildSpec:
    """A child to run. `env` is its whole environment: nothing is inherited. Times in seconds.

    ready: asked again and again; None means ready as soon as started.
    unhealthy_seconds: restart when `ready` has said no for that long after it once said yes; None: never.
    depends_on: children that must be ready before this one's first start, and that are stopped after it.
    outlived_by: children that are stopped after this one, but not waited for at the start.
    activity: what the child is doing until it is ready, for progress lines.
    socket: the Unix socket it makes; what a killed life left of it is removed before the next one starts, since
    a server that finds one there does not start.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log_path: Path
    grace_seconds: float = 10.0
    ready: Callable[[], Awaitable[bool]] | None = None
    ready_timeout: float = 60.0
    unhealthy_seconds: float | None = None
    restart: bool = True
    depends_on: tuple[str, ...] = ()
    outlived_by: tuple[str, ...] = ()
    activity: str = "starting"
    socket: Path | None = None


@dataclass(frozen=True)
class Pace:
    """How often and how long, in seconds and bytes."""

    first_pause: float = 0.5
    longest_pause: float = 30.0
    stable_seconds: float = 60.0
    loop_after: int = 5
    probe_timeout: float = 5.0
    probe_every: tuple[float, float] = (0.1, 1.0)
    health_every: float = 5.0
    progress_every: float = 5.0
    log_bytes: int = 16 * 1024 * 1024
    log_keep: int = 3


@dataclass(frozen=True)
class ChildStatus:
    """`pid` is the command's, `leash` its keeper's; `since` in Unix seconds; `last_exit` empty at first."""

    name: str
    state: State
    ready: bool
    pid: int | None
    leash: int | None
    restarts: int
    since: float
    last_exit: str
    log_path: str


class StartFailed(RuntimeError):
    """A child that will not become ready without help. `log_tail`: the last lines it wrote."""

    def __init__(self, child: str, text: str, log_tail: tuple[str, ...] = ()) -> None:
        super().__init__(f"{child}: {text}")
        self.child = child
        self.log_tail = log_tail


def pause_seconds(pace: Pace, failures: int, draw: float) -> float:
    """How long to wait after the n-th failure in a row: doubling, bounded, scattered by `draw` in [0, 1)."""
    full: float = min(pace.longest_pause, pace.first_pause * 2 ** min(failures - 1, 30))
    return full * (0.5 + draw / 2)


def describe_exit(code: int) -> str:
    """An exit code in words; 128 + n is how a leash and a shell tell of signal n."""
    if code < 0 or 128 < code < 128 + signal.NSIG:
        number = -code if code < 0 else code - 128
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"exit code {code}"
