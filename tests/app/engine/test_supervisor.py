"""Children start in order, come back when they die, say so when they cannot, and leave nothing behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from app.engine.childspec import describe_exit, pause_seconds
from app.engine.leash import identify, process_table
from app.engine.supervisor import (
    ChildSpec,
    Event,
    Kind,
    Pace,
    StartFailed,
    State,
    Supervisor,
    check_order,
    read_status,
)
from tests.app.engine.kin import Family, soon, until

QUICK = Pace(first_pause=0.01, longest_pause=0.02, loop_after=3, health_every=0.05, progress_every=0.05)
KEEPER = Path(__file__).with_name("keeper.py")
ROOT = Path(__file__).parents[3]


class Nursery:
    """Specs of shell children in one folder, and what their supervisor told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self.order = folder / "order"

    def spec(self, name: str, script: str, *depends_on: str) -> ChildSpec:
        argv = ("sh", "-c", script)
        env = {"PATH": os.environ["PATH"], "ORDER": str(self.order), "NAME": name}
        return ChildSpec(name, argv, env, self.folder / f"{name}.log", depends_on=depends_on)

    def lasting(self, name: str, *depends_on: str) -> ChildSpec:
        """Writes its name when it starts and `-name` when it is told to end."""
        script = (
            "trap 'echo -$NAME >> $ORDER; exit 0' TERM; echo $NAME >> $ORDER; while :; do sleep 0.02; done"
        )
        return self.spec(name, script, *depends_on)

    def lines(self) -> list[str]:
        return self.order.read_text().split() if self.order.exists() else []

    def kinds(self, name: str) -> list[Kind]:
        return [event.kind for event in self.events if event.child == name]

    def told(self, name: str, kind: Kind) -> list[Event]:
        return [event for event in self.events if (event.child, event.kind) == (name, kind)]

    @asynccontextmanager
    async def running(self, *specs: ChildSpec, pace: Pace = QUICK) -> AsyncIterator[Supervisor]:
        supervisor = Supervisor(specs, self.events.append, self.folder / "state", pace)
        task = asyncio.create_task(supervisor.run())
        try:
            yield supervisor
        finally:
            supervisor.hurry()
            await asyncio.wait_for(task, 60)
        assert list((self.folder / "state").glob("*.leash")) == []


@pytest.fixture
def nursery(tmp_path: Path) -> Nursery:
    return Nursery(tmp_path)


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Callable[..., Family]]:
    made: list[Family] = []

    def make(generations: int, *traits: str) -> Family:
        made.append(Family(tmp_path / f"roll-{len(made)}", generations, *traits))
        return made[-1]

    yield make
    for each in made:
        each.clear()


async def test_a_child_starts_when_what_it_depends_on_is_ready(nursery: Nursery) -> None:
    gate = nursery.folder / "gate"

    async def open_gate() -> bool:
        return gate.exists()

    first = replace(nursery.lasting("first"), ready=open_gate, activity="opening the gate")
    async with nursery.running(
        nursery.lasting("second", "first"), first, nursery.lasting("other")
    ) as supervisor:
        await soon(lambda: set(nursery.lines()) == {"first", "other"}, "the independent ones run")
        await soon(lambda: bool(nursery.told("first", Kind.PROGRESS)), "progress is told")
        assert nursery.told("first", Kind.PROGRESS)[0].line.startswith("first: opening the gate… ")
        states = {status.name: status.state for status in supervisor.status()}
        assert states == {"first": State.STARTING, "other": State.READY, "second": State.WAITING}
        assert "second" not in nursery.lines()
        gate.touch()
        await asyncio.wait_for(supervisor.wait_ready(), 30)
        await soon(lambda: "second" in nursery.lines(), "the dependent one runs")
    assert nursery.told("second", Kind.WAITING)[0].line == "second: waiting for first"


