"""Tickets: none is lost, whatever fails between the queue and the people who take over."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from aiohttp import web

from app.chat import tickets as module
from app.chat.tickets import Delivery, TicketQueue
from app.state.connection import StateUnavailable, connect
from app.state.keyspace import Keyspace
from guardrails.session import Ticket
from tests.valkey_process import ValkeyProcess

TICKET = Ticket("asked", "en", "my card", ("Doc §1",), "ab" * 32, 2)


class Receiver:
    """A real HTTP server that answers with the statuses it was given, then 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.got: list[tuple[str, dict[str, object], str]] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        status = self.statuses.pop(0) if self.statuses else 200
        key, token = request.headers["idempotency-key"], request.headers.get("authorization", "")
        self.got.append((key, await request.json(), token))
        return web.Response(status=status, headers={"location": "/elsewhere"})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/tickets", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/tickets"
    yield receiver
    await runner.cleanup()


@pytest.fixture
def valkey() -> Iterator[ValkeyProcess]:
    with ValkeyProcess() as process:
        yield process


@pytest.fixture
async def queue(valkey: ValkeyProcess) -> AsyncIterator[TicketQueue]:
    redis = connect(valkey.url)
    yield TicketQueue(redis, Keyspace("t:"))
    await redis.aclose()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.01)


async def until_empty(queue: TicketQueue) -> None:
    async with asyncio.timeout(20):
        while await queue.depth():  # noqa: ASYNC110 (it is in another process)
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def delivering(delivery: Delivery) -> AsyncIterator[None]:
    task = asyncio.create_task(delivery.run())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.mark.usefixtures("quick")
async def test_it_is_tried_until_it_is_taken_under_one_key(queue: TicketQueue, receiver: Receiver) -> None:
    receiver.statuses = [500, 302, 404, 503]
    results: list[str] = []
    identity = await queue.add(TICKET, request_id="r1", assistant="bank")
    async with delivering(Delivery(queue, receiver.url, "secret", results.append)):
        await until_empty(queue)
        async with asyncio.timeout(20):
            # It is counted once the queue has let go of it.
            while len(results) < 5:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert [key for key, _, _ in receiver.got] == [identity] * 5
    assert results == ["retried"] * 4 + ["delivered"]
    _, body, token = receiver.got[-1]
    assert (body["reason"], body["summary"], body["id"], body["assistant"]) == (
        "asked",
        "my card",
        identity,
        "bank",
    )
    assert body["transcript_digest"] == "ab" * 32
    assert token == "Bearer secret"
    assert await queue.waiting() == []


async def test_the_wait_grows_and_is_bounded(queue: TicketQueue) -> None:
    await queue.add(TICKET, request_id="r1", assistant="bank")
    waits = []
    for tries in (1, 2, 5, 30, 10_000):
        (row,) = await queue.waiting()
        await queue.later(row.id, tries)
        (row,) = await queue.waiting()
        waits.append(row.due)
    gaps = [due - time.time() for due in waits]
    assert gaps == sorted(gaps)
    assert gaps[-1] <= module.LONGEST_WAIT_SECONDS


@pytest.mark.usefixtures("quick")
async def test_a_receiver_that_is_down_loses_nothing(queue: TicketQueue, receiver: Receiver) -> None:
    identity = await queue.add(TICKET, request_id="r1", assistant="bank")
    async with aiohttp.ClientSession() as session:
        nobody = Delivery(queue, "http://127.0.0.1:9/tickets", "")
        assert await nobody.step(session)
    (row,) = await queue.waiting()
    assert (row.id, row.tries) == (identity, 1)
    async with delivering(Delivery(queue, receiver.url, "")):
        await until_empty(queue)
    assert [key for key, _, _ in receiver.got] == [identity]


async def test_a_claimed_ticket_is_hidden_and_comes_back(
    queue: TicketQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue.add(TICKET, request_id="r1", assistant="bank")
    assert await queue.claim() is not None
    assert await queue.claim() is None
    # Its gateway died: the lease ends and another one takes it.
    (row,) = await queue.waiting()
    monkeypatch.setattr("app.chat.tickets.time.time", lambda: row.due + 0.001)
    again = await queue.claim()
    assert again is not None
    assert (again[0], again[2]) == (row.id, 2)


async def test_tickets_outlive_the_state_server(valkey: ValkeyProcess, queue: TicketQueue) -> None:
    identities = [await queue.add(TICKET, request_id=str(n), assistant="bank") for n in range(20)]
    valkey.restart()
    assert {row.id for row in await queue.waiting()} == set(identities)


async def test_two_gateways_share_the_work(queue: TicketQueue, receiver: Receiver) -> None:
    identities = {await queue.add(TICKET, request_id=str(n), assistant="bank") for n in range(30)}
    async with (
        delivering(Delivery(queue, receiver.url, "")),
        delivering(Delivery(queue, receiver.url, "")),
    ):
        await until_empty(queue)
    assert sorted(key for key, _, _ in receiver.got) == sorted(identities)


async def test_without_a_receiver_they_wait(queue: TicketQueue) -> None:
    await queue.add(TICKET, request_id="r1", assistant="bank")
    async with delivering(Delivery(queue, "", "")):
        await asyncio.sleep(0.05)
    assert len(await queue.waiting()) == 1


async def test_a_queue_that_is_away_says_so() -> None:
    queue = TicketQueue(connect("unix:///nowhere/s", timeout=0.2), Keyspace())
    with pytest.raises(StateUnavailable):
        await queue.add(TICKET, request_id="r1", assistant="bank")
