"""A real Valkey for the tests of registry, leases, collector and agent; a real engine for agent and plugin."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.engine_process import EngineProcess
from tests.valkey_process import ValkeyProcess

TOKEN = "engine-token-of-the-tests"


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyProcess]:
    """One server for the session; tests that kill it start it again."""
    with ValkeyProcess() as process:
        yield process


@pytest.fixture
async def redis(valkey: ValkeyProcess) -> AsyncIterator[Redis]:
    """A client of an empty database."""
    client = Redis.from_url(valkey.url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder the shared engine loads adapters from."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def shared_engine(
    tiny_model: Path, store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EngineProcess]:
    """One engine with the executor vLLM takes by itself. A test that kills it starts it again."""
    with EngineProcess(
        tiny_model,
        tmp_path_factory.mktemp("engine"),
        store,
        token=TOKEN,
        max_loras=4,
        max_cpu_loras=6,
        extra_args=("--distributed-executor-backend", "mp"),
    ) as engine:
        yield engine


@pytest.fixture
def engine(shared_engine: EngineProcess) -> Iterator[EngineProcess]:
    """The engine without adapters; what a test loads is removed after it."""
    remove_all(shared_engine)
    yield shared_engine
    remove_all(shared_engine)


def remove_all(engine: EngineProcess) -> None:
    """Take every adapter out of the engine."""
    for name in resident(engine):
        status, body = engine.remove(name)
        assert status == 200, body


def resident(engine: EngineProcess) -> list[str]:
    """The adapters the engine says it holds."""
    status, body = engine.request("GET", "/atelier/residency")
    assert status == 200, body
    names: list[str] = body["adapters"]
    return names