async def test_dependents_are_stopped_first(nursery: Nursery) -> None:
    outlived = replace(nursery.lasting("gateway", "state"), outlived_by=("engine",))
    specs = (nursery.lasting("state"), nursery.lasting("engine", "state"), outlived)
    async with nursery.running(*specs) as supervisor:
        await soon(lambda: len(nursery.lines()) == 3, "all run")
        supervisor.stop()
        await soon(lambda: len(nursery.lines()) == 6, "all were told to end")
    assert nursery.lines()[3:] == ["-gateway", "-engine", "-state"]
    assert all(nursery.kinds(spec.name)[-2:] == [Kind.STOPPING, Kind.STOPPED] for spec in specs)


async def test_a_child_that_exits_is_started_again(nursery: Nursery) -> None:
    async with nursery.running(nursery.spec("brief", "echo $NAME >> $ORDER; exit 4")) as supervisor:
        await soon(lambda: len(nursery.lines()) >= 3, "it was started three times")
        assert supervisor.status()[0].last_exit == "exit code 4"
    kinds = [kind for kind in nursery.kinds("brief") if kind is not Kind.READY]
    assert kinds[:5] == [Kind.STARTING, Kind.EXITED, Kind.RESTARTING, Kind.STARTING, Kind.EXITED]


async def test_a_crash_loop_is_told_with_the_log_and_harms_nobody_else(nursery: Nursery) -> None:
    async def never() -> bool:
        return False

    broken = replace(nursery.spec("broken", "echo no such model: x >&2; exit 1"), ready=never)
    async with nursery.running(broken, nursery.lasting("sound")) as supervisor:
        with pytest.raises(
            StartFailed, match="broken: failed 3 times in a row, last: exit code 1"
        ) as failure:
            await asyncio.wait_for(supervisor.wait_ready(), 30)
        assert failure.value.log_tail == ("no such model: x",), "lines of earlier lives do not belong here"
        await soon(
            lambda: len(nursery.told("broken", Kind.CRASH_LOOP)) >= 2, "it is tried again, and told again"
        )
        await soon(lambda: supervisor.status()[1].ready, "the sound one is ready")
    assert nursery.told("broken", Kind.CRASH_LOOP)[0].log_tail == ("no such model: x",)
    assert nursery.kinds("sound").count(Kind.STARTING) == 1


async def test_failures_count_anew_after_a_stable_time(nursery: Nursery) -> None:
    async with nursery.running(nursery.spec("brief", "sleep 0.05"), pace=replace(QUICK, stable_seconds=0.0)):
        await soon(lambda: len(nursery.told("brief", Kind.EXITED)) >= 5, "it failed five times")
    assert nursery.told("brief", Kind.CRASH_LOOP) == []


async def test_a_child_that_never_gets_ready_is_ended_and_tried_again(nursery: Nursery) -> None:
    async def never() -> bool:
        raise ConnectionRefusedError

    mute = replace(nursery.lasting("mute"), ready=never, ready_timeout=0.3)
    async with nursery.running(mute):
        await soon(lambda: nursery.lines().count("mute") >= 2, "it was started twice")
    assert nursery.told("mute", Kind.EXITED)[0].text == "not ready within 0.3 s"
    assert nursery.lines()[:2] == ["mute", "-mute"]


async def test_a_child_that_stops_answering_is_started_again(nursery: Nursery) -> None:
    well = nursery.folder / "well"
    well.touch()

    async def answers() -> bool:
        return well.exists()

    async with nursery.running(
        replace(nursery.lasting("engine"), ready=answers, unhealthy_seconds=0.2)
    ) as supervisor:
        await asyncio.wait_for(supervisor.wait_ready(), 30)
        well.unlink()
        await soon(lambda: bool(nursery.told("engine", Kind.EXITED)), "it was ended")
        well.touch()
        await soon(lambda: supervisor.status()[0].ready, "it is back")
    assert nursery.told("engine", Kind.EXITED)[0].text == "did not answer for 0.2 s"


