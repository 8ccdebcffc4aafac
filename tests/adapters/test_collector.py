"""The collector: what moves on what reports, and that nothing held is ever collected."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from adapters.collector import Collector, Limits
from adapters.leases import Leases, VersionGone, free
from adapters.lifecycle import LOADABLE, State
from adapters.registry import AliasInUse, NotServable, Registry, RegistryError, RegistryView
from tests.adapters.versions import digest_of, register, version_of
from tests.valkey_process import ValkeyProcess

PREFIX = "atelier:"
AT_ONCE = Limits(grace=0.0, abandoned=600.0)


class BytesShelf:
    """Bytes as a set of version ids."""

    def __init__(self) -> None:
        self.kept: set[str] = set()
        self.broken = False

    async def delete(self, version: str) -> None:
        if self.broken:
            raise OSError("disk on fire")
        self.kept.discard(version)


@pytest.fixture
def registry(redis: Redis) -> Registry:
    return Registry(redis, PREFIX, lambda event: None)


def collector(registry: Registry, shelf: BytesShelf | None = None, limits: Limits = AT_ONCE) -> Collector:
    return Collector(registry.redis, PREFIX, registry, shelf or BytesShelf(), limits)


async def report(registry: Registry, engine: str, epoch: str = "e1", **states: tuple[str, str]) -> None:
    """Write an engine's report; `states` is version name part → (state, reason) of seed 0."""
    adapters = {version_of(name): {"state": s, "reason": why} for name, (s, why) in states.items()}
    body = {"url": "unix:///e", "epoch": epoch, "base": {}, "adapters": adapters}
    await registry.put_engine(engine, body, hurry=False)


async def state_of(registry: Registry, name: str) -> State:
    return (await registry.get(version_of(name))).state


async def test_ready_waits_for_every_live_engines_result(registry: Registry) -> None:
    await register(registry, "fees", until=State.STORED)
    work = collector(registry)
    await work.tick()
    assert await state_of(registry, "fees") == State.STORED
    await report(registry, "one", fees=("loaded", ""))
    await report(registry, "two")
    await report(registry, "dead", epoch="")
    await work.tick()
    assert await state_of(registry, "fees") == State.LOADED
    await report(registry, "one", fees=("proved", ""))
    await report(registry, "two", fees=("loading", ""))
    await work.tick()
    assert await state_of(registry, "fees") == State.PROBED
    await report(registry, "two", fees=("failed", "no room"))
    await work.tick()
    assert await state_of(registry, "fees") == State.STABLE
    assert (await registry.snapshot()).resolve("fees") == version_of("fees")


async def test_an_engine_that_hangs_does_not_keep_a_version_from_the_others(registry: Registry) -> None:
    await register(registry, "fees", until=State.STORED)
    await report(registry, "one", fees=("proved", ""))
    await report(registry, "two", fees=("loading", ""))
    work = collector(registry, limits=Limits(ready_wait=0.2))
    await work.tick()
    assert await state_of(registry, "fees") == State.PROBED
    await asyncio.sleep(0.25)
    await work.tick()
    assert await state_of(registry, "fees") == State.STABLE


async def test_refused_everywhere_is_rejected_with_each_engines_reason(registry: Registry) -> None:
    await register(registry, "fees", until=State.STORED)
    await report(registry, "one", fees=("failed", "rank too big"))
    await report(registry, "two", fees=("failed", "rank too big"))
    await report(registry, "three", fees=("failed", "no effect"))
    await collector(registry, limits=Limits()).tick()
    record = await registry.get(version_of("fees"))
    assert record.state == State.REJECTED
    assert record.reason == "three: no effect; one, two: rank too big"


async def test_abandoned_uploads_are_rejected(registry: Registry) -> None:
    await register(registry, "old", until=State.VALIDATED)
    await asyncio.sleep(0.15)
    await register(registry, "new")
    await collector(registry, limits=Limits(abandoned=0.1)).tick()
    assert (await registry.get(version_of("old"))).reason == "upload did not finish"
    assert await state_of(registry, "new") == State.RECEIVED


