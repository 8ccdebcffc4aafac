"""Starts local child processes in order, each on a leash; restarts what dies; stops all in reverse order.

One child's death never ends the supervisor: a child that keeps dying is started again at a bounded rate, for
ever, and says so with the last lines of its log. Nothing is left when `Supervisor.run` returns, and what an
earlier supervisor left (killed with -9 together with its leashes) is ended before anything is started.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from app.engine.child import Child, clear_strays
from app.engine.childspec import ChildSpec, ChildStatus, Event, Kind, Pace, StartFailed, State
from app.engine.leash import identify, read_record

__all__ = ["ChildSpec", "ChildStatus", "Event", "Kind", "Pace", "StartFailed", "State", "Supervisor"]


class Supervisor:
    """The children of one machine. `state_dir` (mode 0700) holds the leashes' records and `status.json`."""

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        on_event: Callable[[Event], None],
        state_dir: Path,
        pace: Pace | None = None,
    ) -> None:
        """ValueError when names repeat, or when the order of start or stop has a hole or a circle."""
        check_order(specs)
        self._on_event = on_event
        self._state_dir = state_dir
        self._stopping = asyncio.Event()
        self._children = {
            spec.name: Child(spec, pace or Pace(), state_dir, self._emit, self._stopping) for spec in specs
        }

    async def run(self) -> None:
        """Runs until `stop` was called and every child has ended; cancelled, it stops them in a hurry."""
        await self._clear_strays()
        tasks = [asyncio.create_task(child.run(self._children)) for child in self._children.values()]
        tasks += [asyncio.create_task(self._stop_in_turn(child)) for child in self._children.values()]
        everything = asyncio.gather(*tasks, return_exceptions=True)
        try:
            await asyncio.shield(everything)
        except asyncio.CancelledError:
            self.hurry()
            await everything
            raise
        finally:
            self._write_status()

    def stop(self) -> None:
        """Asks every child to end, dependents first. Returns at once; calling it again changes nothing."""
        self._stopping.set()

    def hurry(self) -> None:
        """Ends every child now, in any order, without its grace."""
        self.stop()
        for child in self._children.values():
            child.hurry()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    async def wait_ready(self) -> None:
        """Returns when every child has been ready once. StartFailed when one has no hope, or on `stop`."""
        waiting = {child.first for child in self._children.values()}
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                if (failure := each.result()) is not None:
                    raise failure

    def status(self) -> tuple[ChildStatus, ...]:
        """What every child is doing now, in the order given."""
        return tuple(child.status() for child in self._children.values())

    async def _stop_in_turn(self, child: Child) -> None:
        await self._stopping.wait()
        for other in self._children.values():
            if child.spec.name in (*other.spec.depends_on, *other.spec.outlived_by):
                await other.ended.wait()
        child.stop.set()

    async def _clear_strays(self) -> None:
        """What the leashes of an earlier supervisor hold is ended; a leash still at it gets its time."""
        self._state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths = await asyncio.to_thread(lambda: sorted(self._state_dir.glob("*.leash")))
        await asyncio.gather(*(self._clear(path) for path in paths))

    async def _clear(self, path: Path) -> None:
        if left := await asyncio.to_thread(clear_strays, path):
            text = f"processes {left} of an earlier run do not die of SIGKILL; end them by hand"
            self._emit(Event(path.stem, Kind.ERROR, text))

    def _emit(self, event: Event) -> None:
        # A closed terminal must not take the children's keeper down: printing is the listener's affair.
        with contextlib.suppress(Exception):
            self._on_event(event)
        if event.kind is not Kind.PROGRESS:
            self._write_status()

    def _write_status(self) -> None:
        path = self._state_dir / "status.json"
        with contextlib.suppress(OSError):  # a full disk costs `atelier doctor` its news, nothing else
            draft = path.with_suffix(".new")
            draft.write_text(json.dumps([asdict(status) for status in self.status()]))
            draft.replace(path)


def read_status(state_dir: Path) -> tuple[ChildStatus, ...]:
    """The last status that a supervisor wrote there, with pids as of now; empty if there is none."""
    try:
        rows = json.loads((state_dir / "status.json").read_text())
        known = [ChildStatus(**{**row, "state": State(row["state"])}) for row in rows]
    except (OSError, ValueError, TypeError, KeyError):
        return ()
    return tuple(replace(status, pid=command_pid(state_dir, status.name)) for status in known)


def command_pid(state_dir: Path, name: str) -> int | None:
    """The pid of a child's command while it lives."""
    record = read_record(state_dir / f"{name}.leash")
    if record is None or len(record.processes) < 2:
        return None
    command = record.processes[1]
    return command.pid if identify(command.pid) == command else None


@contextlib.contextmanager
def stop_on_signals(supervisor: Supervisor) -> Iterator[None]:
    """SIGTERM, SIGINT and SIGHUP stop the children in order; a second Ctrl-C hurries them."""
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        if supervisor.stopping:
            supervisor.hurry()
        supervisor.stop()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    # Not the second of these: a service manager may signal the group as well as its leader.
    loop.add_signal_handler(signal.SIGTERM, supervisor.stop)
    loop.add_signal_handler(signal.SIGHUP, supervisor.stop)
    try:
        yield
    finally:
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(signum)


def check_order(specs: Sequence[ChildSpec]) -> None:
    """ValueError when names repeat, a name is unknown, or two children wait for each other."""
    names = [spec.name for spec in specs]
    if len(set(names)) != len(names):
        raise ValueError(f"two children have the same name: {', '.join(sorted(names))}")
    before = {spec.name: {*spec.depends_on, *spec.outlived_by} for spec in specs}
    for name, others in before.items():
        if unknown := others - set(names):
            raise ValueError(f"{name} waits for {', '.join(sorted(unknown))}, which is no child here")
    while before:
        free = [name for name, others in before.items() if not others & set(before)]
        if not free:
            raise ValueError(f"these children wait for each other: {', '.join(sorted(before))}")
        for name in free:
            del before[name]
