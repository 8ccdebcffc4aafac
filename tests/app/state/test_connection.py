from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterator

import pytest
import redis.exceptions as errors

from app.state.connection import StateUnavailable, connect, guarded, is_outage, persisted
from app.state.keyspace import Keyspace
from app.state.script import Script
from tests.valkey_process import ValkeyProcess


@pytest.fixture
def valkey() -> Iterator[ValkeyProcess]:
    with ValkeyProcess() as process:
        yield process


async def test_client_returns_after_the_server_was_killed(valkey: ValkeyProcess) -> None:
    redis = connect(valkey.url, timeout=1.0)
    await asyncio.gather(*(redis.set(f"k{n}", n) for n in range(50)))
    # While a slow disk syncs, the server keeps its last two seconds in memory only.
    assert await persisted(redis, timeout=10)
    valkey.restart(signal.SIGKILL)
    # All pooled connections are dead now; none of these calls may notice.
    assert await asyncio.gather(*(redis.get(f"k{n}") for n in range(50))) == [b"%d" % n for n in range(50)]
    await redis.aclose()


async def test_absence_is_state_unavailable(valkey: ValkeyProcess) -> None:
    redis = connect(valkey.url, timeout=0.3)
    await redis.ping()
    valkey.kill()
    with pytest.raises(StateUnavailable, match="during a test"), guarded("a test"):
        await redis.get("k")
    with pytest.raises(StateUnavailable):
        await persisted(redis, timeout=1)
    await redis.aclose()


async def test_hanging_server_is_state_unavailable_in_time(valkey: ValkeyProcess) -> None:
    redis = connect(valkey.url, timeout=0.3)
    await redis.ping()
    with valkey.paused():
        async with asyncio.timeout(2):
            with pytest.raises(StateUnavailable), guarded("a test"):
                await redis.get("k")
    assert await redis.ping()
    await redis.aclose()


async def test_a_wrong_request_is_not_an_outage(valkey: ValkeyProcess) -> None:
    redis = connect(valkey.url)
    await redis.set("text", "x")
    with pytest.raises(errors.ResponseError), guarded("a test"):
        await redis.hget("text", "field")
    assert not is_outage(ValueError("x"))
    assert is_outage(errors.ResponseError("MISCONF cannot persist"))
    await redis.aclose()


@pytest.mark.parametrize("work", ["get", "persisted"])
async def test_a_cancellation_is_never_lost_nor_a_connection(valkey: ValkeyProcess, work: str) -> None:
    redis = connect(valkey.url)
    delays = random.Random(1)
    for _ in range(300):
        task = asyncio.ensure_future(redis.get("k") if work == "get" else persisted(redis, timeout=0.2))
        await asyncio.sleep(delays.choice([0, delays.uniform(0, 0.001)]))
        if task.cancel():
            with pytest.raises(asyncio.CancelledError):
                await task
    pool = redis.connection_pool
    assert not pool._in_use_connections
    await redis.aclose()


def test_other_schemes_are_refused() -> None:
    with pytest.raises(ValueError, match="scheme 'http'"):
        connect("http://localhost")


async def test_persisted_writes_survive_a_kill(valkey: ValkeyProcess) -> None:
    redis = connect(valkey.url, timeout=0.5)
    await redis.set("k", "v")
    # Longer than the client's own time limit: waiting in slices must not trip it.
    assert await persisted(redis, timeout=3)
    valkey.restart()
    assert await redis.get("k") == b"v"
    await redis.aclose()


async def test_persisted_says_no_without_append_only_file() -> None:
    with ValkeyProcess(extra=("--appendonly", "no")) as valkey:
        redis = connect(valkey.url)
        assert not await persisted(redis, timeout=0.5)
        await redis.aclose()


async def test_script_survives_a_script_flush(valkey: ValkeyProcess) -> None:
    redis = connect(valkey.url)
    script = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert await script(redis, ["n"], [2]) == 2
    await redis.script_flush()
    assert await script(redis, ["n"], [3]) == 5
    await redis.aclose()


def test_names_follow_the_prefix() -> None:
    names = Keyspace("other:")
    assert names.key("ab") == "other:key:ab"
    assert Keyspace().adapter("fees@0123456789ab") == "atelier:adapter:fees@0123456789ab"
    assert Keyspace().usage("20260101") == "atelier:usage:20260101"
