"""Two engines: load is spread, one dies and comes back, and nobody notices but its own streams."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.models.marker import write_marker_adapter
from tests.service.inside import alive, engine_metric, residency, tree, verified_audit
from tests.service.traffic import Answer, Load, Running
from tests.stack import ROOT, Stack, eventually

pytestmark = pytest.mark.engine

ENGINES = ("engine-0", "engine-1")
# Tokens: seconds of work even for the tiny model on an idle machine, so that a kill comes in the middle.
LONG = 3500
BACK_SECONDS = 240.0

CLERK = """
name: clerk
adapter: clerk
defaults: {temperature: 0}
"""


@pytest.fixture(scope="module")
def assistants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assistants")
    shutil.copy(ROOT / "examples/bank/assistants/general.yaml", folder)
    return folder


@pytest.fixture(scope="module")
def pair(tiny_model: Path, assistants: Path) -> Iterator[Stack]:
    with Stack(tiny_model, engines=2, ATELIER_ASSISTANTS_DIR=str(assistants)) as running:
        eventually(lambda: all(up(running, engine) for engine in ENGINES), seconds=BACK_SECONDS)
        yield running


def up(stack: Stack, engine: str) -> bool:
    """Whether the gateway counts the engine in."""
    with stack.http() as client:
        return f'atelier_engine_up{{engine="{engine}"}} 1.0' in client.get("/metrics").text


def waiting_for(stack: Stack) -> list[str]:
    answer = httpx.get(f"{stack.url}/readyz", timeout=5)
    reasons: list[str] = answer.json()["waiting_for"]
    assert (answer.status_code == 200) == (not reasons)
    return reasons


def proved_on(stack: Stack, version: str) -> set[str]:
    return {name for name, held in stack.adapter(version)["engines"].items() if held["state"] == "proved"}


def running(stack: Stack) -> list[float]:
    return [engine_metric(stack, "vllm:num_requests_running", engine) for engine in ENGINES]


def generated(stack: Stack) -> list[float]:
    return [engine_metric(stack, "vllm:generation_tokens_total", engine) for engine in ENGINES]


def test_ready_means_the_required_adapter_is_proved(
    pair: Stack, tiny_model: Path, assistants: Path, tmp_path: Path
) -> None:
    assert waiting_for(pair) == []
    (assistants / "clerk.yaml").write_text(CLERK)
    eventually(lambda: waiting_for(pair) == ["a version of adapter clerk for assistant clerk"])
    text = write_marker_adapter(tiny_model, tmp_path, 31)
    version = pair.push(tmp_path, "clerk")
    eventually(lambda: waiting_for(pair) == [])
    eventually(lambda: proved_on(pair, version) == set(ENGINES))
    load = Load(pair, "clerk", 4, max_tokens=4)
    with load.running() as answers:
        eventually(lambda: len(answers) >= 12, seconds=60)
    assert {(answer.version, answer.text) for answer in answers} == {(version, 4 * text)}


def test_load_is_spread(pair: Stack) -> None:
    eventually(lambda: running(pair) == [0.0, 0.0])
    time.sleep(2.5)  # two polls: the gateway knows it, too
    before = generated(pair)
    streams = [Running(pair, "clerk", max_tokens=1500) for _ in range(8)]
    assert all(stream.result().whole for stream in streams)
    # What each has made in the end: how many it is making at one moment depends on which engine is faster.
    answers = [(now - then) / 1500 for now, then in zip(generated(pair), before, strict=True)]
    assert min(answers) >= 3, f"eight at once, and one engine has nearly all of them: {answers}"


def test_one_engine_dies_and_comes_back(pair: Stack) -> None:
    streams = [Running(pair, "clerk", max_tokens=LONG) for _ in range(6)]
    for stream in streams:
        stream.wait_under_way()
    at_stake = running(pair)
    epoch = residency(pair, "engine-1")["epoch"]
    load = Load(pair, "clerk", 4, max_tokens=2)
    with load.running() as short:
        eventually(lambda: len(short) >= 4, seconds=60)
        pair.kill("engine-1")
        ended = [stream.result() for stream in streams]
        began = len(short)
        eventually(lambda: len(short) >= began + 20, seconds=60)
        assert waiting_for(pair) == [], "one engine with everything proved is enough to be ready"
    broken = [answer for answer in ended if not answer.whole]
    assert len(broken) == at_stake[1], "all on the killed engine, and none of the others"
    for answer in broken:
        assert answer.error.get("code") == "engine_failed", answer
    check_short_ones(short)
    eventually(lambda: up(pair, "engine-1"), seconds=BACK_SECONDS)
    version = next(answer.version for answer in short if answer.whole)
    eventually(lambda: proved_on(pair, version) == set(ENGINES), seconds=60)
    assert residency(pair, "engine-1")["epoch"] != epoch
    test_load_is_spread(pair)


def check_short_ones(short: list[Answer]) -> None:
    """A request that had no byte yet went to the other engine; one that had is told of the failure."""
    failed = [answer for answer in short if not answer.whole]
    assert len(failed) <= 4, "one for each client that was reading when the engine died, at most"
    for answer in failed:
        assert answer.status == 200, answer
        assert answer.error.get("code") == "engine_failed", answer


def test_ctrl_c_leaves_nothing(pair: Stack) -> None:
    verified_audit(pair)
    stream = Running(pair, "clerk", max_tokens=30, after=2)
    stream.wait_under_way()
    below = tree(pair.supervisor.pid)
    assert len(below) > 2 * 7, (
        "state, gateway, two agents, two engines of several processes, and their leashes"
    )
    began = time.monotonic()
    assert pair.stop(signal.SIGINT) == 0
    print(f"stopped in {time.monotonic() - began:.1f} s")
    assert alive(below) == []
    assert stream.result().whole, "running streams may end first"
