"""API keys: who is calling, and what the key allows.

Only the sha256 of a key is stored, and keys are found by that digest. A look-up therefore compares digests,
never secrets: what its timing reveals about a 256-bit secret's digest does not help to guess the secret.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import orjson
from redis.asyncio import Redis

from app.identity.admin_key import load_or_create_key, parse_key
from app.identity.key_cache import KeyCache
from app.identity.scopes import ALL_SCOPES, resolve_scopes
from app.state.connection import StateUnavailable, guarded, persisted, text
from app.state.keyspace import Keyspace

MAX_KEY_CHARS = 512
MAX_NAME_CHARS = 200
# Concurrent look-ups of unseen keys per process: a flood of random keys queues here, not in Redis.
MAX_LOOKUPS = 16
# After a failure, how long look-ups fail at once instead of each waiting for its own timeout.
BREAK_SECONDS = 0.25


class InvalidKey(Exception):
    """Unknown, expired or revoked: deliberately one message for all three."""

    def __init__(self) -> None:
        super().__init__("The API key is not valid: it is unknown, expired or revoked.")


class UnknownKeyId(LookupError):
    """No key has this id."""


@dataclass(frozen=True, slots=True)
class Limits:
    """None: unlimited. Requests and tokens count in any 60 seconds, over all gateways."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute", "concurrency"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= 10**12:
                raise ValueError(
                    f"{name} is {value}; give a whole number from 1 to 10^12, or none for no limit"
                )

    @property
    def unlimited(self) -> bool:
        return (
            self.requests_per_minute is None and self.tokens_per_minute is None and self.concurrency is None
        )


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """`created` and `expires` are unix seconds; `models` empty means every model."""

    id: str
    name: str
    scopes: frozenset[str]
    models: tuple[str, ...]
    limits: Limits
    created: float
    created_by: str
    expires: float | None
    revoked: bool

    def allows_model(self, model: str) -> bool:
        """Exact names, or a prefix with a closing star: `fees@*` is every version of fees."""
        if not self.models or model in self.models:
            return True
        return any(pattern[-1:] == "*" and model.startswith(pattern[:-1]) for pattern in self.models)

    def valid_at(self, now: float) -> bool:
        return not self.revoked and (self.expires is None or now < self.expires)

    def to_json(self) -> bytes:
        return orjson.dumps(
            {
                "id": self.id,
                "name": self.name,
                "scopes": sorted(self.scopes),
                "models": self.models,
                "limits": self.limits,
                "created": self.created,
                "created_by": self.created_by,
                "expires": self.expires,
                "revoked": self.revoked,
            }
        )

    @classmethod
    def from_json(cls, raw: bytes | str) -> KeyRecord:
        fields = orjson.loads(raw)
        return cls(
            **{
                **fields,
                "scopes": frozenset(fields["scopes"]),
                "models": tuple(fields["models"]),
                "limits": Limits(**fields["limits"]),
            }
        )