async def test_a_short_silence_costs_no_restart(nursery: Nursery) -> None:
    well = nursery.folder / "well"
    well.touch()

    async def answers() -> bool:
        return well.exists()

    async with nursery.running(replace(nursery.lasting("engine"), ready=answers)) as supervisor:
        await asyncio.wait_for(supervisor.wait_ready(), 30)
        well.unlink()
        await soon(lambda: supervisor.status()[0].state is State.UNREADY, "its silence is noticed")
        well.touch()
        await soon(lambda: supervisor.status()[0].ready, "it answers again")
        assert supervisor.status()[0].restarts == 0


@pytest.mark.parametrize("victim", ["command", "leash"])
async def test_what_is_killed_comes_back_and_leaves_nothing(
    nursery: Nursery, family: Callable[..., Family], victim: str
) -> None:
    tree = family(3, "deaf", "orphan")
    spec = replace(nursery.spec("engine", ""), argv=tree.argv)
    async with nursery.running(spec) as supervisor:
        await soon(lambda: len(tree.members()) == 3, "the first family is complete")
        await soon(lambda: supervisor.status()[0].pid is not None, "the command is on record")
        status = supervisor.status()[0]
        first = tree.living()
        pid = status.pid if victim == "command" else status.leash
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await soon(lambda: len(tree.members()) == 6, "the second family is complete")
        assert not set(first) & set(tree.living())
    assert tree.living() == []
    assert "SIGKILL" in nursery.told("engine", Kind.EXITED)[0].text


async def test_a_child_not_to_be_restarted_fails_with_its_dependents(nursery: Nursery) -> None:
    async def never() -> bool:
        return False

    once = replace(nursery.spec("once", "echo bad disk; exit 3"), restart=False, ready=never)
    async with nursery.running(once, nursery.lasting("dependent", "once")) as supervisor:
        with pytest.raises(StartFailed, match=r"once: exit code 3|dependent: not started"):
            await asyncio.wait_for(supervisor.wait_ready(), 30)
        await soon(lambda: supervisor.status()[1].state is State.FAILED, "the dependent has given up")
    assert nursery.told("once", Kind.FAILED)[0].log_tail == ("bad disk",)
    assert nursery.lines() == []


@pytest.mark.parametrize("how", ["program", "log"])
async def test_what_cannot_be_started_is_told_not_raised(nursery: Nursery, how: str) -> None:
    spec = nursery.lasting("odd")
    if how == "program":
        spec = replace(spec, argv=("/no/such/program",))
    else:
        (nursery.folder / "file").touch()
        spec = replace(spec, log_path=nursery.folder / "file" / "odd.log")
    async with nursery.running(spec, nursery.lasting("sound")) as supervisor:
        await soon(lambda: bool(nursery.told("odd", Kind.CRASH_LOOP)), "the loop is told")
        await soon(lambda: supervisor.status()[1].ready, "the sound one is ready")
    told = nursery.told("odd", Kind.CRASH_LOOP)[0]
    expected = {"program": "/no/such/program: no such program", "log": str(nursery.folder / "file")}
    assert expected[how] in "\n".join((told.text, *told.log_tail))


async def test_a_listener_that_fails_ends_nothing(nursery: Nursery) -> None:
    def closed_terminal(event: Event) -> None:
        raise BrokenPipeError

    supervisor = Supervisor([nursery.lasting("child")], closed_terminal, nursery.folder / "state", QUICK)
    task = asyncio.create_task(supervisor.run())
    await asyncio.wait_for(supervisor.wait_ready(), 30)
    supervisor.stop()
    await asyncio.wait_for(task, 30)


