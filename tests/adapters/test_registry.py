"""The registry on a real Valkey: compare-and-set, aliases, consistent snapshots, a view that outlives
Redis."""

import asyncio
from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from adapters.lifecycle import TRANSITIONS, State, may
from adapters.registry import (
    AliasInUse,
    NotServable,
    Registry,
    RegistryView,
    UnknownAlias,
    UnknownVersion,
    VersionBusy,
    VersionConflict,
)
from tests.adapters.versions import digest_of, register, version_of
from tests.valkey_process import ValkeyProcess

PREFIX = "atelier:"


class Ears:
    """An audit port that remembers."""

    def __init__(self) -> None:
        self.events: list[Mapping[str, object]] = []

    def __call__(self, event: Mapping[str, object]) -> None:
        self.events.append(event)

    def moves(self, version: str) -> list[tuple[object, object]]:
        """(from, to) of a version's transitions."""
        return [(e["from"], e["to"]) for e in self.events if e.get("version") == version and "from" in e]


@pytest.fixture
def ears() -> Ears:
    return Ears()


@pytest.fixture
def registry(redis: Redis, ears: Ears) -> Registry:
    return Registry(redis, PREFIX, ears)


async def test_register_is_idempotent_and_refuses_another_digest(registry: Registry, ears: Ears) -> None:
    version, digest = version_of("fees"), digest_of(("fees", 0))
    first = await registry.register(version, digest, {"size": 7}, actor="k1")
    again = await registry.register(version, digest, {"size": 8})
    assert first.created
    assert not again.created
    assert again.record.record["size"] == 7
    with pytest.raises(VersionConflict, match="another version id"):
        await registry.register(version, digest[:12] + "f" * 52, {})
    with pytest.raises(ValueError, match="12 hex of digest"):
        await registry.register("../fees@0123456789ab", digest, {})
    assert ears.moves(version) == [("", "received")]
    assert ears.events[0]["actor"] == "k1"


async def test_of_many_concurrent_moves_one_succeeds(registry: Registry, ears: Ears) -> None:
    version = await register(registry, "fees")
    before = (await registry.snapshot()).generation
    done = await asyncio.gather(*(registry.transition(version, State.VALIDATED) for _ in range(20)))
    assert sum(done) == 1
    assert (await registry.snapshot()).generation == before + 1
    assert ears.moves(version)[1:] == [("received", "validated")]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(st.sampled_from(list(State)), max_size=25), seed=st.integers())
async def test_any_sequence_of_moves_follows_the_rules(
    valkey: ValkeyProcess, moves: list[State], seed: int
) -> None:
    async with Redis.from_url(valkey.url) as redis:
        await redis.flushall()
        ears = Ears()
        registry = Registry(redis, PREFIX, ears)
        version = await register(registry, "fees", seed)
        state = State.RECEIVED
        for to in moves:
            if to == State.RECEIVED:
                continue  # a new life begins by registering, see below
            assert await registry.transition(version, to) == may(state, to)
            if may(state, to):
                state = to
                if to == State.READY and not (await registry.snapshot()).aliases:
                    raise AssertionError("the first ready version has no alias")
                if to == State.READY and ears.moves(version)[-1] == ("ready", "stable"):
                    await registry.drop_alias("fees", "test")
            assert (await registry.get(version)).state == state
        for old, new in ears.moves(version)[1:]:
            assert State(str(new)) in TRANSITIONS[State(str(old))]


async def test_expect_narrows_the_source(registry: Registry) -> None:
    version = await register(registry, "fees", until=State.STORED)
    assert not await registry.transition(version, State.REJECTED, expect=State.RECEIVED)
    assert await registry.transition(version, State.REJECTED, "broken", expect={State.STORED, State.LOADED})
    assert (await registry.get(version)).reason == "broken"
    with pytest.raises(UnknownVersion):
        await registry.transition(version_of("ghost"), State.REJECTED)


