"""Tickets for people who take over: queued in the state server, delivered to a webhook, kept until it took them.

A ticket leaves the queue only after the receiver has answered 2xx, so a crash on either side loses none; one may
then come twice, with the same `Idempotency-Key`.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp
import orjson
from redis.asyncio import Redis

from app.state.connection import StateUnavailable, guarded, text
from app.state.keyspace import Keyspace
from app.state.script import Script
from guardrails.session import Ticket

log = logging.getLogger("atelier.tickets")

LEASE_SECONDS = 60.0
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 600.0
IDLE_SECONDS = 1.0
MAX_LISTED = 1000

# KEYS queue, tickets. ARGV now, lease end. One ticket that is due, taken by moving it out of everyone's sight.
_CLAIM = Script("""
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 1)
if #due == 0 then return nil end
redis.call('ZADD', KEYS[1], ARGV[2], due[1])
local body = redis.call('HGET', KEYS[2], due[1])
if not body then redis.call('ZREM', KEYS[1], due[1]); return nil end
local tries = redis.call('HINCRBY', KEYS[3], due[1], 1)
return {due[1], body, tries}
""")


@dataclass(frozen=True, slots=True)
class Queued:
    """A ticket that waits: its id, what it holds, how often it was tried, when it is next."""

    id: str
    ticket: dict[str, Any]
    tries: int
    due: float


class TicketQueue:
    """The queue; any gateway adds, any gateway delivers."""

    def __init__(self, redis: Redis, names: Keyspace) -> None:
        self._redis = redis
        self._names = names

    async def add(self, ticket: Ticket, *, request_id: str, assistant: str) -> str:
        """Queue a ticket; its id. Raises StateUnavailable: then nobody must be told that somebody comes."""
        identity = uuid.uuid4().hex
        body = orjson.dumps(
            asdict(ticket)
            | {"id": identity, "request_id": request_id, "assistant": assistant, "time": time.time()}
        )
        with guarded("queueing a ticket"):
            pipe = self._redis.pipeline(transaction=True)
            pipe.hset(self._names.tickets, identity, body)
            pipe.zadd(self._names.ticket_queue, {identity: time.time()})
            await pipe.execute()
        return identity

    async def waiting(self, limit: int = MAX_LISTED) -> list[Queued]:
        """Tickets nobody has taken yet, the next one first. Raises StateUnavailable."""
        with guarded("listing tickets"):
            rows: list[Any] = list(
                await self._redis.zrange(self._names.ticket_queue, 0, limit - 1, withscores=True)
            )
            ids = [text(identity) for identity, _ in rows]
            if not ids:
                return []
            bodies = await self._redis.hmget(self._names.tickets, ids)
            tries = await self._redis.hmget(self._names.ticket_tries, ids)
        return [
            Queued(identity, orjson.loads(body), int(count or 0), due)
            for (identity, body, count, (_, due)) in zip(ids, bodies, tries, rows, strict=True)
            if body
        ]

    async def claim(self) -> tuple[str, bytes, int] | None:
        """A ticket that is due, hidden from others for a while. Raises StateUnavailable."""
        now = time.time()
        names = self._names
        with guarded("claiming a ticket"):
            found = await _CLAIM(
                self._redis,
                [names.ticket_queue, names.tickets, names.ticket_tries],
                [now, now + LEASE_SECONDS],
            )
        return None if found is None else (text(found[0]), bytes(found[1]), int(found[2]))

    async def done(self, identity: str) -> None:
        """Forget a ticket that was taken. Raises StateUnavailable."""
        with guarded("finishing a ticket"):
            pipe = self._redis.pipeline(transaction=True)
            pipe.zrem(self._names.ticket_queue, identity)
            pipe.hdel(self._names.tickets, identity)
            pipe.hdel(self._names.ticket_tries, identity)
            await pipe.execute()

    async def later(self, identity: str, tries: int) -> None:
        """Try a ticket again, each time after twice as long. Raises StateUnavailable."""
        wait = min(FIRST_WAIT_SECONDS * 2 ** min(tries - 1, 20), LONGEST_WAIT_SECONDS)
        with guarded("putting a ticket back"):
            await self._redis.zadd(self._names.ticket_queue, {identity: time.time() + wait}, xx=True)

    async def depth(self) -> int:
        """How many wait. Raises StateUnavailable."""
        with guarded("counting tickets"):
            return int(await self._redis.zcard(self._names.ticket_queue))


class Delivery:
    """Takes due tickets to the webhook, one after the other."""

    def __init__(
        self,
        queue: TicketQueue,
        url: str,
        token: str,
        on_ticket: Callable[[str], None] = lambda result: None,
        timeout: float = 10.0,
    ) -> None:
        self._queue = queue
        self._url = url
        self._on_ticket = on_ticket
        self._headers = {"content-type": "application/json"} | (
            {"authorization": f"Bearer {token}"} if token else {}
        )
        self._timeout = aiohttp.ClientTimeout(total=timeout)

    async def run(self) -> None:
        """Deliver until cancelled; without a URL the tickets stay in the queue."""
        if not self._url:
            await asyncio.Event().wait()
        async with aiohttp.ClientSession(timeout=self._timeout) as session:
            while True:
                try:
                    delivered = await self.step(session)
                except StateUnavailable as error:
                    log.warning("tickets wait: %s", error)
                    delivered = False
                if not delivered:
                    await asyncio.sleep(IDLE_SECONDS)

    async def step(self, session: aiohttp.ClientSession) -> bool:
        """Deliver one ticket that is due; whether there was one. Raises StateUnavailable."""
        claimed = await self._queue.claim()
        if claimed is None:
            return False
        identity, body, tries = claimed
        if problem := await self._post(session, identity, body):
            log.warning("ticket not taken", extra={"ticket": identity, "tries": tries, "problem": problem})
            await self._queue.later(identity, tries)
            self._on_ticket("retried")
        else:
            await self._queue.done(identity)
            self._on_ticket("delivered")
        return True

    async def _post(self, session: aiohttp.ClientSession, identity: str, body: bytes) -> str:
        """What went wrong; empty when the receiver has the ticket."""
        headers = self._headers | {"idempotency-key": identity}
        try:
            async with session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                return "" if 200 <= answer.status < 300 else f"status {answer.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return type(error).__name__
