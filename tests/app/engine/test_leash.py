"""Whatever dies, and however: no process of the leashed command's tree is left."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from app.engine import leash
from app.engine.leash import Process, Record, identify
from tests.app.engine.kin import Family, until

LEASH = (sys.executable, "-I", "-S", str(Path(leash.__file__)))
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a leash whose stdin is a pipe that this test holds."""
    started: list[subprocess.Popen[bytes]] = []

    def start_leash(*argv: str, options: tuple[str, ...] = (), **more: object) -> subprocess.Popen[bytes]:
        settings = {"stdin": subprocess.PIPE, "start_new_session": True, **more}
        process = subprocess.Popen([*LEASH, *options, "--", *argv], **settings)  # type: ignore[call-overload]
        started.append(process)
        return process  # type: ignore[no-any-return]

    yield start_leash
    for process in started:
        process.kill()
        process.wait()
        if process.stdin:
            process.stdin.close()


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Callable[..., Family]]:
    made: list[Family] = []

    def make(generations: int, *traits: str) -> Family:
        made.append(Family(tmp_path / f"roll-{len(made)}", generations, *traits))
        return made[-1]

    yield make
    for each in made:
        each.clear()


DIFFICULT = [(), ("deaf",), ("wiped",), ("orphan",), ("deaf", "wiped", "orphan")]


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
)
def test_the_exit_code_is_passed_on(start: Start, script: str, code: int) -> None:
    assert start("sh", "-c", script).wait(30) == code


def test_a_missing_program_is_named(start: Start) -> None:
    process = start("no-such-program", stderr=subprocess.PIPE)
    assert process.stderr is not None
    errors = process.stderr.read()
    process.wait(30)
    assert (process.returncode, b"no-such-program" in errors) == (127, True)


def test_a_file_that_is_no_program_is_named(start: Start, tmp_path: Path) -> None:
    process = start(str(tmp_path), stderr=subprocess.PIPE)
    assert process.stderr is not None
    errors = process.stderr.read()
    process.wait(30)
    assert (process.returncode, str(tmp_path).encode() in errors) == (126, True)


@pytest.mark.parametrize(
    "argv", [[], ["--"], ["--grace", "-1", "--", "true"], ["--grace", "nan", "--", "true"]]
)
def test_wrong_use_is_refused(argv: list[str]) -> None:
    assert subprocess.run([*LEASH, *argv], capture_output=True, check=False, timeout=30).returncode == 2


def test_the_command_gets_its_arguments_and_a_clean_slate(start: Start) -> None:
    """Its own `--` arrives; signals are neither blocked nor ignored; stdin is empty; it leads its session."""
    script = (
        "echo \"$@\"; cat; grep -E '^Sig(Blk|Ign)' /proc/self/status; echo $$; cut -d' ' -f6 /proc/self/stat"
    )
    process = start("sh", "-c", script, "sh", "a", "--", "b", stdout=subprocess.PIPE)
    assert process.stdout is not None
    lines = process.stdout.read().decode().splitlines()
    assert lines[0] == "a -- b"
    assert lines[-2] == lines[-1], "it does not lead its session"
    # Without 32 and 33, the C library's own, which no program may unblock: whoever started us may block them.
    masks = [int(line.split()[1], 16) & ~(0b11 << 31) for line in lines if line.startswith("Sig")]
    assert masks == [0, 0]


@pytest.mark.parametrize("traits", DIFFICULT)
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_the_whole_tree(
    start: Start, family: Callable[..., Family], traits: tuple[str, ...], signum: int
) -> None:
    tree = family(3, *traits)
    process = start(*tree.argv, options=("--grace", "0.3"))
    tree.complete()
    process.send_signal(signum)
    assert process.wait(30) == (137 if "deaf" in traits else 143)
    assert tree.living() == []


def test_within_its_grace_a_command_may_finish(start: Start, tmp_path: Path) -> None:
    begun, done = tmp_path / "begun", tmp_path / "done"
    script = f"trap 'sleep 0.5; touch {done}; exit 5' TERM; touch {begun}; while :; do sleep 0.05; done"
    process = start("sh", "-c", script, options=("--grace", "60"))
    until(begun.exists, "the command runs")
    process.terminate()
    process.terminate()  # a process group's signal often comes twice; that must not cut the grace
    assert process.wait(30) == 5
    assert done.exists()


def test_sigquit_cuts_the_grace_short(start: Start, family: Callable[..., Family]) -> None:
    tree = family(2, "deaf")
    process = start(*tree.argv, options=("--grace", "3600"))
    tree.complete()
    process.terminate()
    process.send_signal(signal.SIGQUIT)
    assert process.wait(30) == 137
    assert tree.living() == []


@pytest.mark.parametrize("traits", DIFFICULT)
def test_what_an_ended_command_leaves_is_killed(
    start: Start, family: Callable[..., Family], traits: tuple[str, ...]
) -> None:
    tree = family(3, "exit=9", *traits)
    process = start(*tree.argv)
    assert process.wait(30) == 9
    assert len(tree.members()) == 3
    assert tree.living() == []


@pytest.mark.parametrize("traits", DIFFICULT)
def test_what_a_killed_command_leaves_is_killed(
    start: Start, family: Callable[..., Family], traits: tuple[str, ...]
) -> None:
    tree = family(3, *traits)
    process = start(*tree.argv)
    tree.complete()
    command = next(member for member in tree.members() if _parent(member) == process.pid)
    os.kill(command.pid, signal.SIGKILL)
    assert process.wait(30) == 137
    assert tree.living() == []


