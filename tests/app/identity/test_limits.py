from __future__ import annotations

import asyncio
import contextlib
import copy
import math
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from app.identity.keys import KeyRecord, Limits
from app.identity.limits import Admission, Limiter, LimitExceeded
from app.identity.local_limits import LocalLimits
from app.state.connection import connect
from tests.valkey_process import ValkeyProcess

START_MS = 1_800_000_000_000


def key(requests: int | None = None, tokens: int | None = None, slots: int | None = None) -> KeyRecord:
    return KeyRecord("k", "name", frozenset(), (), Limits(requests, tokens, slots), 0, "x", None, False)


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyProcess]:
    with ValkeyProcess() as process:
        yield process


@pytest.fixture
async def redis(server: ValkeyProcess) -> AsyncIterator[Redis]:
    client = connect(server.url, timeout=0.5)
    await client.flushall()
    yield client
    await client.aclose()


@dataclass(frozen=True)
class Step:
    gateway: int
    gap_ms: int
    tokens: int
    used_share: float | None  # None: never settled


steps = st.builds(
    Step,
    gateway=st.integers(0, 1),
    gap_ms=st.one_of(st.integers(0, 900), st.integers(0, 70_000), st.just(1000)),
    tokens=st.integers(0, 40),
    used_share=st.one_of(st.none(), st.floats(0, 1)),
)


