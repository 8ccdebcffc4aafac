from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest
import redis.exceptions as errors

from app.state.connection import StateUnavailable, connect, guarded
from app.state.lane import Lane
from tests.valkey_process import ValkeyProcess


@pytest.fixture
def valkey() -> Iterator[ValkeyProcess]:
    with ValkeyProcess() as process:
        yield process


async def test_every_waiter_gets_its_own_answer_though_others_leave(valkey: ValkeyProcess) -> None:
    lane, chance = Lane(connect(valkey.url)), random.Random(1)
    for _ in range(20):
        waiters = [asyncio.create_task(lane.call("ECHO", str(n))) for n in range(100)]
        await asyncio.sleep(chance.choice([0, 0.001]))
        left = [w for w in waiters if chance.random() < 0.3 and w.cancel()]
        for number, waiter in enumerate(waiters):
            if waiter in left:
                with pytest.raises(asyncio.CancelledError):
                    await waiter
            else:
                assert await waiter == str(number).encode()
    await lane.close()


async def test_a_burst_uses_one_connection(valkey: ValkeyProcess) -> None:
    redis = connect(valkey.url)
    lane = Lane(redis)
    await asyncio.gather(*(lane.call("INCR", "n") for _ in range(500)))
    assert await lane.call("GET", "n") == b"500"
    assert len(await redis.client_list()) == 2
    await lane.close()
    await redis.aclose()


async def test_a_refused_command_does_not_shift_the_answers(valkey: ValkeyProcess) -> None:
    lane = Lane(connect(valkey.url))
    answers: list[object] = await asyncio.gather(
        lane.call("ECHO", "a"), lane.call("NO-SUCH"), lane.call("ECHO", "b"), return_exceptions=True
    )
    assert (answers[0], answers[2]) == (b"a", b"b")
    assert isinstance(answers[1], errors.ResponseError)
    await lane.close()


async def test_a_killed_server_fails_all_waiters_and_is_found_again(valkey: ValkeyProcess) -> None:
    lane = Lane(connect(valkey.url))
    await lane.call("SET", "k", "v")
    waiting = asyncio.create_task(lane.call("BLPOP", "nothing", 0))
    await asyncio.sleep(0.05)
    valkey.kill()
    for work in (waiting, lane.call("GET", "k")):
        with pytest.raises(StateUnavailable), guarded("a test"):
            await work
    valkey.start()
    assert await lane.call("GET", "k") == b"v"
    await lane.close()


async def test_a_silent_server_is_noticed_and_found_again(valkey: ValkeyProcess) -> None:
    lane = Lane(connect(valkey.url, timeout=0.3), timeout=0.3)
    await lane.call("PING")
    with valkey.paused():
        async with asyncio.timeout(3):
            with pytest.raises(StateUnavailable), guarded("a test"):
                await lane.call("PING")
    assert await lane.call("PING") == b"PONG"
    await lane.close()
