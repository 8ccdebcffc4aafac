"""A file store on the shared engine's folder, and an agent process that can be killed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from adapters.file_store import FileStore
from adapters.lifecycle import State
from adapters.package import PackageFiles, manifest_of, package_digest, version_of
from adapters.registry import Registry
from tests.adapters.conftest import TOKEN, resident
from tests.engine_process import ROOT, EngineProcess
from tests.models.marker import write_marker_adapter, write_poisoned
from tests.valkey_process import ValkeyProcess


@dataclass
class Workshop:
    """One engine, its agent, the store and the registry."""

    engine: EngineProcess
    model: Path
    folder: Path
    root: Path  # the engine's adapter root
    store_root: Path
    valkey: ValkeyProcess
    registry: Registry
    limits: dict[str, float] = field(default_factory=lambda: {"grace": 1.0})
    agent: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "agent.log"

    def start_agent(self) -> None:
        options = {
            "redis": self.valkey.url,
            "store": str(self.store_root),
            "adapter_root": str(self.root),
            "audit": str(self.folder / "audit.jsonl"),
            "engine_id": "one",
            "engine_url": f"unix://{self.engine.socket}",
            "token": TOKEN,
            "limits": self.limits,
        }
        command = [sys.executable, "-m", "tests.adapters.agent.agent_main", json.dumps(options)]
        with self.log.open("ab") as log:
            self.agent = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)

    def stop_agent(self, sign: int = signal.SIGTERM) -> int:
        """Its exit code."""
        if self.agent is None:
            return 0
        os.killpg(self.agent.pid, sign)
        code = self.agent.wait(20)
        self.agent = None
        return code

    def write(self, name: str, marker: int = 1, poison: str = "", seed: int = 0) -> Path:
        """An adapter package's folder."""
        out = self.folder / "packages" / f"{name}-{marker}-{poison}-{seed}"
        if poison:
            write_poisoned(self.model, out, poison, marker)
        else:
            write_marker_adapter(self.model, out, marker, seed=seed)
        return out

    async def push(self, name: str, folder: Path, card: Mapping[str, object] | None = None) -> str:
        """What the gateway's upload does once validation has passed: received → validated → stored."""
        if card is not None:
            (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
        files = PackageFiles.from_directory(folder)
        manifest = manifest_of(name, files)
        version = str(version_of(manifest))
        await self.registry.register(version, package_digest(manifest), {"card": card})
        assert await self.registry.transition(version, State.VALIDATED)
        await FileStore(self.store_root).put(version, files)
        assert await self.registry.transition(version, State.STORED)
        return version

    async def until(self, version: str, *states: State, timeout: float = 30.0) -> float:
        """Wait until `version` is in one of `states`; the seconds it took."""
        started = time.monotonic()

        async def there() -> bool:
            return (await self.registry.get(version)).state in states

        await self.wait(there, f"{version} → {states}", timeout)
        return time.monotonic() - started

    async def wait(self, check: Callable[[], Awaitable[bool]], what: str, timeout: float = 30.0) -> None:
        deadline = time.monotonic() + timeout
        while not await check():
            if time.monotonic() > deadline:
                log = self.log.read_text(encoding="utf-8", errors="replace")[-4000:]
                raise AssertionError(f"not within {timeout} s: {what}\n{log}")
            await asyncio.sleep(0.02)

    def resident(self) -> list[str]:
        """What the engine holds."""
        return resident(self.engine)

    def audited(self) -> list[dict[str, Any]]:
        """What the agent's process wrote to the audit log."""
        path = self.folder / "audit.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
async def workshop(
    engine: EngineProcess,
    tiny_model: Path,
    store: Path,
    valkey: ValkeyProcess,
    redis: Redis,
    tmp_path: Path,
) -> Any:
    """Everything, with the agent not started. The store's folder is the engine's adapter root."""
    registry = Registry(redis, "atelier:", lambda event: None)
    shop = Workshop(engine, tiny_model, tmp_path, store, store, valkey, registry)
    yield shop
    shop.stop_agent(signal.SIGKILL)
