"""Whatever dies and however: no process stays behind, and the next start finds all data."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from app.engine.rundir import run_directory
from tests.models.marker import write_marker_adapter
from tests.service.inside import alive, tree, verified_audit
from tests.service.traffic import ask
from tests.stack import Stack, eventually

pytestmark = pytest.mark.engine

GONE_SECONDS = 60.0
"""The longest grace of a child: the gateway's drain time of these tests and ten seconds, thirty for Valkey."""


@pytest.fixture(scope="module")
def kept(stack: Stack, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What must survive: an adapter, its text, a key, the number of audit records."""
    folder = tmp_path_factory.mktemp("kept")
    text = write_marker_adapter(tiny_model, folder, 41)
    version = stack.push(folder, "kept")
    key = stack.make_key(name="kept")
    with stack.http() as client:
        answer = client.post("/v1/releases", json={"alias": "kept-too", "version": version})
    assert answer.status_code == 201
    return {"version": version, "text": text, "key": key, "records": str(verified_audit(stack))}


def check_kept(stack: Stack, kept: dict[str, str]) -> None:
    """Keys, adapters, aliases and the audit log are as they were."""
    eventually(lambda: ask(stack, "kept", max_tokens=1).whole, seconds=60)
    for alias in ("kept", "kept-too", kept["version"]):
        answer = ask(stack, alias, max_tokens=3)
        assert (answer.version, answer.text) == (kept["version"], 3 * kept["text"]), answer
    assert ask(stack, "general", max_tokens=1, key=kept["key"]).whole
    assert verified_audit(stack) > int(kept["records"])


def test_stop_and_start(stack: Stack, kept: dict[str, str]) -> None:
    below = tree(stack.supervisor.pid)
    assert stack.stop(signal.SIGTERM) == 0
    assert alive(below) == []
    assert not [path for path in run_directory(stack.var).iterdir() if path.suffix == ".leash"]
    stack.start()
    check_kept(stack, kept)


def test_supervisor_killed(stack: Stack, kept: dict[str, str]) -> None:
    below = tree(stack.supervisor.pid)
    stack.supervisor.kill()
    stack.supervisor.wait()
    eventually(lambda: not alive(below), seconds=GONE_SECONDS)
    stack.start()
    check_kept(stack, kept)


@pytest.mark.parametrize("child", ["gateway", "agent-0"])
def test_killed_child_leaves_nothing(stack: Stack, child: str) -> None:
    below = tree(leash_of(stack, child))
    assert len(below) >= 2
    before = stack.kill(child)
    eventually(lambda: not alive(below), seconds=30)
    eventually(lambda: stack.pid(child) != before)
    eventually(lambda: ask(stack, "general", max_tokens=1).whole, seconds=60)


def test_leash_killed(stack: Stack) -> None:
    """Even the keeper's own death leaves nothing of what it kept."""
    leash = leash_of(stack, "gateway")
    below = tree(leash)
    os.kill(leash, signal.SIGKILL)
    eventually(lambda: not alive(below), seconds=30)
    eventually(lambda: ask(stack, "general", max_tokens=1).whole, seconds=60)


def leash_of(stack: Stack, child: str) -> int:
    """The pid of a child's keeper."""
    stack.pid(child)
    record = json.loads((run_directory(stack.var) / f"{child}.leash").read_text())
    return int(record["processes"][0][0])
