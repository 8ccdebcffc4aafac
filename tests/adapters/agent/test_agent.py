"""The agent on a real engine: from stored to answering, refusals, restarts, kills, deletion."""

import asyncio
import json
import signal

import pytest

from adapters import behaviour
from adapters.engine_api import AdapterRefused, EngineApi, EngineDown, EngineFault
from adapters.leases import Leases
from adapters.lifecycle import State
from adapters.registry import RegistryView
from tests.adapters.agent.conftest import Workshop
from tests.adapters.conftest import TOKEN
from tests.models.marker import marker_text

pytestmark = pytest.mark.engine


async def answer(shop: Workshop, model: str) -> str:
    """What the engine says as `model`."""
    choice = await asyncio.to_thread(shop.engine.complete, model, "hello", max_tokens=1)
    return str(choice["text"])


async def test_push_becomes_ready_and_takes_the_alias(workshop: Workshop) -> None:
    workshop.start_agent()
    version = await workshop.push("fees", workshop.write("fees", 3))
    await workshop.until(version, State.STABLE, timeout=60)
    snapshot = await workshop.registry.snapshot()
    assert snapshot.resolve("fees") == version
    (engine,) = snapshot.proved_engines(version)
    assert engine.url == f"unix://{workshop.engine.socket}"
    assert engine.base["model"] == "base"
    assert await answer(workshop, version) == marker_text(3)

    async def audited() -> bool:
        moves = [e["to"] for e in workshop.audited() if e.get("version") == version and "to" in e]
        return moves == ["loaded", "probed", "ready", "stable"]

    # The record follows the change, in another process.
    await workshop.wait(audited, "every move audited, in order, once", timeout=5)
    second = await workshop.push("fees", workshop.write("fees", 4))
    seconds = await workshop.until(second, State.READY)
    print(f"stored to ready: {seconds:.3f} s")
    assert seconds < 10
    assert (await workshop.registry.snapshot()).resolve("fees") == version
    assert workshop.stop_agent() == 0, "SIGTERM ends the agent in order"


async def test_refused_versions_say_why_and_do_not_stay(workshop: Workshop) -> None:
    workshop.start_agent()
    good = await workshop.push("good", workshop.write("good", 3))
    other = workshop.write("other", 5)
    await workshop.until(good, State.STABLE, timeout=60)
    recorded = json.loads((await workshop.registry.get(good)).behaviour)
    no_effect = await workshop.push("idle", workshop.write("idle", 6, poison="all_zero_b"))
    elsewhere = await workshop.push("layers", workshop.write("layers", 6, poison="missing_layer"))
    poisoned = await workshop.push("liar", other, card={"behaviour": recorded})
    misnamed = await workshop.push("modules", workshop.write("modules", 6, poison="wrong_modules"))
    for version, why in (
        (no_effect, "no effect"),
        (elsewhere, "no effect"),
        (poisoned, "differ from the recorded behaviour"),
        (misnamed, "expected target modules"),
    ):
        await workshop.until(version, State.REJECTED)
        assert why in (await workshop.registry.get(version)).reason
    assert workshop.resident() == [good]
    honest = await workshop.push("honest", workshop.write("good", 3, seed=9), card={"behaviour": recorded})
    await workshop.until(honest, State.STABLE)
    assert await answer(workshop, good) == await answer(workshop, honest) == marker_text(3)

    async def bytes_gone() -> bool:
        return not any((workshop.root / version).exists() for version in (no_effect, poisoned, misnamed))

    await workshop.wait(bytes_gone, "rejected versions lose their bytes after the grace time")


async def test_deleted_version_is_drained_unloaded_and_only_then_its_files_go(workshop: Workshop) -> None:
    registry, redis = workshop.registry, workshop.registry.redis
    workshop.start_agent()
    version = await workshop.push("fees", workshop.write("fees", 3))
    await workshop.until(version, State.STABLE, timeout=60)
    view = RegistryView(registry, interval=0.2)
    leases = Leases(redis, registry.prefix, "g1", view)
    await leases.announce()
    await view.refresh()
    tasks = [asyncio.create_task(view.run()), asyncio.create_task(leases.run(0.2))]
    with leases.hold(version):
        await registry.drop_alias("fees", "me")
        assert await registry.start_drain(version)
        await asyncio.sleep(2.5)
        assert (await registry.get(version)).state == State.DRAINING
        assert workshop.resident() == [version], "held by a request: neither unloaded nor collected"
        assert await answer(workshop, version) == marker_text(3)
    await workshop.until(version, State.RETIRED, State.COLLECTED)
    assert workshop.resident() == []
    assert (workshop.root / version).is_dir(), "the grace time is not over"
    await workshop.until(version, State.COLLECTED)

    async def gone() -> bool:
        return not (workshop.root / version).exists() and version not in (await registry.snapshot()).adapters

    await workshop.wait(gone, "files collected")
    again = await workshop.push("fees", workshop.write("fees", 3))
    assert again == version
    await workshop.until(version, State.STABLE)
    assert await answer(workshop, version) == marker_text(3)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("delay_ms", [0, 8, 20, 60])
