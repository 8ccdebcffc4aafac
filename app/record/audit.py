"""The audit log: local journal, chain in Redis, archive in files.

A record is on this machine's disk when `record` returns, and in the chain a moment later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import redis.exceptions as errors
from redis.asyncio import Redis

from app.config import Settings
from app.record import audit_archive
from app.record.audit_anchor import read_anchor
from app.record.audit_archive import DamagedArchive
from app.record.audit_chain import Chain
from app.record.audit_event import AuditEvent, Record
from app.record.audit_shipper import CONFIRM_SECONDS, Shipper
from app.record.audit_verify import VerifyResult, verify_chain
from app.record.journal import MIB, Journal, JournalFull
from app.record.usage import read_usage
from app.state.connection import StateUnavailable, persisted
from app.state.keyspace import Keyspace

log = logging.getLogger(__name__)

# Shipping waits this long for company: a batch costs one round trip and one script, whatever its size.
SHIP_SECONDS = 0.05
OUTAGE_SECONDS = 0.5
UPKEEP_SECONDS = 1.0
ADOPT_SECONDS = 5.0
ARCHIVE_SECONDS = 30.0
ARCHIVE_SEGMENT = 20_000
ARCHIVE_LOCK_SECONDS = 120
MAX_QUERY = 1000

# What may go wrong in the background and is tried again.
_PASSING = (StateUnavailable, errors.RedisError, OSError, DamagedArchive)


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """`max_spool_bytes`: unshipped bytes at which new requests are refused or, with `refuse_when_full` false,
    at which records are dropped and counted. `archive_above`, `archive_keep`: records in Redis."""

    max_spool_bytes: int = 256 * MIB
    segment_bytes: int = 8 * MIB
    refuse_when_full: bool = True
    archive_above: int = 100_000
    archive_keep: int = 50_000


class AuditLog:
    """One per process. `directory` holds `spool/`, `archive/` and `anchor.json`; processes may share it.

    `secret`: makes the chain an HMAC chain, which whoever can write to Redis cannot forge.
    """

    def __init__(
        self,
        redis: Redis,
        directory: Path,
        writer_id: str,
        *,
        settings: AuditSettings | None = None,
        secret: bytes | None = None,
        names: Keyspace | None = None,
    ) -> None:
        self._redis = redis
        self._names = names or Keyspace()
        self._settings = settings or AuditSettings()
        self._secret = secret
        self._archive = directory / "archive"
        self._anchor = directory / "anchor.json"
        self._journal = Journal(
            directory / "spool",
            writer_id,
            max_bytes=self._settings.max_spool_bytes,
            segment_bytes=self._settings.segment_bytes,
        )
        self._chain = Chain(redis, self._archive, secret=secret, names=self._names)
        self._shipper = Shipper(redis, self._chain, self._journal, self._anchor, names=self._names)
        self._wake = asyncio.Event()
        self.dropped = 0

    @property
    def accepting(self) -> bool:
        """False: refuse new requests with 503, because their records could not be kept."""
        return not (self._settings.refuse_when_full and self._journal.full)

    @property
    def unshipped_bytes(self) -> int:
        return self._journal.unshipped_bytes

    def record(self, event: AuditEvent) -> None:
        """Durable against the death of this process when it returns. Does not block on Redis.

        Raises JournalFull, unless the settings prefer to lose records (then `dropped` counts).
        """
        try:
            self._journal.append(event.encode())
        except JournalFull:
            if self._settings.refuse_when_full:
                raise
            self.dropped += 1
            if self.dropped & (self.dropped - 1) == 0:
                log.exception("audit: %d records dropped", self.dropped)
            return
        self._wake.set()

    async def run(self) -> None:
        """Ship, sync, confirm, adopt and archive until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ship_forever())
            tasks.create_task(self._every(UPKEEP_SECONDS, self._sync))
            tasks.create_task(self._every(UPKEEP_SECONDS, self._shipper.confirm))
            tasks.create_task(self._every(ADOPT_SECONDS, self._adopt))
            tasks.create_task(self._every(ARCHIVE_SECONDS, self._archive_if_long))

    async def _ship_forever(self) -> None:
        while True:
            try:
                await self._shipper.ship()
                pause = SHIP_SECONDS
            except _PASSING as error:
                log.warning("audit: %d bytes wait in the spool: %s", self.unshipped_bytes, error)
                pause = OUTAGE_SECONDS
            await asyncio.sleep(pause)
            # Also without new records: what an outage left behind must not wait for the next request.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(UPKEEP_SECONDS):
                    await self._wake.wait()
            self._wake.clear()

    async def _every(self, seconds: float, work: Callable[[], Awaitable[object]]) -> None:
        while True:
            try:
                await work()
            except _PASSING as error:
                log.warning("audit: %s", error)
            await asyncio.sleep(seconds)

    async def _sync(self) -> None:
        await asyncio.to_thread(self._journal.sync)

    async def _adopt(self) -> None:
        self._shipper.adopt()

    async def flush(self) -> None:
        """Everything recorded before this call is in the chain. Raises StateUnavailable."""
        self._shipper.adopt()
        await self._shipper.ship()

    async def close(self) -> None:
        """Ship what can be shipped and remove what is confirmed; the rest waits for the next process."""
        try:
            self._journal.seal()
            await self._shipper.ship()
            await self._shipper.confirm(patient=False)
        except (StateUnavailable, errors.RedisError) as error:
            log.warning("audit: %d bytes stay in the spool: %s", self.unshipped_bytes, error)
        finally:
            self._journal.close()

    async def verify(self) -> VerifyResult:
        """Check every record of archive and stream. Raises StateUnavailable."""
        try:
            anchor = read_anchor(self._anchor)
        except ValueError as error:
            return VerifyResult(False, 0, None, str(error))
        return await verify_chain(self._chain, anchor, self._secret)

    async def head(self) -> int:
        """The number of the last record in the chain. Raises StateUnavailable."""
        head = await self._chain.head()
        return 0 if head is None else head.seq

    async def query(
        self,
        *,
        after_seq: int = 0,
        limit: int = 100,
        kind: str | None = None,
        actor: str | None = None,
        action: str | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> list[dict[str, Any]]:
        """Records behind `after_seq` that match, oldest first. `since` ≤ time < `until`, unix seconds.

        Raises ValueError, StateUnavailable, DamagedArchive.
        """
        if not 1 <= limit <= MAX_QUERY:
            raise ValueError(f"limit is {limit}; give 1 to {MAX_QUERY}")
        wanted = {"kind": kind, "actor": actor, "action": action}
        wanted = {name: value for name, value in wanted.items() if value is not None}
        found = []
        async for record in self._chain.records(max(0, after_seq)):
            fields = _readable(record)
            if any(fields.get(name) != value for name, value in wanted.items()):
                continue
            at = fields.get("time", 0.0)
            if (since is not None and at < since) or (until is not None and at >= until):
                continue
            found.append(fields)
            if len(found) == limit:
                break
        return found

    async def usage(self, day_from: date, day_to: date, key: str | None = None) -> list[dict[str, Any]]:
        """See `app.record.usage.read_usage`."""
        return await read_usage(self._redis, day_from, day_to, key, names=self._names)

    async def _archive_if_long(self) -> None:
        if await self._chain.length() > self._settings.archive_above:
            moved = await self.archive(self._settings.archive_keep)
            if moved:
                log.info("audit: %d records moved to %s", moved, self._archive)

    async def archive(self, keep: int) -> int:
        """Move all but the newest `keep` (at least 1) records from Redis to files; how many were moved.

        0 also if another process is at it. Raises StateUnavailable.
        """
        token = secrets.token_hex(8)
        if not await self._chain.lock(token, ARCHIVE_LOCK_SECONDS):
            return 0
        try:
            # A file must not hold what Redis could still lose and be told again in another order.
            await persisted(self._redis, timeout=CONFIRM_SECONDS, names=self._names)
            moved = 0
            while True:
                excess = await self._chain.length() - max(1, keep)
                if excess <= 0:
                    return moved
                step = await self._archive_some(min(excess, ARCHIVE_SEGMENT), token)
                moved += step
                if step == 0:
                    return moved
        finally:
            await self._chain.unlock(token)

    async def _archive_some(self, count: int, token: str) -> int:
        records = [record async for record in _first(self._chain, count)]
        if not records:
            return 0
        await asyncio.to_thread(audit_archive.drop_unfinished, self._archive, records[0].seq)
        await asyncio.to_thread(audit_archive.write, self._archive, records)
        cut = await self._chain.cut(records[0].seq, records[-1].seq, token, ARCHIVE_LOCK_SECONDS)
        return len(records) if cut else 0


async def _first(chain: Chain, count: int) -> AsyncIterator[Record]:
    cursor = "-"
    while count > 0:
        page = await chain.page(cursor, count=min(500, count))
        if not page:
            return
        for _, record in page:
            yield record
        count -= len(page)
        cursor = f"({page[-1][0]}"


def _readable(record: Record) -> dict[str, Any]:
    try:
        return record.to_dict()
    except (ValueError, TypeError):
        return {"seq": record.seq, "action": "audit.unreadable", "hash": record.hash.hex()}


def open_audit(settings: Settings, redis: Redis, writer_id: str) -> AuditLog:
    """The audit log of one process, as the settings say."""
    secret = settings.audit_secret.get_secret_value()
    return AuditLog(
        redis,
        settings.var_dir / "audit",
        writer_id,
        secret=secret.encode() or None,
        names=Keyspace(settings.state_prefix),
    )
