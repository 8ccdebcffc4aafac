"""The life of one supervised child process: started, watched, ended, started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
import time
from asyncio.subprocess import STDOUT, Process
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

from app.engine import leash, logfile
from app.engine.childspec import (
    ChildSpec,
    ChildStatus,
    Event,
    Kind,
    Pace,
    StartFailed,
    State,
    describe_exit,
    pause_seconds,
)
from app.engine.leash import (
    KILL_SECONDS,
    MARK,
    Record,
    boot_id,
    end_survivors,
    identify,
    read_record,
    write_record,
)

LEASH_MARGIN = 5.0
"""Seconds that a leash may need beyond grace and killing; past them it counts as stuck."""
TAIL_LINES = 20


class Child:
    """Runs one spec again and again until told to stop."""

    def __init__(
        self,
        spec: ChildSpec,
        pace: Pace,
        state_dir: Path,
        emit: Callable[[Event], None],
        stopping: asyncio.Event,
    ) -> None:
        self.spec = spec
        self.stop = asyncio.Event()
        self.ended = asyncio.Event()
        self.was_ready = asyncio.Event()
        self.first: asyncio.Future[StartFailed | None] = asyncio.get_running_loop().create_future()
        self._pace = pace
        self._record = state_dir / f"{spec.name}.leash"
        self._tell = emit
        self._stopping = stopping
        self._leash: Process | None = None
        self._state = State.WAITING
        self._since = time.time()
        self._entered = time.monotonic()
        self._ready_since: float | None = None
        self._failures = 0
        self._restarts = 0
        self._last_exit = ""
        self._log_begin = 0

    def status(self) -> ChildStatus:
        record = read_record(self._record) if self._leash else None
        pid = record.processes[1].pid if record and len(record.processes) > 1 else None
        keeper = self._leash.pid if self._leash else None
        ready = self._state is State.READY
        name, log = self.spec.name, str(self.spec.log_path)
        return ChildStatus(
            name, self._state, ready, pid, keeper, self._restarts, self._since, self._last_exit, log
        )

    def hurry(self) -> None:
        """Ends the present life at once."""
        self.stop.set()
        if self._leash is not None:
            with contextlib.suppress(ProcessLookupError):
                self._leash.send_signal(signal.SIGQUIT)

    async def run(self, others: Mapping[str, Child]) -> None:
        """Returns when stopped, or when a child that is not to be restarted has ended. Never raises."""
        try:
            if await self._dependencies_ready(others):
                await self._live_on()
        finally:
            if self._state is not State.FAILED:
                self._enter(State.STOPPED, Kind.STOPPED, "stopped")
            self._settle(StartFailed(self.spec.name, "stopped before it was ready"))
            self.ended.set()

    async def _dependencies_ready(self, others: Mapping[str, Child]) -> bool:
        missing = [others[name] for name in self.spec.depends_on if not others[name].was_ready.is_set()]
        if missing:
            names = ", ".join(other.spec.name for other in missing)
            self._enter(State.WAITING, Kind.WAITING, f"waiting for {names}")
        for other in missing:
            await first_of(other.was_ready, other.ended, self._stopping)
            if not other.was_ready.is_set() and not self._stopping.is_set():
                self._fail(f"not started, because {other.spec.name} failed")
                return False
        return not self._stopping.is_set()

    async def _live_on(self) -> None:
        while not self._stopping.is_set():
            try:
                why = await self._live()
            except Exception as problem:  # full disk, no memory to fork: no reason to let go of the others
                why = f"could not be kept running: {type(problem).__name__}: {problem}"
            if self._stopping.is_set():
                return
            if not self.spec.restart:
                self._fail(why)
                return
            await self._pause(why)
            self._restarts += 1

    async def _pause(self, why: str) -> None:
        """Tells of the failure and waits before the next try."""
        stable = self._ready_since is not None and _ago(self._ready_since) >= self._pace.stable_seconds
        self._failures = 1 if stable else self._failures + 1
        self._ready_since = None
        self._last_exit = why
        seconds = pause_seconds(self._pace, self._failures, random.random())
        self._enter(State.PAUSING, Kind.EXITED, why, self._tail())
        if self._failures % self._pace.loop_after == 0:
            text = f"failed {self._failures} times in a row, last: {why}; log: {self.spec.log_path}"
            self._say(Kind.CRASH_LOOP, text, self._tail())
            self._settle(StartFailed(self.spec.name, text, self._tail()))
        self._say(Kind.RESTARTING, f"starting again in {seconds:.1f} s")
        await first_of(self._stopping, timeout=seconds)

    async def _live(self) -> str:
        """One life; why it ended, in words."""
        tether, process = await self._start()
        self._leash = process
        exited = asyncio.create_task(process.wait())
        try:
            trouble = await self._watch(exited)
            if not exited.done():
                await self._end(process, exited)
            return trouble or describe_exit(exited.result())
        finally:
            # Should we be here by an exception, this alone ends the leash, in order and in its own time.
            os.close(tether)
            self._leash = None
            await self._sweep()

    async def _start(self) -> tuple[int, Process]:
        """The leash, and the end of the pipe whose closing ends it."""
        spec = self.spec
        self._enter(State.STARTING, Kind.STARTING, spec.activity)
        if spec.socket is not None and spec.socket.is_socket():
            # Nobody listens there: the last life has been swept.
            spec.socket.unlink()
        log = logfile.open_log(spec.log_path, self._pace.log_bytes, self._pace.log_keep)
        self._log_begin = logfile.size(spec.log_path)
        mark = uuid4().hex
        marks = ":".join(filter(None, (os.environ.get(MARK), mark)))
        try:
            # Written before there is anything to find: at no moment does dying leave no trace.
            write_record(self._record, Record(mark, boot_id(), spec.grace_seconds, ()))
            return await self._spawn(log, marks)
        except BaseException:
            self._record.unlink(missing_ok=True)
            raise
        finally:
            os.close(log)

    async def _spawn(self, log: int, marks: str) -> tuple[int, Process]:
        spec = self.spec
        far, tether = os.pipe()
        options = (
            "--parent",
            str(os.getpid()),
            "--grace",
            str(spec.grace_seconds),
            "--record",
            str(self._record),
        )
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", leash.__file__, *options, "--", *spec.argv),
                env={**spec.env, MARK: marks},
                stdin=far,
                stdout=log,
                stderr=STDOUT,
                start_new_session=True,  # the terminal's Ctrl-C is the supervisor's to hear, not the leash's
            )
        except BaseException:
            os.close(tether)
            raise
        finally:
            os.close(far)
        return tether, process

    async def _watch(self, exited: asyncio.Task[int]) -> str:
        """Returns when the leash has ended, on `stop`, or with the reason why this life must end."""
        spec, pace = self.spec, self._pace
        pause, next_progress, trimmed = pace.probe_every[0], pace.progress_every, time.monotonic()
        while not exited.done() and not self.stop.is_set():
            ready = await self._probe()
            if exited.done():
                break
            if trouble := self._judge(ready):
                return trouble
            if self._state is State.STARTING and self._elapsed() >= next_progress:
                self._say(Kind.PROGRESS, spec.activity)
                next_progress += pace.progress_every
            if _ago(trimmed) >= pace.health_every:
                trimmed = time.monotonic()
                with contextlib.suppress(OSError):  # a full disk: the next look may have more luck
                    await asyncio.to_thread(logfile.trim, spec.log_path, pace.log_bytes, pace.log_keep)
            wait = pace.health_every if self._state is State.READY else pause
            pause = min(pause * 1.5, pace.probe_every[1])
            await first_of(self.stop, exited, timeout=wait)
        return ""

    async def _probe(self) -> bool:
        if self.spec.ready is None:
            return True
        try:
            return await asyncio.wait_for(self.spec.ready(), self._pace.probe_timeout)
        except Exception:  # whatever a probe trips over, the child is not ready
            return False

    def _judge(self, ready: bool) -> str:
        """Moves between starting, ready and not answering; says why the child must go, if it must."""
        spec = self.spec
        if ready and self._state is not State.READY:
            took = f" after {self._elapsed():.1f} s" if self._state is State.STARTING else " again"
            if self._ready_since is None:
                self._ready_since = time.monotonic()
            self._enter(State.READY, Kind.READY, f"ready{took}")
            self.was_ready.set()
            self._settle(None)
        elif not ready and self._state is State.READY:
            self._enter(State.UNREADY, Kind.UNREADY, "does not answer")
        elif self._state is State.STARTING and self._elapsed() >= spec.ready_timeout:
            return f"not ready within {spec.ready_timeout:g} s"
        elif self._state is State.UNREADY and self._elapsed() >= (spec.unhealthy_seconds or float("inf")):
            return f"did not answer for {spec.unhealthy_seconds:g} s"
        return ""

    async def _end(self, process: Process, exited: asyncio.Task[int]) -> None:
        """Lets the leash end its tree; bounded even if the leash is stuck."""
        self._enter(State.STOPPING, Kind.STOPPING, "stopping")
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await first_of(exited, timeout=self.spec.grace_seconds + KILL_SECONDS + LEASH_MARGIN)
        if not exited.done():
            self._say(Kind.ERROR, "its leash does not end; killing it")
            process.kill()
            await exited

    async def _sweep(self) -> None:
        """Ends what a killed leash left. An orderly one has removed its record and left nothing."""
        if left := await asyncio.to_thread(clear_strays, self._record):
            self._say(Kind.ERROR, f"processes {left} do not die of SIGKILL; end them by hand")

    def _fail(self, why: str) -> None:
        self._last_exit = why
        self._enter(State.FAILED, Kind.FAILED, why, self._tail())
        self._settle(StartFailed(self.spec.name, why, self._tail()))

    def _settle(self, failure: StartFailed | None) -> None:
        if not self.first.done():
            self.first.set_result(failure)

    def _enter(self, state: State, kind: Kind, text: str, log_tail: tuple[str, ...] = ()) -> None:
        self._state, self._since, self._entered = state, time.time(), time.monotonic()
        self._say(kind, text, log_tail)

    def _say(self, kind: Kind, text: str, log_tail: tuple[str, ...] = ()) -> None:
        self._tell(Event(self.spec.name, kind, text, self._elapsed(), log_tail))

    def _elapsed(self) -> float:
        return _ago(self._entered)

    def _tail(self) -> tuple[str, ...]:
        return logfile.tail(self.spec.log_path, TAIL_LINES, self._log_begin)


def clear_strays(path: Path) -> list[int]:
    """Ends all that the leash with this record holds, and removes the record; pids that would not die.

    A leash that lives is ending its tree in order just now (its supervisor is gone): it gets the time for it.
    """
    record = read_record(path)
    left: list[leash.Process] = []
    if record is not None:
        keeper = record.processes[0] if record.processes else None
        orderly = keeper is not None and identify(keeper.pid) == keeper
        left = end_survivors(record, record.grace + LEASH_MARGIN if orderly else 0.0)
    path.unlink(missing_ok=True)
    return [process.pid for process in left]


def _ago(moment: float) -> float:
    return time.monotonic() - moment


async def first_of(*signs: asyncio.Event | asyncio.Task[int], timeout: float | None = None) -> None:
    """Returns when an event is set or a task done, or after `timeout` seconds; no task given is cancelled."""
    waits = [asyncio.create_task(sign.wait()) if isinstance(sign, asyncio.Event) else sign for sign in signs]
    try:
        await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait, sign in zip(waits, signs, strict=True):
            if wait is not sign:
                wait.cancel()
