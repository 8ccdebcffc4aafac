"""A gateway's live copy of the registry: polled, hurried by pub/sub, kept when Redis is away."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from adapters.snapshot import RegistrySnapshot

log = logging.getLogger(__name__)


class SnapshotSource(Protocol):
    """What a view reads; `adapters.registry.Registry` is one."""

    redis: Redis
    prefix: str

    async def snapshot(self, known: RegistrySnapshot | None = None) -> RegistrySnapshot:
        """Everything at one instant."""
        ...


async def hints(redis: Redis, prefix: str, notify: Callable[[], object]) -> None:
    """Call `notify` for every change published, until cancelled. Reconnects by itself; hints may be lost."""
    while True:
        try:
            async with redis.pubsub() as channel:
                await channel.subscribe(f"{prefix}changed")
                while True:
                    if await channel.get_message(ignore_subscribe_messages=True, timeout=1.0) is not None:
                        notify()
        except (RedisError, OSError) as error:
            log.debug("no change hints from Redis for a second: %s", error)
        await asyncio.sleep(1.0)


@asynccontextmanager
async def hinted(redis: Redis, prefix: str, notify: Callable[[], object]) -> AsyncIterator[None]:
    """Run `hints` in the background of a block."""
    task = asyncio.create_task(hints(redis, prefix, notify))
    try:
        yield
    finally:
        await end_tasks([task])


async def end_tasks(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait for their end, at most ten seconds. Their results are the caller's to read.

    Cancelled again each half second: a client library may swallow a cancellation that arrives together with the
    answer it waits for, and the loop around it would go on for ever.
    """
    for _ in range(20):
        for task in tasks:
            task.cancel()
        if not tasks or not (await asyncio.wait(tasks, timeout=0.5))[1]:
            return
    log.error("tasks that do not end: %s", [task for task in tasks if not task.done()])


class RegistryView:
    """`current` is the last snapshot read; it is replaced whole, never changed in place.

    `interval` seconds between polls (±20 %, so that gateways do not poll in step). `least_gap` seconds
    between two readings however many callers ask: names that do not exist cannot be used to hammer Redis.
    """

    def __init__(self, source: SnapshotSource, interval: float = 1.0, least_gap: float = 0.05) -> None:
        self.current = RegistrySnapshot()
        self._source = source
        self._interval = interval
        self._least_gap = least_gap
        self._read_at: float | None = None
        self._tried_at = float("-inf")
        self._flight: asyncio.Task[bool] | None = None
        self._wake = asyncio.Event()

    def age(self) -> float:
        """Seconds since the last successful reading; infinity before the first."""
        return float("inf") if self._read_at is None else time.monotonic() - self._read_at

    async def run(self) -> None:
        """Keep `current` fresh until cancelled."""
        async with hinted(self._source.redis, self._source.prefix, self._wake.set):
            while True:
                self._wake.clear()
                await self.refresh()
                pause = self._interval * random.uniform(0.8, 1.2)
                try:
                    # Not wait_for: on Python 3.11 it swallows a cancellation that arrives with a hint.
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
                except TimeoutError:
                    continue
                # A burst of changes is one reading, not one per change.
                await asyncio.sleep(self._least_gap / 10)

    async def refresh(self) -> bool:
        """Read now; False (`current` is kept) when Redis cannot be read. Concurrent callers share a
        reading."""
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._read())
        # Shielded: one caller's cancellation must not take the reading from the others.
        return await asyncio.shield(self._flight)

    async def refresh_if_older_than(self, seconds: float) -> bool:
        """Read unless the last reading is at most `seconds` old. True when `current` is as fresh as asked."""
        if self.age() <= seconds:
            return True
        if time.monotonic() - self._tried_at < self._least_gap and not self._reading():
            return False
        return await self.refresh()

    def _reading(self) -> bool:
        return self._flight is not None and not self._flight.done()

    async def _read(self) -> bool:
        self._tried_at = started = time.monotonic()
        try:
            known = self.current if self._read_at is not None else None
            self.current = await self._source.snapshot(known)
        except (RedisError, OSError) as error:
            log.warning(
                "registry not readable, going on with the snapshot of %.1f s ago: %s", self.age(), error
            )
            return False
        self._read_at = started
        return True