def test_the_pipe_alone_tells_of_the_parents_death(start: Start, family: Callable[..., Family]) -> None:
    """Its end closes while the parent lives: no death signal comes."""
    tree = family(3, "deaf", "orphan")
    process = start(*tree.argv, options=("--grace", "0.2"))
    tree.complete()
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(30) == 137
    assert tree.living() == []


@pytest.mark.parametrize("stdin", ["DEVNULL", "PIPE"])
def test_a_parent_killed_takes_the_tree_along(family: Callable[..., Family], stdin: str) -> None:
    """With DEVNULL there is no pipe: the death signal alone has to do."""
    tree = family(3, "deaf", "wiped", "orphan")
    script = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen(sys.argv[1:], stdin=subprocess.{stdin}, start_new_session=True)\n"
        "time.sleep(120)"
    )
    argv = [sys.executable, "-c", script, *LEASH, "--grace", "0.2", "--", *tree.argv]
    parent = subprocess.Popen(argv)
    try:
        tree.complete()
        table = leash.process_table()
        below = leash.descendants([parent.pid], table)
        assert len(below) == 3  # the leash, the first and the last of the family; the second has left
    finally:
        parent.kill()
        parent.wait()
    until(lambda: not [each for each in below if identify(each.pid) == each], "the tree is dead")
    assert tree.living() == []


def test_a_parent_that_died_before_gets_nothing_started(start: Start, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    process = start("touch", str(touched), options=("--parent", "1"))
    assert process.wait(30) == 143
    assert not touched.exists()


def test_the_end_of_the_starting_thread_is_not_the_parents_death(
    start: Start, family: Callable[..., Family]
) -> None:
    tree = family(1)
    begun: list[subprocess.Popen[bytes]] = []
    leave = threading.Event()

    def run() -> None:
        begun.append(start(*tree.argv, options=("--parent", str(os.getpid()))))
        leave.wait(60)

    thread = threading.Thread(target=run)
    thread.start()
    tree.complete()
    leave.set()
    thread.join()
    with pytest.raises(subprocess.TimeoutExpired):
        begun[0].wait(0.5)
    assert len(tree.living()) == 1


def test_a_killed_leash_takes_its_command_along(start: Start, family: Callable[..., Family]) -> None:
    tree = family(1, "deaf")
    process = start(*tree.argv)
    tree.complete()
    process.kill()
    tree.gone()


def _record_of(path: Path, members: int) -> Record:
    """The leash's record once it knows of `members` processes besides the leash."""

    def known() -> int:
        record = leash.read_record(path)
        return 0 if record is None else len(record.processes) - 1

    until(lambda: known() >= members, f"{members} processes are on record")
    record = leash.read_record(path)
    assert record is not None
    return record


def test_the_record_finds_what_a_killed_leash_leaves(
    start: Start, family: Callable[..., Family], tmp_path: Path
) -> None:
    """Wiped environments: only pid and start time tell."""
    path = tmp_path / "record"
    tree = family(3, "deaf", "wiped")
    process = start(*tree.argv, options=("--record", str(path)))
    tree.complete()
    record = _record_of(path, 3)
    assert record.processes[0] == identify(process.pid)
    assert record.processes[1].pid in {member.pid for member in tree.members()}
    process.kill()
    process.wait()
    until(lambda: len(tree.living()) == 2, "the kernel has ended the command")
    assert leash.end_survivors(record) == []
    assert tree.living() == []


def test_the_mark_finds_what_was_never_recorded(start: Start, family: Callable[..., Family]) -> None:
    tree = family(3, "deaf", "orphan")
    mark = uuid4().hex
    process = start(*tree.argv, env={**os.environ, leash.MARK: f"outer:{mark}"})
    tree.complete()
    process.kill()
    process.wait()
    assert leash.end_survivors(Record(mark, "", 1.0, ())) == []
    tree.gone()


def test_an_orderly_end_removes_the_record(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "record"
    process = start("sleep", "60", options=("--record", str(path)))
    _record_of(path, 1)
    process.terminate()
    process.wait(30)
    assert list(tmp_path.iterdir()) == []


def test_survivors_get_their_time_first(start: Start) -> None:
    """A leash that is still ending its tree in order is not cut short."""
    process = start("sleep", "0.5")
    begun = identify(process.pid)
    assert begun is not None
    reaper = threading.Thread(target=process.wait)
    reaper.start()
    assert leash.end_survivors(Record("", leash.boot_id(), 1.0, (begun,)), patience=30.0) == []
    reaper.join()
    assert process.returncode == 0


@pytest.mark.parametrize("wrong", ["start", "boot"])
def test_a_reused_pid_is_never_touched(family: Callable[..., Family], wrong: str) -> None:
    innocent = subprocess.Popen(["sleep", "60"])
    try:
        real = identify(innocent.pid)
        assert real is not None
        claimed = Process(real.pid, real.start - 1) if wrong == "start" else real
        boot = leash.boot_id() if wrong == "start" else "another boot"
        record = Record("", boot, 1.0, (claimed,))
        assert leash.survivors(record) == []
        assert leash.end_survivors(record) == []
        assert leash.send(Process(real.pid, real.start - 1), signal.SIGKILL) is False
        time.sleep(0.05)
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"mark": 1}', '{"mark":"","boot":"","grace":1,"processes":[1]}']
)
def test_a_damaged_record_is_no_record(tmp_path: Path, text: str) -> None:
    path = tmp_path / "record"
    path.write_text(text)
    assert leash.read_record(path) is None


def test_other_systems_get_a_clear_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert leash.main(["--", "true"]) == 2
    assert "needs Linux" in capfd.readouterr().err


def _parent(process: Process) -> int:
    return leash.process_table()[process.pid].parent
