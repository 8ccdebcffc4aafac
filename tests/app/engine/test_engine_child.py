"""A real vLLM as a child: ready over its socket, and gone with all its processes when its leash is killed."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.base_model.serving import cpu_settings
from app.engine.children import ServePlan, engine_processes, engine_spec, prepare
from app.engine.childspec import Event, Kind
from app.engine.leash import MARK, Process, descendants, identify, process_table, send
from app.engine.supervisor import Supervisor
from tests.app.engine.kin import soon
from tests.engine_process import ENGINE_PYTHON, make_tiny_model

pytestmark = pytest.mark.engine


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="a", dir="/tmp") as name:
        yield Path(name)


def engine_plan(folder: Path) -> ServePlan:
    settings = cpu_settings(os.cpu_count() or 1)
    return ServePlan(
        environ=dict(os.environ),
        run_dir=folder,
        log_dir=folder / "log",
        valkey_argv=(),
        valkey_socket=folder / "valkey.sock",
        engine_python=ENGINE_PYTHON,
        model=str(make_tiny_model(folder / "model")),
        engines=engine_processes(folder, 1),
        engine_flags=(*settings.flags, "--max-model-len", "256"),
        engine_env=settings.env,
        engine_token="token",
        adapter_root=folder / "adapters",
        atelier=(sys.executable, "-m", "app.cli"),
        settings={},
        gateway_address=("127.0.0.1", 8080),
        drain_seconds=30.0,
    )


async def test_a_killed_leash_leaves_nothing_of_the_engine(folder: Path) -> None:
    plan = await asyncio.to_thread(engine_plan, folder)
    prepare(plan)
    events: list[Event] = []
    supervisor = Supervisor([engine_spec(plan, plan.engines[0])], events.append, folder / "state")
    task = asyncio.create_task(supervisor.run())
    below: list[Process] = []
    try:
        await asyncio.wait_for(supervisor.wait_ready(), 300)
        assert any(event.kind is Kind.PROGRESS for event in events), "loading takes long enough to be told"
        leash = supervisor.status()[0].leash
        assert leash is not None
        below = descendants([leash], process_table())
        sessions = {os.getsid(process.pid) for process in below}
        assert len(below) >= 2, "vLLM's core is a process of its own"
        unmarked = [each for each in below if MARK.encode() not in environment(each)]
        assert unmarked == [], f"a renamed process has lost its mark (sessions {sessions})"
        os.kill(leash, signal.SIGKILL)
        await soon(lambda: supervisor.status()[0].restarts == 1, "the engine is started again")
        assert [each for each in below if identify(each.pid) == each] == []
    finally:
        supervisor.hurry()
        await asyncio.wait_for(task, 60)
        for process in below:
            send(process, signal.SIGKILL)


def environment(process: Process) -> bytes:
    return Path(f"/proc/{process.pid}/environ").read_bytes()
