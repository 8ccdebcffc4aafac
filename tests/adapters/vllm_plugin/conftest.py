"""One real engine for this folder, with the executor vLLM takes by itself."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine_process import EngineProcess, make_tiny_model
from tests.models.marker import write_marker_adapter

TOKEN = "engine-token-of-the-tests"
Publish = Callable[..., tuple[str, str]]  # (marker, rank=…) → (version, the marker's text)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def publish(tiny_model: Path, store: Path) -> Publish:
    """Write a marker adapter into the store under a version id of its own."""

    def write(marker: int, rank: int = 8, seed: int = 0) -> tuple[str, str]:
        version = f"m{marker}@{marker:04x}{rank:04x}{seed:04x}"
        text = write_marker_adapter(tiny_model, store / version, marker, rank=rank, seed=seed)
        return version, text

    return write


@pytest.fixture(scope="session")
def shared_engine(
    tiny_model: Path, store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EngineProcess]:
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
    yield shared_engine
    for name in resident(shared_engine):
        status, body = shared_engine.remove(name)
        assert status == 200, body


def resident(engine: EngineProcess) -> list[str]:
    """The adapters the engine says it holds."""
    status, body = engine.request("GET", "/atelier/residency")
    assert status == 200, body
    names: list[str] = body["adapters"]
    return names