@pytest.mark.parametrize("how", ["hurry", "cancel"])
async def test_in_a_hurry_no_grace_is_given(
    nursery: Nursery, family: Callable[..., Family], how: str
) -> None:
    tree = family(2, "deaf")
    spec = replace(nursery.spec("deaf", ""), argv=tree.argv, grace_seconds=3600.0)
    supervisor = Supervisor([spec], nursery.events.append, nursery.folder / "state", QUICK)
    task = asyncio.create_task(supervisor.run())
    await soon(lambda: len(tree.members()) == 2, "the family is complete")
    supervisor.stop()
    await soon(lambda: bool(nursery.told("deaf", Kind.STOPPING)), "it is asked to end")
    supervisor.hurry() if how == "hurry" else task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait_for(task, 30)
    assert tree.living() == []


async def test_a_stop_before_anything_is_ready_stops(nursery: Nursery) -> None:
    async def never() -> bool:
        return False

    async with nursery.running(
        replace(nursery.lasting("a"), ready=never), nursery.lasting("b", "a")
    ) as supervisor:
        await soon(lambda: nursery.lines() == ["a"], "a runs")
        supervisor.stop()
        with pytest.raises(StartFailed, match="stopped before it was ready"):
            await asyncio.wait_for(supervisor.wait_ready(), 30)
        await soon(lambda: supervisor.status()[0].state is State.STOPPED, "a has ended")
    assert nursery.lines() == ["a", "-a"]


async def test_other_processes_can_read_the_status(nursery: Nursery) -> None:
    state = nursery.folder / "state"
    assert read_status(state) == ()
    async with nursery.running(nursery.lasting("child")) as supervisor:
        await asyncio.wait_for(supervisor.wait_ready(), 30)
        await soon(lambda: supervisor.status()[0].pid is not None, "the command is on record")
        assert read_status(state) == supervisor.status()
    after = read_status(state)[0]
    assert (after.state, after.pid) == (State.STOPPED, None)
    (state / "status.json").write_text('[{"name": "child"}]')
    assert read_status(state) == ()


async def test_a_log_is_kept_within_bounds_while_its_child_writes(nursery: Nursery) -> None:
    pace = replace(QUICK, log_bytes=20_000, log_keep=2)
    chatty = nursery.spec(
        "chatty", "while :; do echo 0123456789012345678901234567890123456789; sleep 0.0005; done"
    )
    async with nursery.running(chatty, pace=pace):
        await soon((nursery.folder / "chatty.log.2").exists, "it was rotated twice")
        await soon(lambda: chatty.log_path.stat().st_size > 0, "the child writes on")
    logs = sorted(path.name for path in nursery.folder.glob("chatty.log*"))
    assert logs == ["chatty.log", "chatty.log.1", "chatty.log.2"]
    assert b"\0" not in chatty.log_path.read_bytes(), "it went on behind the cut, not at its start"


def keeper(argv: Sequence[str], folder: Path, grace: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(KEEPER), str(folder / "state"), grace, "--", *argv]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, cwd=ROOT, env=_env())


def _env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("traits", [("deaf",), ("deaf", "wiped", "orphan")])
def test_a_killed_supervisor_leaves_nothing(
    family: Callable[..., Family], tmp_path: Path, traits: tuple[str, ...]
) -> None:
    tree = family(3, *traits)
    process = keeper(tree.argv, tmp_path, "0.2")
    try:
        tree.complete()
    finally:
        process.kill()
        process.wait()
    tree.gone()
    until(lambda: not list((tmp_path / "state").glob("*.leash")), "the leash has ended in order")