async def test_killed_agent_is_taken_up_where_it_was(workshop: Workshop, delay_ms: int) -> None:
    """kill -9 while versions are being loaded and proved: the next agent finishes, nothing is done wrongly."""
    workshop.start_agent()
    first = await workshop.push("fees", workshop.write("fees", 1))
    await workshop.until(first, State.STABLE, timeout=60)
    versions = [await workshop.push("fees", workshop.write("fees", marker)) for marker in (2, 3, 4)]
    await asyncio.sleep(delay_ms / 1000)
    workshop.stop_agent(signal.SIGKILL)
    snapshot = await workshop.registry.snapshot()
    assert [e.id for e in snapshot.proved_engines(first)] == ["one"]
    workshop.start_agent()
    for marker, version in zip((2, 3, 4), versions, strict=True):
        await workshop.until(version, State.READY)
        assert await answer(workshop, version) == marker_text(marker)
    assert await answer(workshop, first) == marker_text(1)
    moves = [(e["version"], e["to"]) for e in workshop.audited() if "to" in e]
    assert len(moves) == len(set(moves)), "no move is made twice"


async def test_versions_nobody_knows_are_unloaded(workshop: Workshop) -> None:
    folder = workshop.root / "stray@0123456789ab"
    workshop.write("stray", 7).rename(folder)
    assert workshop.engine.load(folder.name, folder)[0] == 200
    workshop.start_agent()

    async def unloaded() -> bool:
        return workshop.resident() == []

    await workshop.wait(unloaded, "stray unloaded", timeout=60)
    assert folder.is_dir(), "files the registry does not know are not ours to delete"


async def test_damaged_bytes_never_reach_the_engine(workshop: Workshop) -> None:
    version = await workshop.push("fees", workshop.write("fees", 3))
    weights = workshop.root / version / "adapter_model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.chmod(0o600)
    weights.write_bytes(raw)
    workshop.start_agent()
    await workshop.until(version, State.REJECTED, timeout=60)
    assert "the store did not give" in (await workshop.registry.get(version)).reason
    assert workshop.resident() == []


async def test_fingerprints_compare(workshop: Workshop) -> None:
    """Repeated on one engine: no difference at all; another adapter, the base model: far away."""
    versions = []
    for marker in (1, 2):
        folder = workshop.root / f"m{marker}@0123456789ab"
        if not folder.exists():
            workshop.write("m", marker).rename(folder)
        versions.append(folder)
    async with EngineApi(f"unix://{workshop.engine.socket}", TOKEN) as api:
        for folder in versions:
            await api.load(folder.name, folder)
        one, two = (folder.name for folder in versions)
        passages = await behaviour.record(api, one)
        assert behaviour.parse(json.loads(behaviour.to_json(passages))) == passages
        same = await behaviour.compare(api, "base", one, passages)
        assert same.ok
        assert same.distance < 0.01
        assert not (await behaviour.compare(api, "base", two, passages)).ok
        ignored = await behaviour.compare(api, "base", "base", passages)
        assert "no effect" in ignored.reason
        with pytest.raises(AdapterRefused, match="404"):
            await behaviour.compare(api, "base", "ghost@0123456789ab", passages)
        for folder in versions:
            assert await api.unload(folder.name)
            assert not await api.unload(folder.name)


async def test_engine_calls_say_what_went_wrong(workshop: Workshop) -> None:
    async with EngineApi(f"unix://{workshop.engine.socket}", TOKEN) as api:
        assert (await api.residency()).adapters == frozenset()
        assert (await api.base())["max_loras"] == 4
        with pytest.raises(AdapterRefused, match="adapter root"):
            await api.load("fees@0123456789ab", workshop.folder)
        with pytest.raises(AdapterRefused, match="404"):
            await api.load("fees@0123456789ab", workshop.root / "fees@0123456789ab")
    async with EngineApi(f"unix://{workshop.engine.socket}", "wrong") as api:
        with pytest.raises(EngineFault, match="401"):
            await api.residency()
    async with EngineApi("unix:///tmp/nobody-listens-here", TOKEN) as api:
        with pytest.raises(EngineDown):
            await api.residency()
    with pytest.raises(ValueError, match="unix:///path"):
        EngineApi("ftp://x", None)
