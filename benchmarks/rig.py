"""One real gateway on a real Valkey, in front of the mock engine: the bench of the overhead figures."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from adapters.lifecycle import State
from adapters.registry import Registry
from app.state.connection import connect
from benchmarks.mock_engine import EPOCH, base_description
from benchmarks.wire import Target
from tests.stack import eventually, free_port
from tests.valkey_process import ValkeyProcess

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 120.0
STOP_SECONDS = 30.0
ADAPTER = "bench"
DIGEST = "0123456789ab" + "0" * 52
VERSION = f"{ADAPTER}@{DIGEST[:12]}"
REPORT_SECONDS = 1.0
# High enough never to refuse, so that what is measured is counting, not refusing.
LIMITS = {"requests_per_minute": 10**9, "tokens_per_minute": 10**12, "concurrency": 10_000}
_WAY = (State.VALIDATED, State.STORED, State.LOADED, State.PROBED, State.READY)


@contextmanager
def process(
    command: list[str], log: Path, *, ready: str, env: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers GET `ready` inside the block; its process group is gone after it."""
    with log.open("ab") as out:
        started = subprocess.Popen(command, stdout=out, stderr=out, env=env, cwd=cwd, start_new_session=True)
    try:
        eventually(lambda: started.poll() is not None or _answers(ready), seconds=START_SECONDS)
        if started.poll() is not None:
            raise RuntimeError(f"{command[0]} ended:\n{log.read_text(errors='replace')[-2000:]}")
        yield started
    finally:
        _end(started)


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    return False


def _end(started: subprocess.Popen[bytes]) -> None:
    started.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        started.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait(STOP_SECONDS)


@dataclass(frozen=True, slots=True)
class Rig:
    """`direct` and `through` reach the same engine; `gateway_pid` is the one gateway process."""

    folder: Path
    engine_url: str
    direct: Target
    through: Target
    gateway_pid: int


@asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    """Valkey, mock engine, its registration, and a gateway with a key that has every limit."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="atl-bench-", dir="/tmp"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        valkey = stack.enter_context(ValkeyProcess())
        engine = f"http://127.0.0.1:{free_port()}"
        mock = [sys.executable, "-m", "benchmarks.mock_engine", "--port", engine.rpartition(":")[2]]
        stack.enter_context(
            process([*mock, "--version", VERSION], folder / "mock.log", ready=f"{engine}/health")
        )
        redis = connect(valkey.url)
        registry = Registry(redis, "atelier:", lambda change: None)
        await _register(registry)
        reporting = asyncio.create_task(_report(registry, engine))
        try:
            url, pid = await asyncio.to_thread(_gateway, stack, folder, valkey.url)
            key = await asyncio.to_thread(_key, url, (folder / "var/admin.key").read_text().strip())
            yield Rig(
                folder,
                engine,
                Target("direct", engine, {}, VERSION),
                Target("atelier", url, {"authorization": f"Bearer {key}"}, ADAPTER),
                pid,
            )
        finally:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)
            await redis.aclose()


async def _register(registry: Registry) -> None:
    """A version all the way to ready, as its upload and an agent would have taken it."""
    await registry.register(VERSION, DIGEST, {"base": base_description()["fingerprint"]})
    for state in _WAY:
        await registry.transition(VERSION, state)
    if (await registry.get(VERSION)).state != State.STABLE:
        await registry.set_alias(ADAPTER, VERSION, "benchmark")


async def _report(registry: Registry, engine: str) -> None:
    """Report as the engine's agent does, until cancelled."""
    while True:
        body = {
            "url": engine,
            "epoch": EPOCH,
            "last_epoch": EPOCH,
            "base": base_description(),
            "adapters": {VERSION: {"state": "proved", "reason": "", "crashes": 0}},
        }
        await registry.put_engine("engine-0", body, False)
        await asyncio.sleep(REPORT_SECONDS)


def _gateway(stack: ExitStack, folder: Path, state_url: str) -> tuple[str, int]:
    assistants = folder / "assistants"
    assistants.mkdir()
    (assistants / "bench.yaml").write_text(f"name: {ADAPTER}\nadapter: {ADAPTER}\n")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ATELIER_")}
    env = kept | {
        "ATELIER_VAR_DIR": str(folder / "var"),
        "ATELIER_ASSISTANTS_DIR": str(assistants),
        "ATELIER_STATE_URL": state_url,
        "ATELIER_PORT": str(port),
    }
    command = [sys.executable, "-m", "app.cli", "gateway"]
    started = stack.enter_context(process(command, folder / "gateway.log", ready=f"{url}/readyz", env=env))
    return url, started.pid


def _key(url: str, admin: str) -> str:
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {admin}"}) as client:
        answer = client.post("/v1/keys", json={"name": "benchmark", "scopes": ["chat"], **LIMITS})
        answer.raise_for_status()
        return str(answer.json()["key"])