async def test_first_ready_version_gets_the_alias_and_later_ones_do_not(
    registry: Registry, ears: Ears
) -> None:
    first = await register(registry, "fees", 1, until=State.READY)
    second = await register(registry, "fees", 2, until=State.READY)
    snapshot = await registry.snapshot()
    assert snapshot.aliases == {"fees": first}
    assert snapshot.adapters[first].state == State.STABLE
    assert snapshot.adapters[second].state == State.READY
    assert snapshot.resolve("fees") == first
    assert snapshot.resolve(second) == second
    assert snapshot.resolve("nothing") is None
    assert ears.moves(first)[-2:] == [("probed", "ready"), ("ready", "stable")]


async def test_alias_moves_and_frees_the_old_version(registry: Registry, ears: Ears) -> None:
    first = await register(registry, "fees", 1, until=State.READY)
    second = await register(registry, "fees", 2, until=State.READY)
    assert await registry.set_alias("extra", first, "me") is None
    assert await registry.set_alias("fees", second, "me") == first
    snapshot = await registry.snapshot()
    # `extra` still points to the first.
    assert {snapshot.adapters[v].state for v in (first, second)} == {State.STABLE}
    assert await registry.drop_alias("extra", "me") == first
    assert (await registry.get(first)).state == State.READY
    assert ears.moves(first)[-1] == ("stable", "ready")
    with pytest.raises(UnknownAlias):
        await registry.drop_alias("extra", "me")


async def test_alias_points_only_to_versions_that_may_answer(registry: Registry) -> None:
    stored = await register(registry, "fees", until=State.STORED)
    with pytest.raises(NotServable, match="is stored"):
        await registry.set_alias("fees", stored, "me")
    with pytest.raises(UnknownVersion):
        await registry.set_alias("fees", version_of("ghost"), "me")
    with pytest.raises(ValueError, match="alias"):
        await registry.set_alias("../fees", stored, "me")


async def test_drain_is_refused_while_an_alias_points_there(registry: Registry) -> None:
    version = await register(registry, "fees", until=State.READY)
    with pytest.raises(AliasInUse, match="fees"):
        await registry.start_drain(version)
    await registry.drop_alias("fees", "me")
    assert await registry.start_drain(version)
    assert not await registry.start_drain(version)
    assert (await registry.snapshot()).resolve(version) is None
    with pytest.raises(NotServable):
        await registry.set_alias("fees", version, "me")
    with pytest.raises(VersionBusy, match="again in a minute"):
        await registry.register(version, digest_of(("fees", 0)), {})
    with pytest.raises(NotServable, match="still being uploaded"):
        await registry.start_drain(await register(registry, "other"))


async def test_a_version_being_swept_cannot_be_registered_and_lives_again_after(registry: Registry) -> None:
    version, digest = await register(registry, "fees"), digest_of(("fees", 0))
    await registry.transition(version, State.REJECTED, "broken")
    assert not await registry.begin_sweep(version, "a", grace_s=60, takeover_s=60)
    assert await registry.begin_sweep(version, "a", grace_s=0, takeover_s=60)
    assert not await registry.begin_sweep(version, "b", grace_s=0, takeover_s=60)
    with pytest.raises(VersionBusy):
        await registry.register(version, digest, {})
    assert await registry.begin_sweep(version, "b", grace_s=0, takeover_s=0)  # a has crashed
    assert not await registry.end_sweep(version, "a")
    assert await registry.end_sweep(version, "b")
    assert version not in (await registry.snapshot()).adapters
    assert [record.version for record in await registry.history()] == [version]
    assert (await registry.register(version, digest, {})).created
    assert (await registry.snapshot()).adapters[version].state == State.RECEIVED


async def test_a_rejected_version_may_come_again_before_its_sweep(registry: Registry) -> None:
    version = await register(registry, "fees")
    await registry.transition(version, State.REJECTED, "upload did not finish")
    assert (await registry.register(version, digest_of(("fees", 0)), {})).created
    assert not await registry.begin_sweep(version, "a", grace_s=0, takeover_s=0)


