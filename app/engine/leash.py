"""A leash: runs one command and never leaves a process of it behind.

``python leash.py --parent PID [--grace S] [--record FILE] -- COMMAND ARGS``

The command runs in a session of its own. Its whole tree of descendants is ended when

* the leash's parent dies, by whatever means. Two signs are watched because each has a hole the other
  fills: the end of file on stdin (a pipe whose other end only the parent holds) comes even when the parent
  died before the leash asked for its death signal, or when the parent's *thread* that started us ended
  long ago; the parent's death signal comes even when some fork of the parent still holds the pipe open;
* the leash gets SIGTERM or SIGINT: the command gets SIGTERM and a grace, then everything SIGKILL.
  SIGQUIT cuts the grace short;
* the command ends: what it left behind is killed, and its exit code passed on (128 + n for signal n).

Descendants with sessions of their own, and orphans among them, are found because the leash is their
*subreaper*: they stay below it in the process tree. When the leash itself is killed with -9, the kernel
kills the command (its parent's death signal); deeper descendants survive that, and whoever reads the
record (`Record`) ends them: the supervisor at once, or the next start. A process is known there by pid
and start time, or by the mark in its environment, so that a reused pid is never touched. What stays out of
reach: both leash and supervisor killed with -9 leave deeper descendants until the next start, and one that
was born after the last record *and* wiped its environment stays for good.

Only the standard library, nothing of `app`: it is run by path, isolated, so that it starts in some 30 ms.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

MARK = "ATELIER_LEASH"
"""Environment variable every process on a leash inherits: colon-separated random marks, outermost first."""

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
KILL_SECONDS = 10.0
"""How long SIGKILL may take; only a process stuck in the kernel needs more, and nobody can end that one."""
RECORD_SECONDS = (0.25, 30.0)
"""First and longest pause between two looks at which descendants exist."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
WATCHED_SIGNALS = (*STOP_SIGNALS, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD)


class Process(NamedTuple):
    """One process for ever: `start` in clock ticks after boot tells it from a later one with its pid."""

    pid: int
    start: int


class Entry(NamedTuple):
    parent: int
    start: int
    zombie: bool


class Record(NamedTuple):
    """What a leash holds, for who cleans up after its violent death. First the leash, then the command."""

    mark: str
    boot: str
    grace: float
    processes: tuple[Process, ...]


class LeashError(RuntimeError):
    """The leash cannot be put on."""


def process_table() -> dict[int, Entry]:
    """Every process of the machine that this one may see."""
    table: dict[int, Entry] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - plain names, and many of them
        if name.isdigit() and (entry := _entry(int(name))) is not None:
            table[int(name)] = entry
    return table


def _entry(pid: int) -> Entry | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The command's name may hold spaces and brackets; nothing after the last bracket does.
    fields = stat.rpartition(b")")[2].split()
    return Entry(int(fields[1]), int(fields[19]), fields[0] in (b"Z", b"X"))


def identify(pid: int) -> Process | None:
    """The process that has this pid now, or None if there is none (a zombie is none)."""
    entry = _entry(pid)
    return None if entry is None or entry.zombie else Process(pid, entry.start)


def descendants(roots: Iterable[int], table: dict[int, Entry]) -> list[Process]:
    """Living processes below `roots` (these not included)."""
    children: dict[int, list[int]] = {}
    for pid, entry in table.items():
        children.setdefault(entry.parent, []).append(pid)
    seen = set(roots)
    queue, found = list(seen), []
    while queue:
        for pid in children.get(queue.pop(), ()):
            if pid not in seen:
                seen.add(pid)
                queue.append(pid)
                found.append(pid)
    return [Process(pid, table[pid].start) for pid in found if not table[pid].zombie]


