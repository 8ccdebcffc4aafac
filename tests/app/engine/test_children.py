"""What `atelier serve` starts, with which arguments and environment, in which order."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.engine.children import ServePlan, child_specs, engine_processes, prepare
from app.engine.childspec import ChildSpec, Event
from app.engine.probe import http_ready, redis_ready
from app.engine.supervisor import Supervisor, check_order
from app.state.embedded import valkey_argv, valkey_binary
from tests.app.engine.kin import soon

ENVIRON = {
    "PATH": os.environ["PATH"],
    "HOME": "/home/somebody",
    "LC_ALL": "C.UTF-8",
    "OMP_NUM_THREADS": "2",
    "AWS_SECRET_ACCESS_KEY": "hush",
    "HF_TOKEN": "hush",
    "CUDA_API_KEY": "hush",
    "ATELIER_ADMIN_KEY": "hush",
    "ATELIER_S3_SECRET_ACCESS_KEY": "hush",
    "VLLM_API_KEY": "hush",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
    "PYTHONPATH": "/elsewhere",
}


@pytest.fixture
def plan() -> Iterator[ServePlan]:
    with tempfile.TemporaryDirectory(prefix="a", dir="/tmp") as name:
        folder = Path(name)
        (folder / "data").mkdir()
        made = ServePlan(
            environ=ENVIRON,
            run_dir=folder,
            log_dir=folder / "log",
            valkey_argv=tuple(valkey_argv(valkey_binary(), folder / "data", folder / "valkey.sock")),
            valkey_socket=folder / "valkey.sock",
            engine_python=Path(sys.executable),
            model=str(folder),
            engines=engine_processes(folder, 2),
            engine_flags=("--max-model-len", "2048"),
            engine_env={"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1"},
            engine_token="secret-of-the-engines",
            adapter_root=folder / "adapters",
            atelier=(sys.executable, "-m", "app.cli"),
            settings={"ATELIER_VAR_DIR": str(folder)},
            gateway_address=("127.0.0.1", 8080),
            drain_seconds=30.0,
        )
        prepare(made)
        yield made


def named(plan: ServePlan, name: str) -> ChildSpec:
    return next(spec for spec in child_specs(plan) if spec.name == name)


def test_the_children_and_their_order(plan: ServePlan) -> None:
    specs = child_specs(plan)
    check_order(specs)
    assert [spec.name for spec in specs] == [
        "valkey",
        "engine-0",
        "engine-1",
        "agent-0",
        "agent-1",
        "gateway",
    ]
    gateway = specs[-1]
    assert gateway.depends_on == ("valkey",)
    assert set(gateway.outlived_by) == {"engine-0", "engine-1", "agent-0", "agent-1"}
    assert gateway.grace_seconds > plan.drain_seconds


def test_somebody_elses_state_server_is_not_started(plan: ServePlan) -> None:
    remote = replace(plan, valkey_argv=(), settings={"ATELIER_STATE_URL": "redis://elsewhere"})
    specs = child_specs(remote)
    check_order(specs)
    assert "valkey" not in [spec.name for spec in specs]
    assert named(remote, "gateway").env["ATELIER_STATE_URL"] == "redis://elsewhere"


def test_the_engine_is_told_all_it_needs(plan: ServePlan) -> None:
    argv = named(plan, "engine-1").argv
    pairs = {name: argv[index + 1] for index, name in enumerate(argv[:-1]) if name.startswith("--")}
    assert argv[:4] == (sys.executable, "-P", "-m", "vllm.entrypoints.openai.api_server")
    assert pairs["--model"] == str(plan.run_dir)
    assert pairs["--uds"] == str(plan.run_dir / "engine-1.sock")
    assert (pairs["--max-loras"], pairs["--max-cpu-loras"], pairs["--max-lora-rank"]) == ("4", "16", "64")
    assert pairs["--max-model-len"] == "2048", "what was measured wins"
    assert named(replace(plan, model="owner/model"), "engine-0").argv[5] == "owner/model"


def test_the_engine_gets_no_secret_but_its_own(plan: ServePlan) -> None:
    env = named(plan, "engine-0").env
    assert "hush" not in env.values()
    assert not {"PYTHONPATH", "VLLM_ALLOW_RUNTIME_LORA_UPDATING"} & set(env)
    expected = {
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "ATELIER_ENGINE_TOKEN": "secret-of-the-engines",
        "ATELIER_ADAPTER_ROOT": str(plan.adapter_root),
        "VLLM_PLUGINS": ",".join(plan.plugins),
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
    assert expected.items() <= env.items()


def test_agents_know_their_engine_and_valkey_knows_nothing(plan: ServePlan) -> None:
    agent = named(plan, "agent-1").env
    assert agent["ATELIER_ENGINE_ID"] == "engine-1"
    assert agent["ATELIER_ENGINE_URL"] == f"unix://{plan.run_dir}/engine-1.sock"
    assert agent["ATELIER_STATE_URL"] == f"unix://{plan.run_dir}/valkey.sock"
    assert "ATELIER_ADMIN_KEY" not in agent
    assert named(plan, "gateway").env["ATELIER_ADMIN_KEY"] == "hush"
    assert "hush" not in named(plan, "valkey").env.values()


async def test_the_real_valkey_starts_answers_and_comes_back(plan: ServePlan) -> None:
    events: list[Event] = []
    spec = named(plan, "valkey")
    assert spec.ready is not None
    assert await spec.ready() is False
    supervisor = Supervisor([spec], events.append, plan.run_dir / "state")
    task = asyncio.create_task(supervisor.run())
    try:
        await asyncio.wait_for(supervisor.wait_ready(), 60)
        assert await spec.ready() is True
        await soon(lambda: supervisor.status()[0].pid is not None, "its pid is known")
        pid = supervisor.status()[0].pid
        assert pid is not None
        os.kill(pid, 9)
        await soon(
            lambda: supervisor.status()[0].restarts == 1 and supervisor.status()[0].ready, "it is back"
        )
        assert await spec.ready() is True
    finally:
        supervisor.stop()
        await asyncio.wait_for(task, 60)
    assert "ready to exit, bye bye" in spec.log_path.read_text(), "it was killed instead of shut down"


@pytest.mark.parametrize(
    ("answer", "http", "redis"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True, False),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False, False),
        (b"+PONG\r\n", False, True),
        (b"-LOADING the dataset\r\n", False, False),
        (b"", False, False),
        (b"x" * 200_000, False, False),
    ],
)
async def test_probes_take_only_the_right_answer(
    plan: ServePlan, answer: bytes, http: bool, redis: bool
) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    path = plan.run_dir / "fake.sock"
    async with await asyncio.start_unix_server(reply, path):
        assert await http_ready(path, "/health")() is http
        assert await redis_ready(path)() is redis
    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    async with server:
        address = ("127.0.0.1", server.sockets[0].getsockname()[1])
        assert await http_ready(address, "/health")() is http
    assert await http_ready(address, "/health")() is False
