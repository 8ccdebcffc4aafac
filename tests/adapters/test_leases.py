"""Leases on a real Valkey: the interleavings that counters alone get wrong."""

import asyncio
import time

import pytest
from redis.asyncio import Redis

from adapters.leases import LEASE_S, Leases, VersionGone, free
from adapters.lifecycle import State
from adapters.registry import Registry, RegistryView
from tests.adapters.versions import register, version_of

PREFIX = "atelier:"


@pytest.fixture
def registry(redis: Redis) -> Registry:
    return Registry(redis, PREFIX, lambda event: None)


def gateway(registry: Registry, name: str) -> tuple[RegistryView, Leases]:
    view = RegistryView(registry)
    return view, Leases(registry.redis, PREFIX, name, view)


async def drained(registry: Registry, version: str) -> int:
    """Drain and return the generation of the drain."""
    for alias in (await registry.snapshot()).aliases_of(version):
        await registry.drop_alias(alias, "test")
    assert await registry.start_drain(version)
    return (await registry.get(version)).generation


async def test_a_request_resolved_just_before_the_drain_keeps_the_version(registry: Registry) -> None:
    version = await register(registry, "fees", until=State.READY)
    view, leases = gateway(registry, "g1")
    await leases.announce()
    await view.refresh()
    await leases.publish()  # says: nothing held
    with leases.hold(view.current.resolve("fees") or ""):
        generation = await drained(registry, version)
        # The report on record still says "nothing held"; only its generation gives it away as old.
        assert not await free(registry.redis, PREFIX, version, generation)
        await view.refresh()
        await leases.publish()
        assert not await free(registry.redis, PREFIX, version, generation)
        with pytest.raises(VersionGone), leases.hold(version):
            pass
    assert not await free(registry.redis, PREFIX, version, generation), "the end is not reported yet"
    await leases.publish()
    assert await free(registry.redis, PREFIX, version, generation)


async def test_a_gateway_that_starts_during_the_drain_is_waited_for(registry: Registry) -> None:
    version = await register(registry, "fees", until=State.READY)
    view, leases = gateway(registry, "late")
    await leases.announce()
    await view.refresh()
    generation = await drained(registry, version)
    with leases.hold(version):
        assert not await free(registry.redis, PREFIX, version, generation)
    await view.refresh()
    await leases.publish()
    assert await free(registry.redis, PREFIX, version, generation)


async def test_every_gateway_counts_and_a_dead_one_lapses(registry: Registry) -> None:
    redis = registry.redis
    version = await register(registry, "fees", until=State.READY)
    gateways = [gateway(registry, f"g{i}") for i in range(3)]
    for view, leases in gateways:
        await leases.announce()
        await view.refresh()
    generation = await drained(registry, version)
    for view, leases in gateways[:2]:
        await view.refresh()
        await leases.publish()
    assert not await free(redis, PREFIX, version, generation)
    assert LEASE_S - 5 < await redis.ttl(f"{PREFIX}gateway:g2") <= LEASE_S
    await redis.pexpire(f"{PREFIX}gateway:g2", 1)
    await asyncio.sleep(0.05)
    assert await free(redis, PREFIX, version, generation)
    assert await redis.scard(f"{PREFIX}gateways") == 2


async def test_a_leaked_hold_ends_at_the_hard_deadline(registry: Registry) -> None:
    version = await register(registry, "fees", until=State.READY)
    view, leases = gateway(registry, "g1")
    await view.refresh()
    with leases.hold(version):
        generation = await drained(registry, version)
        await leases.publish()
        await asyncio.sleep(0.15)
        assert not await free(registry.redis, PREFIX, version, generation, hard_deadline=10)
        assert await free(registry.redis, PREFIX, version, generation, hard_deadline=0.1)


async def test_counts_are_released_once_whatever_happens(registry: Registry) -> None:
    version = await register(registry, "fees", until=State.READY)
    view, leases = gateway(registry, "g1")
    await view.refresh()

    async def request(ending: BaseException | None) -> None:
        with leases.hold(version):
            await asyncio.sleep(0.01)
            if ending is not None:
                raise ending

    endings = [None, ValueError(), asyncio.CancelledError(), ConnectionError()] * 10
    tasks = [asyncio.create_task(request(ending)) for ending in endings]
    await asyncio.sleep(0)
    assert leases.inflight() == {version: 40}
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert leases.inflight() == {}
    with pytest.raises(VersionGone), leases.hold(version_of("ghost")):
        pass
    assert leases.inflight() == {}


async def test_run_publishes_and_withdraws(registry: Registry) -> None:
    view, leases = gateway(registry, "g1")
    await register(registry, "fees", until=State.READY)
    await view.refresh()
    task = asyncio.create_task(leases.run(0.05))
    await asyncio.sleep(0.2)
    raw = await registry.redis.get(f"{PREFIX}gateway:g1")
    assert raw == b'{"generation":%d,"inflight":{}}' % view.current.generation
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await registry.redis.get(f"{PREFIX}gateway:g1") is None


async def test_holding_costs_microseconds(registry: Registry) -> None:
    version = await register(registry, "fees", until=State.READY)
    view, leases = gateway(registry, "g1")
    await view.refresh()
    started = time.perf_counter()
    for _ in range(10_000):
        with leases.hold(version):
            pass
    each = (time.perf_counter() - started) / 10_000
    print(f"hold: {each * 1e6:.2f} µs")
    assert each < 50e-6
