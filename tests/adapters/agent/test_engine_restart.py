"""An engine that dies: its agent says so, and loads and proves everything again on its next start."""

import asyncio
import os
import signal

import pytest

from adapters.lifecycle import State
from tests.adapters.agent.conftest import Workshop
from tests.models.marker import marker_text

pytestmark = pytest.mark.engine


async def test_engine_restart_reproves_everything(workshop: Workshop) -> None:
    registry = workshop.registry
    workshop.start_agent()
    versions = [await workshop.push("fees", workshop.write("fees", marker)) for marker in (1, 2)]
    await workshop.until(versions[0], State.STABLE, timeout=60)
    await workshop.until(versions[1], State.READY)
    old = (await registry.snapshot()).engines["one"].epoch
    os.killpg(workshop.engine.pid, signal.SIGKILL)

    async def down() -> bool:
        return not (await registry.snapshot()).proved_engines(versions[0])

    try:
        await workshop.wait(down, "the engine is reported down", timeout=10)
        snapshot = await registry.snapshot()
        assert snapshot.adapters[versions[0]].state == State.STABLE, "an engine's death is not the version's"
        assert snapshot.proved_engines(versions[0], {"one": old}) == ()
    finally:  # it is other tests' engine, too
        workshop.engine.stop()
        await asyncio.to_thread(workshop.engine.start)

    async def proved() -> bool:
        now = await registry.snapshot()
        return all(now.proved_engines(version) for version in versions)

    await workshop.wait(proved, "all proved again", timeout=60)
    assert (await registry.snapshot()).engines["one"].epoch != old
    for marker, version in zip((1, 2), versions, strict=True):
        choice = await asyncio.to_thread(workshop.engine.complete, version, "hi", max_tokens=1)
        assert choice["text"] == marker_text(marker)