async def test_bytes_go_after_grace_and_a_failed_deletion_is_tried_again(registry: Registry) -> None:
    shelf, version = BytesShelf(), await register(registry, "fees", until=State.READY)
    shelf.kept.add(version)
    await registry.drop_alias("fees", "me")
    await registry.start_drain(version)
    work = collector(registry, shelf, Limits(grace=0.3, takeover=0.2))
    await work.tick()
    assert await state_of(registry, "fees") == State.RETIRED
    assert shelf.kept
    await asyncio.sleep(0.35)
    shelf.broken = True
    await work.tick()
    assert shelf.kept, "the deletion failed"
    shelf.broken = False
    await asyncio.sleep(0.25)
    await collector(registry, shelf, Limits(grace=0.3, takeover=0.2)).tick()
    assert not shelf.kept
    assert await state_of(registry, "fees") == State.COLLECTED
    assert version not in (await registry.snapshot()).adapters


async def test_an_engine_that_still_holds_it_keeps_a_version_from_retiring(registry: Registry) -> None:
    version = await register(registry, "fees", until=State.READY)
    await registry.drop_alias("fees", "me")
    await registry.start_drain(version)
    work = collector(registry)
    for state in ("proved", "loaded", "loading", "leaving"):
        await report(registry, "one", fees=(state, ""))
        await work.tick()
        assert await state_of(registry, "fees") == State.DRAINING
    await report(registry, "one")
    await work.tick()
    assert await state_of(registry, "fees") == State.COLLECTED


async def test_many_collectors_do_each_move_once(registry: Registry) -> None:
    heard: list[Any] = []
    loud = Registry(registry.redis, PREFIX, heard.append)
    for seed in range(5):
        await register(registry, f"a{seed}", until=State.STORED)
    await report(registry, "one", **{f"a{seed}": ("proved", "") for seed in range(5)})  # type: ignore[arg-type]
    for _ in range(3):
        await asyncio.gather(*(collector(loud).tick() for _ in range(8)))
    moves = [(event["version"], event["to"]) for event in heard if "to" in event]
    assert len(moves) == len(set(moves)) == 5 * 4


async def test_a_crashed_collectors_lock_lapses(registry: Registry) -> None:
    await register(registry, "fees", until=State.STORED)
    await report(registry, "one", fees=("proved", ""))
    await registry.redis.set(f"{PREFIX}collector", "a dead one", px=200)
    assert await collector(registry).tick() == 0
    await asyncio.sleep(0.25)
    assert await collector(registry).tick() == 3


