"""The chain of audit records in a Redis stream: adding to it, and reading it.

Stream ids are `<seq>-0`; an entry holds `p` (hash of the predecessor), `h` (own hash) and `e` (the event). The
head record repeats number and hash of the last link, so that removing the tail shows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis.exceptions as errors
from redis.asyncio import Redis

from app.record.audit_archive import read_from
from app.record.audit_event import GENESIS, Record, link
from app.record.usage import increments
from app.state.connection import guarded, text
from app.state.keyspace import Keyspace
from app.state.script import Script

PAGE = 500

# Compare-and-set on two things at once. The spool's offset: a batch whose answer was lost is not added again.
# The head: a batch hashed behind a head that another gateway has moved is refused. All or nothing by one
# script, so a crash of either side leaves offset, chain, head and usage agreeing with each other.
# KEYS: stream, head, spools, usage per day… ARGV: head seq, head hash, segment, offset before, offset after,
# number of records, records (seq, prev, hash, body)…, increments (KEYS index, field, amount)…
_SHIP = Script("""
local done = redis.call('HGET', KEYS[3], ARGV[3]) or '0'
if done ~= ARGV[4] then return {'offset', done} end
local head = redis.call('HMGET', KEYS[2], 'seq', 'hash')
local seq, hash = head[1] or '0', head[2] or string.rep('\\0', 32)
if seq ~= ARGV[1] or hash ~= ARGV[2] then return {'head', seq, hash} end
local at, n = 7, tonumber(ARGV[6])
for i = 1, n do
  redis.call('XADD', KEYS[1], ARGV[at] .. '-0', 'p', ARGV[at + 1], 'h', ARGV[at + 2], 'e', ARGV[at + 3])
  seq, hash = ARGV[at], ARGV[at + 2]
  at = at + 4
end
if n > 0 then redis.call('HSET', KEYS[2], 'seq', seq, 'hash', hash) end
redis.call('HSET', KEYS[3], ARGV[3], ARGV[5])
while at < #ARGV do
  redis.pcall('HINCRBY', KEYS[tonumber(ARGV[at])], ARGV[at + 1], ARGV[at + 2])
  at = at + 3
end
return {'ok', seq, hash}
""")

# KEYS: stream, head. Only ever moves the head forward to the stream's own last link.
_RESTORE_HEAD = Script("""
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if not last then return 0 end
local seq = string.match(last[1], '^(%d+)')
if tonumber(redis.call('HGET', KEYS[2], 'seq') or '0') >= tonumber(seq) then return 0 end
for i = 1, #last[2], 2 do
  if last[2][i] == 'h' then redis.call('HSET', KEYS[2], 'seq', seq, 'hash', last[2][i + 1]) end