def send(process: Process, signum: int) -> bool:
    """Signals exactly this process; False if it is gone. PermissionError if it belongs to somebody else."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        # The handle pins whoever has the pid now; only then is the start time worth comparing.
        if identify(process.pid) != process:
            return False
        signal.pidfd_send_signal(handle, signum)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def boot_id() -> str:
    """Start times count from boot, so they say nothing about processes of another boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def write_record(path: Path, record: Record) -> None:
    """Replaces the record at `path` in one step. OSError if the disk refuses."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(record._asdict()))
    draft.replace(path)


def read_record(path: Path) -> Record | None:
    """The record at `path`, or None if there is none or it cannot be understood."""
    try:
        raw: dict[str, Any] = json.loads(path.read_text())
        processes = tuple(Process(int(pid), int(start)) for pid, start in raw["processes"])
        return Record(str(raw["mark"]), str(raw["boot"]), float(raw["grace"]), processes)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def survivors(record: Record) -> list[Process]:
    """Living processes of a leash: those recorded, those bearing its mark, and all below them."""
    table = process_table()
    alive = {Process(pid, entry.start) for pid, entry in table.items() if not entry.zombie}
    known = alive.intersection(record.processes) if record.boot == boot_id() else set()
    mark = record.mark.encode()
    known |= {process for process in alive if mark and mark in _environment(process.pid)}
    known |= set(descendants([process.pid for process in known], table))
    return sorted(process for process in known if process.pid != os.getpid())


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def end_survivors(record: Record, patience: float = 0.0) -> list[Process]:
    """Kills what a leash left behind, after at most `patience` seconds for it to end by itself.

    Returns the processes that would not die within `KILL_SECONDS` more.
    """
    gentle_until = time.monotonic() + patience
    deadline = gentle_until + KILL_SECONDS
    while left := survivors(record):
        now = time.monotonic()
        if now > deadline:
            break
        if now >= gentle_until:
            for process in left:
                with contextlib.suppress(PermissionError):
                    send(process, signal.SIGKILL)
        time.sleep(0.02)
    return left


def say(text: str) -> None:
    with contextlib.suppress(OSError):  # the log's disk may be full; the leash holds all the same
        os.write(2, f"leash: {text}\n".encode())


def prctl(option: int, value: int) -> None:
    """Linux's prctl(2) with one argument. LeashError if the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise LeashError(f"prctl({option}, {value}) was refused: {os.strerror(ctypes.get_errno())}")