def window_sums(admitted: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Requests and tokens of every window of 60 seconds that starts at an admission."""
    for start, _ in admitted:
        inside = [tokens for at, tokens in admitted if start <= at < start + 60_000]
        yield len(inside), sum(inside)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, min_size=1, max_size=60), st.integers(1, 6), st.integers(40, 120))
def test_no_window_of_sixty_seconds_holds_more(
    server: ValkeyProcess, plan: list[Step], requests_max: int, tokens_max: int
) -> None:
    async def play() -> None:
        redis = connect(server.url)
        await redis.flushall()
        gateways = [Limiter(redis, "g0"), Limiter(redis, "g1")]
        now = START_MS
        admitted: list[tuple[int, int]] = []
        for step in plan:
            now += step.gap_ms
            try:
                admission = await gateways[step.gateway].admit(
                    key(requests_max, tokens_max), "r", step.tokens, now_ms=now
                )
            except LimitExceeded as refused:
                # Never refused without cause: so many really lie in the last 61 seconds.
                recent = [tokens for at, tokens in admitted if at > now - 61_000]
                assert len(recent) + 1 > requests_max or sum(recent) + step.tokens > tokens_max
                assert refused.retry_after_seconds is not None
                assert 0 < refused.retry_after_seconds <= 61
                continue
            admitted.append((now, step.tokens))
            if step.used_share is not None:
                used = math.floor(step.tokens * step.used_share)
                await gateways[step.gateway].settle(admission, used)
                admitted[-1] = (now, used)
        for count, total in window_sums(admitted):
            assert count <= requests_max
            assert total <= tokens_max
        await redis.aclose()

    asyncio.run(play())


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 30_000), st.integers(1, 40)), min_size=2, max_size=30))
def test_retry_after_is_the_time_when_there_is_room(
    server: ValkeyProcess, plan: list[tuple[int, int]]
) -> None:
    async def play() -> None:
        redis = connect(server.url)
        await redis.flushall()
        limiter, now = Limiter(redis, "g"), START_MS
        for gap, tokens in plan:
            now += gap
            try:
                await limiter.admit(key(3, 60), "r", tokens, now_ms=now)
            except LimitExceeded as refused:
                assert refused.retry_after_seconds is not None
                wait = round(refused.retry_after_seconds * 1000)
                with pytest.raises(LimitExceeded):
                    await limiter.admit(key(3, 60), "r", tokens, now_ms=now + wait - 1)
                now += wait
                await limiter.admit(key(3, 60), "r", tokens, now_ms=now)
        await redis.aclose()

    asyncio.run(play())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 70_000), st.integers(0, 40)), max_size=60))
def test_local_limits_keep_the_same_promise(plan: list[tuple[int, int]]) -> None:
    local, now = LocalLimits(), 1_000_000
    admitted: list[tuple[int, int]] = []
    for gap, tokens in plan:
        now += gap
        which, wait = local.check("k", (5, 100, -1), tokens, now / 1000)
        if which:
            # On a copy: looking ahead forgets what has then left the window.
            assert copy.deepcopy(local).check("k", (5, 100, -1), tokens, now / 1000 + wait + 1e-6)[0] == 0
            continue
        local.note("k", tokens, now / 1000)
        admitted.append((now, tokens))
    for count, total in window_sums(admitted):
        assert count <= 5
        assert total <= 100


async def admit_many(limiter: Limiter, record: KeyRecord, count: int, tokens: int = 1) -> list[Admission]:
    async def one() -> Admission | None:
        with contextlib.suppress(LimitExceeded):
            return await limiter.admit(record, "same-id", tokens)
        return None

    return [a for a in await asyncio.gather(*(one() for _ in range(count))) if a is not None]


async def test_two_gateways_at_once_hold_to_the_request(redis: Redis) -> None:
    one, two = Limiter(redis, "one"), Limiter(redis, "two")
    halves = await asyncio.gather(
        admit_many(one, key(requests=37), 100), admit_many(two, key(requests=37), 100)
    )
    assert len(halves[0]) + len(halves[1]) == 37


async def test_concurrency_over_two_gateways_with_one_client_chosen_request_id(redis: Redis) -> None:
    one, two = Limiter(redis, "one"), Limiter(redis, "two")
    first, second = await asyncio.gather(admit_many(one, key(slots=5), 20), admit_many(two, key(slots=5), 20))
    assert len(first) + len(second) == 5
    for limiter, admissions in ((one, first), (two, second)):
        for admission in admissions:
            await limiter.settle(admission, 0)
            await limiter.settle(admission, 0)  # A second time must not free another's slot.
    assert len(await admit_many(one, key(slots=5), 20)) == 5


async def test_slots_of_a_killed_gateway_come_back_and_living_ones_stay(redis: Redis) -> None:
    dead, alive = Limiter(redis, "dead", lease_seconds=0.3), Limiter(redis, "alive", lease_seconds=0.3)
    assert len(await admit_many(dead, key(slots=3), 2)) == 2
    assert len(await admit_many(alive, key(slots=3), 5)) == 1
    for _ in range(5):
        await asyncio.sleep(0.1)
        await alive.renew()
    assert len(await admit_many(alive, key(slots=3), 5)) == 2


async def test_settling_during_a_renewal_does_not_bring_the_slot_back(redis: Redis) -> None:
    limiter = Limiter(redis, "g")
    admissions = await admit_many(limiter, key(slots=50), 50)
    renewal = asyncio.create_task(limiter.renew())
    await asyncio.gather(*(limiter.settle(a, 0) for a in admissions))
    await renewal
    await limiter.close()
    assert await redis.zcard("atelier:limit:k:live") == 0


async def test_tokens_are_settled_to_the_actual(redis: Redis) -> None:
    limiter = Limiter(redis, "g")
    record = key(tokens=100)
    admission = await limiter.admit(record, "r", 100)
    with pytest.raises(LimitExceeded, match="limit of 100 tokens per minute is reached"):
        await limiter.admit(record, "r", 1)
    await limiter.settle(admission, 30)
    await limiter.settle(await limiter.admit(record, "r", 70), 90)
    with pytest.raises(LimitExceeded):
        await limiter.admit(record, "r", 1)


async def test_a_request_larger_than_the_limit_says_so(redis: Redis) -> None:
    with pytest.raises(
        LimitExceeded, match=r"needs up to 101 tokens.*limit of 100.*waiting will not help"
    ) as e:
        await Limiter(redis, "g").admit(key(tokens=100), "r", 101)
    assert e.value.retry_after_seconds is None
    assert e.value.which == "request_tokens"


async def test_keys_without_limits_never_touch_redis(redis: Redis, server: ValkeyProcess) -> None:
    server.kill()
    try:
        limiter = Limiter(redis, "g")
        for _ in range(100):
            admission = await limiter.admit(key(), "r", 10**9)
            assert not admission.degraded
            await limiter.settle(admission, 5)
        assert limiter.open_admissions == 0
    finally:
        server.start()


async def test_outage_is_limited_locally_and_recovers(redis: Redis, server: ValkeyProcess) -> None:
    limiter = Limiter(redis, "g")
    before = await admit_many(limiter, key(10, slots=8), 4)
    server.kill()
    try:
        during = await admit_many(limiter, key(10, slots=8), 20)
        # Eight slots, of which four were taken before the outage.
        assert len(during) == 4
        assert all(a.degraded for a in during)
        for admission in [*before, *during]:
            await limiter.settle(admission, 1)
        assert len(await admit_many(limiter, key(10, slots=8), 20)) == 2  # Ten requests in all.
    finally:
        server.start()
    assert limiter.pending_settlements >= 4
    work = asyncio.create_task(limiter.run())
    try:
        async with asyncio.timeout(10):
            while limiter.pending_settlements:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await redis.zcard("atelier:limit:k:live") == 0
        assert not (await limiter.admit(key(100), "r", 1)).degraded
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def test_a_hanging_redis_delays_one_request_not_all(redis: Redis, server: ValkeyProcess) -> None:
    limiter = Limiter(redis, "g")
    await limiter.settle(await limiter.admit(key(1000), "r", 1), 1)
    with server.paused():
        began = time.monotonic()
        assert (await limiter.admit(key(1000), "r", 1)).degraded
        middle = time.monotonic()
        assert (await limiter.admit(key(1000), "r", 1)).degraded
        assert middle - began < 3
        assert time.monotonic() - middle < 0.05


async def test_cancelled_requests_give_their_slots_back(redis: Redis) -> None:
    limiter = Limiter(redis, "g")
    for delay in [0.0, 0.0, 0.0001, 0.0003, 0.001] * 10:
        task = asyncio.create_task(limiter.admit(key(slots=100), "r", 1))
        await asyncio.sleep(delay)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await limiter.settle(await task, 1)
    await asyncio.sleep(0.05)
    await limiter.close()
    assert await redis.zcard("atelier:limit:k:live") == 0
    assert limiter.open_admissions == 0


@pytest.mark.parametrize("step_ms", [-30_000, -3_600_000])
async def test_a_clock_set_back_neither_blocks_for_ever_nor_opens_the_window(
    redis: Redis, step_ms: int
) -> None:
    limiter = Limiter(redis, "g")
    await limiter.admit(key(1), "r", 1, now_ms=START_MS)
    back = START_MS + step_ms
    if step_ms > -60_000:
        with pytest.raises(LimitExceeded):
            await limiter.admit(key(1), "r", 1, now_ms=back)
        await limiter.admit(key(1), "r", 1, now_ms=START_MS + 61_000)
    else:
        await limiter.admit(key(1), "r", 1, now_ms=back)


async def test_counters_leave_redis_by_themselves(redis: Redis) -> None:
    limiter = Limiter(redis, "g")
    await limiter.admit(key(10), "r", 1)
    for name in await redis.keys("atelier:limit:*"):
        assert 0 < await redis.ttl(name) <= 130


async def test_a_slot_released_without_waiting_is_free_for_the_next_request(redis: Redis) -> None:
    limiter = Limiter(redis, "g")
    for _ in range(20):
        admission = await limiter.admit(key(slots=1), "r", 1)
        limiter.release(admission, 0)
        limiter.release(admission, 0)  # A second time must not free another's slot.
        taken = await limiter.admit(key(slots=1), "r", 1)
        with pytest.raises(LimitExceeded):
            await limiter.admit(key(slots=1), "r", 1)
        await limiter.settle(taken, 0)
    await limiter.close()


async def test_a_release_that_the_server_does_not_know_or_does_not_hear_is_made_good(
    redis: Redis, server: ValkeyProcess
) -> None:
    limiter = Limiter(redis, "g")
    admission = await limiter.admit(key(slots=2), "r", 1)
    await redis.script_flush()
    limiter.release(admission, 0)
    async with asyncio.timeout(5):
        while await redis.zcard("atelier:limit:k:live"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert limiter.pending_settlements == 0
    admission = await limiter.admit(key(slots=2), "r", 1)
    server.kill()
    limiter.release(admission, 0)
    async with asyncio.timeout(5):
        while not limiter.pending_settlements:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    server.start()
    await limiter.close()
    assert await redis.zcard("atelier:limit:k:live") == 0
