from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from app.identity.admin_key import load_or_create_key
from app.identity.key_cache import KeyCache
from app.identity.keys import InvalidKey, KeyRecord, KeyRing, Limits, UnknownKeyId
from app.state.connection import StateUnavailable, connect
from tests.valkey_process import ValkeyProcess


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


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def ring(redis: Redis, clock: Clock | None = None, **options: Any) -> KeyRing:
    return KeyRing(redis, confirm_seconds=0, clock=clock or Clock(), **options)


async def test_created_key_authenticates_everywhere_and_is_not_stored(redis: Redis) -> None:
    one, two = ring(redis), ring(redis)
    full, record = await one.create(
        name="shop",
        scopes=["chat"],
        models=["fees", "cards@*"],
        limits=Limits(60, 1000, 4),
        created_by="boss",
    )
    assert full.startswith(f"atl-{record.id}-")
    assert len(full.split("-", 2)[2]) >= 43  # 256 bits
    assert await one.authenticate(full) == record
    assert await two.authenticate(full) == record
    secret = full.split("-", 2)[2]
    for name in await redis.keys("*"):
        assert secret.encode() not in (await redis.dump(name) or b"")


@pytest.mark.parametrize("wrong", ["", "sk-123", "atl-", "atl-" + "x" * 600, "atl-0-\ud800", "atl-中文"])
async def test_anything_else_is_invalid(redis: Redis, wrong: str) -> None:
    with pytest.raises(InvalidKey):
        await ring(redis).authenticate(wrong)


async def test_unknown_expired_and_revoked_look_the_same(redis: Redis) -> None:
    clock = Clock()
    keys = ring(redis, clock, fresh_seconds=60)
    expired, _ = await keys.create(name="a", scopes=["chat"], expires=clock.now + 10, created_by="x")
    revoked, record = await keys.create(name="b", scopes=["chat"], created_by="x")
    assert await keys.authenticate(expired)
    clock.now += 10  # Still in the cache.
    assert (await keys.revoke(record.id)).revoked
    messages = set()
    for full in (expired, revoked, f"atl-{'0' * 16}-{'s' * 43}"):
        with pytest.raises(InvalidKey) as caught:
            await keys.authenticate(full)
        messages.add(str(caught.value))
    assert len(messages) == 1


async def test_revocation_elsewhere_counts_within_fresh_seconds(redis: Redis) -> None:
    clock = Clock()
    here, there = ring(redis, clock, fresh_seconds=5), ring(redis, clock, fresh_seconds=5)
    full, record = await here.create(name="a", scopes=["chat"], created_by="x")
    await there.authenticate(full)
    await here.revoke(record.id)
    clock.now += 4.9
    assert await there.authenticate(full)
    clock.now += 0.1
    with pytest.raises(InvalidKey):
        await there.authenticate(full)


async def test_revocation_elsewhere_counts_at_once_with_the_listener(redis: Redis) -> None:
    here, there = ring(redis, fresh_seconds=3600), ring(redis, fresh_seconds=3600)
    listener = asyncio.create_task(there.run())
    try:
        async with asyncio.timeout(10):
            while (await redis.pubsub_numsub("atelier:keys:changed"))[0][1] == 0:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            full, record = await here.create(name="a", scopes=["chat"], created_by="x")
            await there.authenticate(full)
            await here.revoke(record.id)
            while True:
                with contextlib.suppress(TimeoutError):
                    try:
                        await there.authenticate(full)
                    except InvalidKey:
                        break
                await asyncio.sleep(0.01)
    finally:
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)


