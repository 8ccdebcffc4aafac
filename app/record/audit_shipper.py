"""The way of records from the spool to the chain, and the proof that they have arrived.

A spool's bytes are given up only after Redis has them on its own disk and still knows them; the compare-and-set
on the spool's offset means that no record is in the chain twice. So neither side's crash loses or doubles one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from hashlib import sha256
from pathlib import Path

import orjson
import redis.exceptions as errors
from redis.asyncio import Redis

from app.record.audit_anchor import move_anchor
from app.record.audit_chain import Chain, Head, is_broken_head
from app.record.audit_event import AuditEvent
from app.record.journal import Journal, JournalFull, Segment
from app.state.connection import StateUnavailable, persisted
from app.state.keyspace import Keyspace

log = logging.getLogger(__name__)

# Records per script call: bounds how long Redis and this event loop are busy with one batch.
BATCH = 128
TRIES = 50
CONFIRM_SECONDS = 2.5


class Shipper:
    """`unconfirmed_seconds`: a server without an append-only file cannot confirm; then only this time passes
    before a spool is removed."""

    def __init__(
        self,
        redis: Redis,
        chain: Chain,
        journal: Journal,
        anchor: Path,
        *,
        names: Keyspace,
        unconfirmed_seconds: float = 5.0,
    ) -> None:
        self._redis = redis
        self._chain = chain
        self._journal = journal
        self._anchor = anchor
        self._names = names
        self._unconfirmed_seconds = unconfirmed_seconds
        self._head = Head()
        self._busy = asyncio.Lock()

    def adopt(self) -> None:
        """Take over the spools of dead processes in the same folder."""
        for segment in self._journal.adopt():
            log.info("audit: adopted the spool %s of a process that is gone", segment.path)

    async def ship(self) -> None:
        """Bring everything in the journal into the chain. Raises StateUnavailable."""
        # One at a time: two would only make each other's compare-and-set fail.
        async with self._busy:
            for segment in list(self._journal.segments):
                await self._ship_segment(segment)

    async def _ship_segment(self, segment: Segment) -> None:
        while segment.shipped < segment.size:
            lines, end = segment.read()
            if not lines:
                # Only a dead process's last line can be unfinished: `record` never returned for it.
                lines, end = [segment.rest()], segment.size
            elif len(lines) > BATCH:
                lines = lines[:BATCH]
                end = segment.shipped + sum(len(line) + 1 for line in lines)
            if segment.sealed:
                lines = [line if _is_event(line) else _damaged(segment, line) for line in lines]
            await self._ship_batch(segment, end, lines)
            await asyncio.sleep(0)

    async def _ship_batch(self, segment: Segment, end: int, lines: list[bytes]) -> None:
        for attempt in range(TRIES):
            try:
                result = await self._chain.ship(self._head, segment.name, segment.shipped, end, lines)
            except errors.ResponseError as error:
                if not is_broken_head(error):
                    raise
                await self._mend_head()
                continue
            if result.moved_to is not None:
                # Adopted half-way, or an answer or a write was lost: go on from where the chain really is.
                self._journal.moved(segment, min(result.moved_to, segment.size))
                return
            if result.head is not None:
                self._head = result.head
            if result.added:
                self._journal.moved(segment, end)
                return
            # Another gateway was faster. Jitter, or equals would collide again and again.
            await asyncio.sleep(random.uniform(0, 0.001 * min(attempt, 20)))
        raise StateUnavailable(f"the audit chain's head moved {TRIES} times while one batch was added")

    async def _mend_head(self) -> None:
        restored = await self._chain.restore_head()
        self._head = await self._chain.head() or Head()
        if not restored:
            return
        log.error("audit: the chain's head record was missing or set back; restored to %d", restored)
        event = AuditEvent(
            kind="control",
            actor="atelier",
            action="audit.head_restored",
            outcome="ok",
            details={"seq": restored},
        )
        try:
            self._journal.append(event.encode())
        except JournalFull as error:
            log.warning("audit: %s", error)

    async def confirm(self, *, patient: bool = True) -> None:
        """Find out what Redis has safely, go back to what it has lost, remove what is finished.

        `patient` False: give up where time would have to stand in for a confirmation. Raises StateUnavailable.
        """
        await self._forget_done()
        if not any(s.confirmed < s.shipped or s.sealed for s in self._journal.segments):
            return
        head, snapshot = self._head, [(s, s.shipped) for s in self._journal.segments]
        if not await persisted(self._redis, timeout=CONFIRM_SECONDS, names=self._names):
            if not patient:
                return
            await asyncio.sleep(self._unconfirmed_seconds)
        async with self._busy:
            # Asked after the sync, not before: a server that crashed in between has lost the answer too.
            offsets = await self._chain.offsets([segment.name for segment, _ in snapshot])
            for (segment, shipped), offset in zip(snapshot, offsets, strict=True):
                self._settle(segment, shipped, offset)
            await self._anchor_at(head)
        await self._forget_done()

    def _settle(self, segment: Segment, shipped: int, offset: int) -> None:
        if offset < shipped:
            log.warning("audit: Redis lost %d bytes of %s; sending again", shipped - offset, segment.name)
            self._journal.moved(segment, offset)
            segment.confirmed = min(segment.confirmed, offset)
            return
        segment.confirmed = shipped
        if segment.sealed and shipped == segment.size:
            self._journal.retire(segment)

    async def _anchor_at(self, head: Head) -> None:
        """Remember outside Redis a link that can no longer get lost."""
        if head.seq == 0:
            return
        links = await self._chain.page(f"{head.seq}-0", count=1)
        if links and links[0][1].seq == head.seq and links[0][1].hash == head.hash:
            await asyncio.to_thread(move_anchor, self._anchor, head)

    async def _forget_done(self) -> None:
        for done in self._journal.done():
            await self._chain.forget(done.stem)
            done.unlink(missing_ok=True)


def _is_event(line: bytes) -> bool:
    """Whether a line of a dead process's spool is what `AuditEvent.encode` wrote."""
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return (
        isinstance(event, dict)
        and {"kind", "actor", "action", "time", "id"} <= event.keys()
        and orjson.dumps(event, option=orjson.OPT_SORT_KEYS) == line
    )


def _damaged(segment: Segment, line: bytes) -> bytes:
    """Recorded in place of bytes that are no event, so that nothing vanishes silently."""
    digest = sha256(line).hexdigest()
    event = AuditEvent(
        kind="control",
        actor="atelier",
        action="audit.damaged_line",
        outcome="error",
        details={"spool": segment.name, "bytes": len(line), "sha256": digest},
        time=os.fstat(segment.fd).st_mtime,
        id=sha256(f"{segment.name}:{digest}".encode()).hexdigest()[:32],
    )
    return event.encode()