class World(RuleBasedStateMachine):
    """Versions, aliases, two gateways with requests, one engine with an agent's unloading, one collector.

    The engine is a set here: what is checked is the protocol between registry, leases, agent and collector, with
    every interleaving hypothesis can think of. Real engine: tests/adapters/agent.
    """

    requests = Bundle("requests")
    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.redis = Redis.from_url(self.url)
        self.run(self.redis.flushall())
        self.registry = Registry(self.redis, PREFIX, lambda event: None)
        self.shelf = BytesShelf()
        self.collector = collector(self.registry, self.shelf)
        self.engine: set[str] = set()
        self.held: list[tuple[int, str]] = []
        self.gateways = [self.new_gateway(f"g{i}") for i in range(2)]

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def new_gateway(self, name: str) -> tuple[RegistryView, Leases]:
        view = RegistryView(self.registry)
        leases = Leases(self.redis, PREFIX, name, view)
        self.run(leases.announce())
        self.run(view.refresh())
        return view, leases

    @rule(seed=st.integers(0, 2), at_once=st.booleans())
    def upload(self, seed: int, at_once: bool) -> None:
        version = version_of("fees", seed)
        try:
            made = self.run(self.registry.register(version, digest_of(("fees", seed)), {}))
        except RegistryError:
            return
        if made.created:
            self.run(self.registry.transition(version, State.VALIDATED))
            self.shelf.kept.add(version)
            self.run(self.registry.transition(version, State.STORED))
        if at_once:
            self.agent_pass()
            self.collect()
            self.everyone_reads()

    @rule(seed=st.integers(0, 2), alias=st.sampled_from(["fees", "extra"]))
    def move_alias(self, seed: int, alias: str) -> None:
        try:
            self.run(self.registry.set_alias(alias, version_of("fees", seed), "me"))
        except RegistryError:
            return

    @rule(alias=st.sampled_from(["fees", "extra"]))
    def drop_alias(self, alias: str) -> None:
        try:
            self.run(self.registry.drop_alias(alias, "me"))
        except RegistryError:
            return

    @rule(seed=st.integers(0, 2), drop=st.booleans(), hasty=st.booleans())
    def delete(self, seed: int, drop: bool, hasty: bool) -> None:
        version = version_of("fees", seed)
        for alias in self.run(self.registry.snapshot()).aliases_of(version) if drop else ():
            self.run(self.registry.drop_alias(alias, "me"))
        aliased = self.run(self.registry.snapshot()).aliases_of(version)
        try:
            self.run(self.registry.start_drain(version))
            assert not aliased
        except (AliasInUse, NotServable, RegistryError):
            return
        if hasty:
            self.agent_pass()
            self.collect()

    @rule(passes=st.integers(1, 3))
    def delete_what_a_request_holds(self, passes: int) -> None:
        """Named, because chance alone would hardly ever delete the very version a request has."""
        if not self.held:
            self.start_request(0, "fees")
        if self.held:
            version = self.held[-1][1]
            self.delete(next(s for s in range(3) if version_of("fees", s) == version), True, False)
            for _ in range(passes):
                self.agent_pass()
                self.collect()

    @rule(target=requests, gateway=st.integers(0, 1), model=st.sampled_from(["fees", "extra", "exact"]))
    def begin(self, gateway: int, model: str) -> Any:
        return self.start_request(gateway, model)

    def start_request(self, gateway: int, model: str) -> Any:
        view, leases = self.gateways[gateway]
        if model == "fees" and view.current.resolve(model) is None:
            self.upload(0, True)
        version = view.current.resolve(version_of("fees") if model == "exact" else model)
        if version is None:
            return None
        hold = leases.hold(version)
        try:
            hold.__enter__()
        except VersionGone:
            return None
        self.held.append((gateway, version))
        return hold, gateway, version

    @rule(request=consumes(requests))
    def end(self, request: Any) -> None:
        if request is not None:
            hold, gateway, version = request
            hold.__exit__(None, None, None)
            self.held.remove((gateway, version))

    @rule()
    def everyone_reads(self) -> None:
        for view, leases in self.gateways:
            self.run(view.refresh())
            self.run(leases.publish())

    @rule(gateway=st.integers(0, 1))
    def gateway_reads(self, gateway: int) -> None:
        self.run(self.gateways[gateway][0].refresh())

    @rule(gateway=st.integers(0, 1))
    def gateway_reports(self, gateway: int) -> None:
        self.run(self.gateways[gateway][1].publish())

    @rule()
    def agent_pass(self) -> None:
        snapshot = self.run(self.registry.snapshot())
        for version, record in snapshot.adapters.items():
            if record.state in LOADABLE and version in self.shelf.kept:
                self.engine.add(version)
        for version in sorted(self.engine):
            gone = snapshot.adapters.get(version)
            if gone is not None and gone.state in LOADABLE | {State.RECEIVED, State.VALIDATED}:
                continue
            generation = snapshot.generation if gone is None else gone.generation
            if self.run(free(self.redis, PREFIX, version, generation)):
                self.engine.remove(version)
        adapters = {version: {"state": "proved"} for version in self.engine}
        body = {"url": "unix:///e", "epoch": "e1", "base": {}, "adapters": adapters}
        self.run(self.registry.put_engine("one", body, hurry=False))

    @rule()
    def collect(self) -> None:
        self.run(self.collector.tick())

    @invariant()
    def what_is_held_stays(self) -> None:
        for _, version in self.held:
            assert version in self.engine, "unloaded under a request"
            assert version in self.shelf.kept, "files deleted under a request"

    @invariant()
    def what_is_aliased_stays(self) -> None:
        snapshot = self.run(self.registry.snapshot())
        for version in snapshot.aliases.values():
            assert snapshot.adapters[version].state == State.STABLE
            assert version in self.shelf.kept
        for version, record in snapshot.adapters.items():
            assert (record.state == State.STABLE) == bool(snapshot.aliases_of(version))

    @invariant()
    def what_the_engine_holds_has_files(self) -> None:
        assert self.engine <= self.shelf.kept

    def teardown(self) -> None:
        self.run(self.redis.aclose())
        self.loop.close()


def test_nothing_held_or_aliased_is_ever_unloaded_or_collected(valkey: ValkeyProcess) -> None:
    World.url = valkey.url
    run_state_machine_as_test(
        World,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