end
return tonumber(seq)
""")

# KEYS: stream, lock. ARGV: first and last number archived, the lock's token, its seconds. The lock is checked
# here: an archiver that slept past its lock must not cut what another is still copying.
_CUT = Script("""
if redis.call('GET', KEYS[2]) ~= ARGV[3] then return 0 end
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if not first or first[1] ~= ARGV[1] .. '-0' then return 0 end
redis.call('XTRIM', KEYS[1], 'MINID', '=', string.format('%d-0', ARGV[2] + 1))
redis.call('EXPIRE', KEYS[2], ARGV[4])
return 1
""")

# KEYS: lock. ARGV: token.
_UNLOCK = Script(
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)


@dataclass(frozen=True, slots=True)
class Head:
    """Number and hash of the last link; 0 and zeros for an empty chain."""

    seq: int = 0
    hash: bytes = GENESIS


@dataclass(frozen=True, slots=True)
class Shipped:
    """`moved_to`: set if the spool's offset in Redis is another than believed; then nothing was added.

    `head`: of the chain now; `added` False and `moved_to` None: another gateway was faster.
    """

    added: bool
    head: Head | None
    moved_to: int | None


class Chain:
    """`archive`: the folder of the segments that have left Redis."""

    def __init__(
        self, redis: Redis, archive: Path, *, secret: bytes | None = None, names: Keyspace | None = None
    ) -> None:
        self._redis = redis
        self._archive = archive
        self._names = names or Keyspace()
        self._secret = secret

    async def head(self) -> Head | None:
        """None if there is no head record. Raises StateUnavailable."""
        with guarded("reading the audit head"):
            seq, digest = await self._redis.hmget(self._names.audit_head, ["seq", "hash"])
        return None if seq is None or not isinstance(digest, bytes) else Head(int(seq), digest)

    async def ship(self, head: Head, segment: str, start: int, end: int, bodies: list[bytes]) -> Shipped:
        """Add `bodies`, bytes `start` to `end` of a spool segment, behind `head`. Raises StateUnavailable."""
        arguments: list[str | bytes | int] = [head.seq, head.hash, segment, start, end, len(bodies)]
        for record in link(head.seq, head.hash, bodies, self._secret):
            arguments += (record.seq, record.prev, record.hash, record.body)
        keys = [self._names.audit, self._names.audit_head, self._names.audit_spools]
        for (day, field), amount in increments(bodies).items():
            key = self._names.usage(day)
            if key not in keys:
                keys.append(key)
            arguments += (keys.index(key) + 1, field, amount)
        with guarded("shipping audit records"):
            reply = await _SHIP(self._redis, keys, arguments)
        if reply[0] == b"offset":
            return Shipped(False, None, int(reply[1]))
        return Shipped(reply[0] == b"ok", Head(int(reply[1]), reply[2]), None)

    async def restore_head(self) -> int:
        """Set a missing or too old head to the stream's last link; its number, or 0 if nothing was wrong."""
        with guarded("restoring the audit head"):
            return int(await _RESTORE_HEAD(self._redis, [self._names.audit, self._names.audit_head], []))

    async def offsets(self, segments: list[str]) -> list[int]:
        with guarded("reading spool offsets"):
            values = await self._redis.hmget(self._names.audit_spools, segments)
        return [int(value or 0) for value in values]

    async def forget(self, segment: str) -> None:
        with guarded("forgetting a spool"):
            await self._redis.hdel(self._names.audit_spools, segment)

    async def lock(self, token: str, seconds: int) -> bool:
        """Become the one archiver."""
        with guarded("taking the archive lock"):
            return bool(await self._redis.set(self._names.audit_lock, token, nx=True, ex=seconds))

    async def cut(self, first: int, last: int, token: str, seconds: int) -> bool:
        """Drop links `first` to `last` from the stream, if it starts with `first` and the lock is held."""
        keys = [self._names.audit, self._names.audit_lock]
        with guarded("cutting the audit stream"):
            return bool(await _CUT(self._redis, keys, [first, last, token, seconds]))

    async def unlock(self, token: str) -> None:
        with guarded("releasing the archive lock"):
            await _UNLOCK(self._redis, [self._names.audit_lock], [token])

    async def page(self, start: str, count: int = PAGE) -> list[tuple[str, Record]]:
        """Links in the stream from id `start` ('(' before it excludes it), with their ids."""
        with guarded("reading the audit stream"):
            entries = await self._redis.xrange(self._names.audit, start, "+", count=count)
        return [_record(entry) for entry in entries or ()]

    async def length(self) -> int:
        with guarded("reading the audit stream"):
            return int(await self._redis.xlen(self._names.audit))

    async def records(self, after: int = 0) -> AsyncIterator[Record]:
        """Links after number `after`, from the archive and then the stream, as they are found.

        Raises StateUnavailable, DamagedArchive.
        """
        # By id, not by number: an entry slipped in as `5-1` must be seen, and must not be read for ever.
        cursor = f"({after}-0"
        while True:
            page = await self.page(cursor)
            # A stream that starts later than expected: the archiver has moved what lies between to a file.
            if not page or page[0][1].seq > after + 1:
                archived = await read_from(self._archive, after + 1)
                for record in archived:
                    yield record
                if archived:
                    after = archived[-1].seq
                    cursor = f"({after}-0"
                    continue
            if not page:
                return
            for _, record in page:
                yield record
            cursor, after = f"({page[-1][0]}", page[-1][1].seq


def _record(entry: Any) -> tuple[str, Record]:
    entry_id, fields = text(entry[0]), entry[1] or {}
    # An entry with fields taken away must show as a wrong link, not as a crash of the verifier.
    seq = int(entry_id.split("-")[0])
    return entry_id, Record(seq, fields.get(b"p", b""), fields.get(b"h", b""), fields.get(b"e", b""))


def is_broken_head(error: Exception) -> bool:
    """The stream is already beyond the head: the head record was removed or set back."""
    return isinstance(error, errors.ResponseError) and "ID specified in XADD" in str(error)