class KeyRing:
    """The keys in Redis, cached here for `fresh_seconds`, and for `stale_seconds` while Redis is away.

    `confirm_seconds` bounds how long create and revoke wait until the change is on the server's disk
    (0: they do not wait).
    """

    def __init__(
        self,
        redis: Redis,
        *,
        fresh_seconds: float = 5.0,
        stale_seconds: float = 60.0,
        confirm_seconds: float = 2.0,
        clock: Callable[[], float] = time.time,
        names: Keyspace | None = None,
    ) -> None:
        self._redis = redis
        self._names = names or Keyspace()
        self._clock = clock
        self._fresh = fresh_seconds
        self._stale = stale_seconds
        self._confirm = confirm_seconds
        self._cache: KeyCache[KeyRecord] = KeyCache()
        self._flights: dict[bytes, asyncio.Task[KeyRecord | None]] = {}
        self._lookups = asyncio.Semaphore(MAX_LOOKUPS)
        self._down_until = 0.0

    async def authenticate(self, presented: str) -> KeyRecord:
        """The record of a full key.

        Raises InvalidKey, or StateUnavailable if Redis is away and the key was not seen lately.
        """
        if len(presented) > MAX_KEY_CHARS or not presented.startswith("atl-"):
            raise InvalidKey
        digest = sha256(presented.encode("utf-8", "surrogatepass")).digest()
        now = self._clock()
        known = self._cache.get(digest, now, self._fresh)
        record = known.record if known is not None else await self._refresh(digest, now)
        # On every use: a cached key must not outlive its expiry.
        if record is None or not record.valid_at(now):
            raise InvalidKey
        return record

    async def _refresh(self, digest: bytes, now: float) -> KeyRecord | None:
        flight = self._flights.get(digest)
        if flight is None:
            # One look-up for all who wait: without it, the end of a busy key's freshness is a burst of GETs.
            flight = asyncio.create_task(self._look_up(digest))
            self._flights[digest] = flight
            flight.add_done_callback(lambda task: self._landed(digest, task))
        try:
            # Shielded: one caller that goes away must not cancel the look-up for the others.
            return await asyncio.shield(flight)
        except StateUnavailable:
            stale = self._cache.get(digest, now, self._stale)
            if stale is None or stale.record is None:
                raise
            return stale.record

    def _landed(self, digest: bytes, flight: asyncio.Task[KeyRecord | None]) -> None:
        self._flights.pop(digest, None)
        if not flight.cancelled():
            flight.exception()  # Retrieved here, in case every waiter has gone.

    async def _look_up(self, digest: bytes) -> KeyRecord | None:
        async with self._lookups:
            if time.monotonic() < self._down_until:
                raise StateUnavailable("Redis was unavailable a moment ago")
            epoch = self._cache.epoch
            asked = self._clock()
            try:
                with guarded("key look-up"):
                    raw = await self._redis.get(self._names.key(digest.hex()))
            except StateUnavailable:
                self._down_until = time.monotonic() + BREAK_SECONDS
                raise
        record = None if raw is None else KeyRecord.from_json(raw)
        # A hint that arrived while the answer was under way means the answer may be the old record:
        # return it for this request, but do not remember it.
        if epoch == self._cache.epoch:
            self._cache.put(digest, record, asked)
        return record

    async def create(
        self,
        *,
        name: str,
        scopes: Iterable[str],
        models: Iterable[str] = (),
        limits: Limits | None = None,
        expires: float | None = None,
        created_by: str,
        secret: str | None = None,
    ) -> tuple[str, KeyRecord]:
        """A new key and its record; the full key is kept nowhere. Raises ValueError, StateUnavailable."""
        now = self._clock()
        if not name or len(name) > MAX_NAME_CHARS:
            raise ValueError(f"name has {len(name)} characters; give 1 to {MAX_NAME_CHARS}")
        if expires is not None and expires <= now:
            raise ValueError(f"expires is {expires}, which is in the past")
        record = KeyRecord(
            id=secrets.token_hex(8),
            name=name,
            scopes=resolve_scopes(scopes),
            models=tuple(models),
            limits=limits or Limits(),
            created=now,
            created_by=created_by,
            expires=expires,
            revoked=False,
        )
        full = f"atl-{record.id}-{secret or secrets.token_urlsafe(32)}"
        parse_key(full)
        await self._register(full, record)
        await self._confirmed()
        return full, record

    async def _register(self, full: str, record: KeyRecord) -> None:
        digest = sha256(full.encode()).digest()
        with guarded("storing a key"):
            pipe = self._redis.pipeline(transaction=True)
            # NX: registering the first admin key again must not bring it back after it was revoked.
            pipe.set(self._names.key(digest.hex()), record.to_json(), nx=True)
            pipe.hset(self._names.keys, record.id, digest.hex())
            pipe.publish(self._names.keys_changed, digest)
            await pipe.execute()
        self._cache.forget(digest)

    async def _confirmed(self) -> None:
        if self._confirm > 0:
            await persisted(self._redis, timeout=self._confirm, names=self._names)

    async def list(self) -> list[KeyRecord]:
        """All keys, oldest first, revoked ones too."""
        with guarded("listing keys"):
            digests = await self._redis.hvals(self._names.keys)
            raws = await self._redis.mget([self._names.key(text(d)) for d in digests]) if digests else []
        return sorted((KeyRecord.from_json(raw) for raw in raws if raw), key=lambda r: (r.created, r.id))

    async def get(self, key_id: str) -> KeyRecord:
        """Raises UnknownKeyId, StateUnavailable."""
        return (await self._find(key_id))[1]

    async def _find(self, key_id: str) -> tuple[bytes, KeyRecord]:
        with guarded("key look-up"):
            digest = await self._redis.hget(self._names.keys, key_id)
            raw = await self._redis.get(self._names.key(text(digest))) if digest else None
        if not digest or raw is None:
            raise UnknownKeyId(f"there is no key with id {key_id!r}; list the keys to see their ids")
        return bytes.fromhex(text(digest)), KeyRecord.from_json(raw)

    async def revoke(self, key_id: str) -> KeyRecord:
        """Refused at once here, within `fresh_seconds` everywhere. Raises UnknownKeyId, StateUnavailable."""
        digest, record = await self._find(key_id)
        record = replace(record, revoked=True)
        with guarded("revoking a key"):
            pipe = self._redis.pipeline(transaction=True)
            pipe.set(self._names.key(digest.hex()), record.to_json(), xx=True)
            pipe.publish(self._names.keys_changed, digest)
            await pipe.execute()
        self._cache.forget(digest)
        await self._confirmed()
        return record

    async def ensure_admin(self, path: Path) -> str:
        """The first admin key's text, from `path` or new; registered if the state does not know it.

        Safe for several processes at once. Raises ValueError for a damaged file, StateUnavailable.
        """
        full = await asyncio.to_thread(load_or_create_key, path)
        record = KeyRecord(
            id=parse_key(full),
            name="first admin",
            scopes=ALL_SCOPES,
            models=(),
            limits=Limits(),
            created=self._clock(),
            created_by="setup",
            expires=None,
            revoked=False,
        )
        await self._register(full, record)
        return full

    async def run(self) -> None:
        """Listen for changed keys until cancelled, so that a revocation elsewhere counts here at once.

        Only hurries: without it, the cache's freshness still bounds how long a revoked key works.
        """
        while True:
            try:
                with guarded("listening for changed keys"):
                    await self._listen()
            except StateUnavailable:
                await asyncio.sleep(1.0)

    async def _listen(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe(self._names.keys_changed)
            while True:
                message = await channel.get_message(timeout=30.0)
                if message is not None:
                    self._cache.forget(message["data"])