async def test_one_look_up_for_many_waiters_who_may_leave(redis: Redis) -> None:
    keys = ring(redis)
    full, record = await keys.create(name="a", scopes=["chat"], created_by="x")
    before = (await redis.info("commandstats")).get("cmdstat_get", {}).get("calls", 0)
    waiters = [asyncio.create_task(keys.authenticate(full)) for _ in range(100)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    results = await asyncio.gather(*waiters, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [record] * 99
    after = (await redis.info("commandstats"))["cmdstat_get"]["calls"]
    assert after - before == 1


async def test_random_keys_do_not_grow_memory_nor_push_out_real_ones() -> None:
    cache: KeyCache[str] = KeyCache(known=10, unknown=20)
    cache.put(b"real", "record", 100.0)
    for n in range(1000):
        cache.put(b"%d" % n, None, 100.0)
    assert len(cache) == 21
    entry = cache.get(b"real", 101.0, 5.0)
    assert entry is not None
    assert entry.record == "record"
    assert cache.get(b"999", 100.5, 5.0) is not None
    assert cache.get(b"999", 101.1, 5.0) is None  # A key made meanwhile works soon.


async def test_outage_serves_keys_seen_lately_and_recovers(redis: Redis, server: ValkeyProcess) -> None:
    clock = Clock()
    keys = ring(redis, clock, fresh_seconds=5, stale_seconds=60)
    full, record = await keys.create(name="a", scopes=["chat"], expires=clock.now + 50, created_by="x")
    other, _ = await keys.create(name="b", scopes=["chat"], created_by="x")
    await keys.authenticate(full)
    server.kill()
    try:
        clock.now += 49
        assert await keys.authenticate(full) == record
        with pytest.raises(StateUnavailable):
            await keys.authenticate(other)  # Never seen here.
        with pytest.raises(StateUnavailable):
            await keys.create(name="c", scopes=["chat"], created_by="x")
        clock.now += 1
        with pytest.raises(InvalidKey):
            await keys.authenticate(full)  # Expiry counts in an outage too.
    finally:
        server.start()
    async with asyncio.timeout(5):
        while True:
            with contextlib.suppress(StateUnavailable):
                assert (await keys.authenticate(other)).name == "b"
                break
            await asyncio.sleep(0.05)


async def test_outage_longer_than_stale_seconds_refuses(redis: Redis, server: ValkeyProcess) -> None:
    clock = Clock()
    keys = ring(redis, clock, stale_seconds=60)
    full, _ = await keys.create(name="a", scopes=["chat"], created_by="x")
    await keys.authenticate(full)
    server.kill()
    try:
        clock.now += 60
        with pytest.raises(StateUnavailable):
            await keys.authenticate(full)
    finally:
        server.start()


async def test_list_get_and_unknown_id(redis: Redis) -> None:
    clock = Clock()
    keys = ring(redis, clock)
    made = []
    for name in "abc":
        clock.now += 1
        made.append((await keys.create(name=name, scopes=["chat"], created_by="x"))[1])
    assert await keys.list() == made
    assert await keys.get(made[1].id) == made[1]
    with pytest.raises(UnknownKeyId, match="no key with id 'nope'"):
        await keys.revoke("nope")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"scopes": ["root"]},
        {"expires": 5.0},
        {"secret": "short"},
        {"secret": "with space and more"},
    ],
)
async def test_wrong_creations_are_refused(redis: Redis, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"name|scope|expires|key"):
        await ring(redis).create(**{"name": "a", "scopes": ["chat"], "created_by": "x", **wrong})
    assert await redis.hlen("atelier:keys") == 0


@pytest.mark.parametrize("number", [0, -1, 10**13])
def test_wrong_limits_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match="tokens_per_minute"):
        Limits(tokens_per_minute=number)


def test_allowed_models() -> None:
    record = KeyRecord("i", "n", frozenset(), ("cards", "fees@*"), Limits(), 0, "x", None, False)
    assert record.allows_model("cards")
    assert record.allows_model("fees@0123456789ab")
    assert not record.allows_model("fees")
    assert not record.allows_model("cards@0123456789ab")
    assert replace(record, models=()).allows_model("anything")


async def test_admin_key_is_made_once_and_survives_an_empty_state(redis: Redis, tmp_path: Path) -> None:
    path = tmp_path / "var" / "admin.key"
    rings = [ring(redis) for _ in range(8)]
    fulls = await asyncio.gather(*(r.ensure_admin(path) for r in rings))
    assert len(set(fulls)) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["admin.key"]
    await redis.flushall()
    keys = ring(redis)
    assert await keys.ensure_admin(path) == fulls[0]
    assert "admin" in (await keys.authenticate(fulls[0])).scopes


async def test_a_revoked_admin_key_stays_revoked(redis: Redis, tmp_path: Path) -> None:
    keys = ring(redis)
    full = await keys.ensure_admin(tmp_path / "admin.key")
    await keys.revoke((await keys.authenticate(full)).id)
    await keys.ensure_admin(tmp_path / "admin.key")
    with pytest.raises(InvalidKey):
        await keys.authenticate(full)


def test_a_damaged_admin_file_is_named_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "admin.key"
    path.write_text("nonsense")
    with pytest.raises(ValueError, match=r"admin\.key does not hold an admin key"):
        load_or_create_key(path)
    assert path.read_text() == "nonsense"


def test_a_readable_admin_file_is_closed(tmp_path: Path) -> None:
    full = load_or_create_key(tmp_path / "admin.key")
    (tmp_path / "admin.key").chmod(0o644)
    assert load_or_create_key(tmp_path / "admin.key") == full
    assert (tmp_path / "admin.key").stat().st_mode & 0o777 == 0o600


async def test_create_waits_for_the_disk(redis: Redis, server: ValkeyProcess) -> None:
    keys = KeyRing(redis, confirm_seconds=3)
    full, record = await keys.create(name="a", scopes=["chat"], created_by="x", expires=time.time() + 60)
    server.restart()
    assert await KeyRing(redis).authenticate(full) == record