async def test_the_next_start_ends_what_killed_leashes_left(
    nursery: Nursery, family: Callable[..., Family]
) -> None:
    """Supervisor and leash die together, so only the record tells of the rest."""
    tree = family(3, "deaf", "wiped")
    process = keeper(tree.argv, nursery.folder, "60")
    state = nursery.folder / "state"
    try:
        tree.complete()
        table = process_table()
        leash = next(pid for pid, entry in table.items() if entry.parent == process.pid)
        until(lambda: (state / "kept.leash").read_text().count("], [") >= 3, "all are on record")
        os.kill(process.pid, signal.SIGSTOP)  # so that it cannot clean up between the two kills
        os.kill(leash, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    until(lambda: len(tree.living()) == 2, "the command is dead, the others not")
    async with nursery.running(nursery.lasting("kept")) as supervisor:
        await asyncio.wait_for(supervisor.wait_ready(), 30)
        assert tree.living() == []


async def test_the_next_start_waits_for_an_orderly_end(nursery: Nursery, tmp_path: Path) -> None:
    """A leash that gives its grace after the supervisor's death is not cut short, nor is anything started."""
    script = f"trap 'sleep 0.7; echo saved >> {nursery.order}; exit 0' TERM; echo up >> {nursery.order}; "
    argv = ("sh", "-c", script + "while :; do sleep 0.02; done")
    process = keeper(argv, tmp_path, "60")
    try:
        until(lambda: nursery.lines() == ["up"], "it runs")
        until(lambda: (tmp_path / "state/kept.leash").read_text().count("], [") >= 1, "it is on record")
    finally:
        process.kill()
        process.wait()
    async with nursery.running(nursery.lasting("kept")):
        await soon(lambda: len(nursery.lines()) == 3, "the next one runs")
    assert nursery.lines()[:3] == ["up", "saved", "kept"]


@pytest.mark.parametrize(("signum", "times"), [(signal.SIGTERM, 1), (signal.SIGHUP, 1), (signal.SIGINT, 2)])
def test_signals_stop_the_supervisor(
    family: Callable[..., Family], tmp_path: Path, signum: int, times: int
) -> None:
    """Once in order; a second Ctrl-C does not wait for the grace of the deaf."""
    log = tmp_path / "kept.log"
    tree = family(2, *(("deaf",) if times == 2 else ()))
    process = keeper(tree.argv, tmp_path, "3600")
    try:
        tree.complete()
        for _ in range(times):
            process.send_signal(signum)
            if times == 2:
                until(lambda: "stopping" in log.read_text(), "the first signal has arrived")
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert tree.living() == []


def test_the_pause_doubles_within_bounds() -> None:
    pace = Pace(first_pause=0.5, longest_pause=30.0)
    assert [pause_seconds(pace, n, 1.0) for n in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert pause_seconds(pace, 4, 0.0) == 2.0
    assert pause_seconds(pace, 10_000, 0.0) == 15.0


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (3, "exit code 3"),
        (137, "killed by SIGKILL (out of memory?)"),
        (-15, "killed by SIGTERM"),
        (255, "exit code 255"),
    ],
)
def test_exits_are_told_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words


def test_an_impossible_order_is_refused(nursery: Nursery) -> None:
    a, b = nursery.lasting("a", "b"), nursery.lasting("b", "a")
    with pytest.raises(ValueError, match="wait for each other: a, b"):
        check_order([a, b])
    with pytest.raises(ValueError, match="a waits for b, which is no child"):
        check_order([a])
    with pytest.raises(ValueError, match="same name"):
        check_order([a, a])
    assert identify(os.getpid()) is not None


async def test_socket_of_a_killed_child_is_removed_for_the_next_one(nursery: Nursery, tmp_path: Path) -> None:
    """A server binds anew after kill -9 only if the file of its old socket is gone."""
    path = tmp_path / "s"
    server = (
        "import os, socket, time; s = socket.socket(socket.AF_UNIX); s.bind(os.environ['SOCKET']);"
        " open(os.environ['ORDER'], 'a').write('bound\\n'); time.sleep(600)"
    )
    spec = nursery.spec("server", "")
    spec = replace(
        spec, argv=(sys.executable, "-c", server), env={**spec.env, "SOCKET": str(path)}, socket=path
    )
    async with nursery.running(spec) as supervisor:
        await soon(lambda: nursery.lines() == ["bound"], "bound")
        (status,) = supervisor.status()
        assert status.pid is not None
        os.kill(status.pid, signal.SIGKILL)
        await soon(lambda: nursery.lines() == ["bound", "bound"], "bound again")