async def test_behaviour_is_kept_from_the_first_writer(registry: Registry) -> None:
    version = await register(registry, "fees")
    assert await registry.set_behaviour(version, "[1]") == "[1]"
    assert await registry.set_behaviour(version, "[2]") == "[1]"
    assert (await registry.get(version)).behaviour == "[1]"
    with pytest.raises(UnknownVersion):
        await registry.set_behaviour(version_of("ghost"), "[1]")


async def test_snapshots_are_consistent_while_aliases_move(registry: Registry) -> None:
    """A reader must never see an alias whose target may not answer, however fast aliases move."""
    versions = [await register(registry, "fees", seed, until=State.READY) for seed in range(3)]
    stop = asyncio.Event()

    async def move() -> None:
        for turn in range(300):
            await registry.set_alias("fees", versions[turn % 3], "me")
        stop.set()

    async def read() -> int:
        reads = 0
        while not stop.is_set():
            snapshot = await registry.snapshot()
            states = [snapshot.adapters[v].state for v in versions]
            assert snapshot.adapters[snapshot.aliases["fees"]].state == State.STABLE
            assert states.count(State.STABLE) == 1
            reads += 1
        return reads

    _, *reads = await asyncio.gather(move(), read(), read())
    assert all(count and count > 10 for count in reads)


async def test_unchanged_adapters_are_not_read_again_but_engines_are(registry: Registry) -> None:
    version = await register(registry, "fees", until=State.READY)
    first = await registry.snapshot()
    engine = {"url": "unix:///e", "epoch": "e1", "base": {}, "adapters": {version: {"state": "proved"}}}
    await registry.put_engine("one", engine, hurry=False)
    second = await registry.snapshot(first)
    assert second.adapters is first.adapters
    assert [e.id for e in second.proved_engines(version)] == ["one"]
    assert [e.id for e in second.proved_engines(version, {"one": "e1"})] == ["one"]
    assert second.proved_engines(version, {"one": "e2"}) == ()
    assert second.proved_engines(version_of("ghost")) == ()
    await registry.forget_engine("one")
    assert (await registry.snapshot(second)).engines == {}


async def test_a_view_hears_of_changes_and_polls(redis: Redis, registry: Registry) -> None:
    slow = RegistryView(registry, interval=30.0)
    polled = RegistryView(Registry(redis, PREFIX, print), interval=0.2)
    tasks = [asyncio.create_task(view.run()) for view in (slow, polled)]
    await asyncio.sleep(0.3)
    assert slow.age() < 1
    version = await register(registry, "fees", until=State.READY)
    async with asyncio.timeout(1):
        while not (slow.current.resolve("fees") == polled.current.resolve("fees") == version):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_unknown_names_cannot_hammer_redis(redis: Redis, registry: Registry) -> None:
    view = RegistryView(registry, least_gap=0.1)
    await redis.config_resetstat()

    async def ask() -> None:
        for _ in range(20):
            await view.refresh_if_older_than(0)
            await asyncio.sleep(0.005)

    await asyncio.gather(*(ask() for _ in range(50)))
    stats = await redis.info("commandstats")
    calls = stats["cmdstat_evalsha"]["calls"]
    assert 1 <= calls <= 6, "1000 questions within about 0.2 s may cost one reading per 0.1 s"


async def test_a_view_keeps_its_snapshot_while_redis_is_away(valkey: ValkeyProcess, redis: Redis) -> None:
    registry = Registry(redis, PREFIX, print)
    version = await register(registry, "fees", until=State.READY)
    view = RegistryView(registry)
    assert await view.refresh()
    valkey.kill()
    try:
        assert not await view.refresh()
        assert view.current.resolve("fees") == version
        assert view.age() > 0
    finally:
        valkey.start()
    assert await view.refresh()
    assert view.current.resolve("fees") == version, "acknowledged state survives a kill"