def launch(argv: list[str]) -> int:
    """Starts the command in a session of its own, bound to die with us; its pid."""
    leash = os.getpid()
    # Blocked over the fork: a signal for the child would otherwise land in our handler's pipe and be lost.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED_SIGNALS)
    pid = os.fork()
    if pid == 0:
        _become(argv, leash)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _become(argv: list[str], leash: int) -> NoReturn:
    code = 126
    try:
        os.setsid()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != leash:  # it died before the line above: no death signal will come
            os._exit(137)
        for signum in (*WATCHED_SIGNALS, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execvp(argv[0], argv)
    except FileNotFoundError:
        code = 127
        say(f"{argv[0]}: no such program; install it or correct its path")
    except (OSError, LeashError) as problem:
        say(f"{argv[0]}: cannot be run: {problem}")
    finally:
        os._exit(code)


class Held:
    """The command on its leash, from its start to its last descendant's end."""

    def __init__(self, command: int, parent: int, grace: float, record: Path | None) -> None:
        self.command = command
        self.parent = parent
        self.grace = grace
        self.record = record
        self.code: int | None = None
        self.deadline: float | None = None
        self._recorded: tuple[Process, ...] = ()
        self._pause = RECORD_SECONDS[0]
        self._next_look = 0.0

    def reap(self) -> bool:
        """Collects ended children; True while any process is left below us."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.command:
                code = os.waitstatus_to_exitcode(status)
                self.code = code if code >= 0 else 128 - code

    def stop(self, why: str) -> None:
        """Asks the command to end, once; its grace starts now."""
        if self.deadline is None:
            say(f"{why}: stopping, {self.grace:g} s of grace")
            self.deadline = time.monotonic() + self.grace
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.command, signal.SIGTERM)  # ours and not reaped, so the pid is still its own

    def on_signal(self, signum: int) -> None:
        if signum in STOP_SIGNALS:
            self.stop(signal.Signals(signum).name)
        elif signum == signal.SIGQUIT:
            self.stop("SIGQUIT")
            self.deadline = time.monotonic()
        elif signum == signal.SIGHUP and os.getppid() != self.parent:
            # Sent too when only the thread that started us ended: the parent is still there then.
            self.stop("the parent process is gone")

    def note(self) -> None:
        """Writes down which descendants exist, often at first and seldom later, and only what changed."""
        now = time.monotonic()
        if self.record is None or now < self._next_look:
            return
        self._next_look = now + self._pause
        self._pause = min(self._pause * 2, RECORD_SECONDS[1])
        table = process_table()
        me = Process(os.getpid(), table[os.getpid()].start)
        below = sorted(descendants([me.pid], table), key=lambda process: process.pid != self.command)
        if (me, *below) == self._recorded:
            return
        self._recorded = (me, *below)
        mark = os.environ.get(MARK, "").rpartition(":")[2]
        try:
            write_record(self.record, Record(mark, boot_id(), self.grace, self._recorded))
        except OSError as problem:
            say(f"cannot write {self.record}: {problem}")

    def wait_seconds(self) -> float:
        """How long nothing needs to be done unless something happens."""
        now = time.monotonic()
        until = self._next_look if self.record is not None else now + RECORD_SECONDS[1]
        return max(0.0, min(until, self.deadline if self.deadline is not None else until) - now)

    def kill_all(self) -> bool:
        """SIGKILLs every descendant until none is left; False if some would not die in `KILL_SECONDS`."""
        deadline = time.monotonic() + KILL_SECONDS
        while self.reap():
            if time.monotonic() > deadline:
                return False
            for process in descendants([os.getpid()], process_table()):
                with contextlib.suppress(PermissionError):
                    send(process, signal.SIGKILL)
            time.sleep(0.005)
        return True


def wake_on_signals() -> int:
    """From now on the watched signals arrive as bytes on the returned descriptor."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for signum in WATCHED_SIGNALS:
        signal.signal(signum, lambda *_: None)
    return reader


def watch(held: Held, wakeups: int) -> None:
    """Returns when the command has ended or its grace is over."""
    poller = select.poll()
    poller.register(wakeups, select.POLLIN)
    poller.register(0, select.POLLRDHUP)  # no POLLIN: only the other end's closing counts, never data
    while True:
        held.reap()
        if held.code is not None or (held.deadline is not None and time.monotonic() >= held.deadline):
            return
        held.note()
        for descriptor, _ in poller.poll(held.wait_seconds() * 1000 + 1):
            if descriptor == 0:
                poller.unregister(0)
                held.stop("the parent process is gone")
                continue
            with contextlib.suppress(BlockingIOError):
                for signum in os.read(wakeups, 4096):
                    held.on_signal(signum)


def hold(argv: list[str], parent: int, grace: float, record: Path | None) -> int:
    """Runs the command to its end; its exit code. LeashError if the kernel lacks something."""
    wakeups = wake_on_signals()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGHUP)
    if os.getppid() != parent:  # it died before the line above: no death signal will come
        say("the parent process is gone already; nothing was started")
        return 143
    held = Held(launch(argv), parent, grace, record)
    watch(held, wakeups)
    if held.kill_all():
        if record is not None:
            record.unlink(missing_ok=True)
    else:
        left = [process.pid for process in descendants([os.getpid()], process_table())]
        say(f"processes {left} do not die of SIGKILL (stuck in the kernel, or not ours); they stay")
    return 137 if held.code is None else held.code


def parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Our options and the command. Split by hand: the command's own `--` is none of argparse's business."""
    parser = argparse.ArgumentParser(prog="leash", usage="leash [options] -- COMMAND ARGS")
    parser.add_argument(
        "--parent", type=int, default=os.getppid(), help="pid that must live (ours by default)"
    )
    parser.add_argument("--grace", type=float, default=10.0, help="seconds between SIGTERM and SIGKILL")
    parser.add_argument("--record", type=Path, help="file that tells which processes are on the leash")
    split = argv.index("--") if "--" in argv else len(argv)
    options = parser.parse_args(argv[:split])
    if not argv[split + 1 :]:
        parser.error("no command: give it after --")
    if not 0 <= options.grace <= 86400:
        parser.error(f"--grace {options.grace:g}: give 0 to 86400 seconds")
    return options, argv[split + 1 :]


def main(argv: list[str]) -> int:
    options, command = parse(argv)
    if sys.platform != "linux":
        say(f"needs Linux (process death signals, /proc), not {sys.platform}: run the parts by hand there")
        return 2
    try:
        return hold(command, options.parent, options.grace, options.record)
    except LeashError as problem:
        say(str(problem))
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
