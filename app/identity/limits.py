"""Request, token and concurrency limits that hold to the request over all gateways."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from app.identity.keys import KeyRecord, Limits
from app.identity.limit_scripts import ADMIT, ADMITTED, CONCURRENCY, RENEW, REQUESTS, SETTLE, TOKENS
from app.identity.local_limits import LocalLimits
from app.state.connection import StateUnavailable, guarded, is_outage
from app.state.keyspace import Keyspace
from app.state.lane import Lane

log = logging.getLogger(__name__)

# After an outage was seen, how long requests are decided locally before Redis is asked again.
BREAK_SECONDS = 0.5
# A request waits at most about twice this long for a silent Redis; then all are decided locally.
SILENT_SECONDS = 0.5
RETRY_SECONDS = 0.5
RENEW_BATCH = 500
# Settlements kept for Redis' return; what falls out ends by itself when its lease runs out.
MAX_PENDING = 20_000

_WORDS: Final = {REQUESTS: "requests", TOKENS: "tokens", CONCURRENCY: "concurrency"}


class LimitExceeded(Exception):
    """`which`: requests, tokens, concurrency, or request_tokens (this one request is larger than the limit).

    `retry_after_seconds` None: trying again cannot help.
    """

    def __init__(self, which: str, limit: int, retry_after_seconds: float | None, asked: int = 0) -> None:
        self.which = which
        self.limit = limit
        self.retry_after_seconds = retry_after_seconds
        super().__init__(_message(which, limit, retry_after_seconds, asked))


def _message(which: str, limit: int, wait: float | None, asked: int) -> str:
    if which == "request_tokens":
        return (
            f"This request needs up to {asked} tokens (prompt plus max_tokens), more than the key's limit of "
            f"{limit} tokens per minute; shorten it or lower max_tokens: waiting will not help."
        )
    if which == "concurrency":
        return f"The key's limit of {limit} requests at the same time is reached; try again when one ends."
    return f"The key's limit of {limit} {which} per minute is reached; try again in {wait or 0:.1f} seconds."


@dataclass(frozen=True, slots=True)
class Admission:
    """One running request's hold on its key's limits; give it to `settle` exactly when the request ends.

    `degraded`: decided by this process alone, because Redis was away.
    """

    key_id: str
    request_id: str
    lease: str
    second: int
    reserved: int
    degraded: bool
    local_second: float


@dataclass(frozen=True, slots=True)
class _Settlement:
    key_id: str
    lease: str
    second: int
    delta: int


class Limiter:
    """Asks Redis once per request of a limited key; keys without limits never touch it.

    `lease_seconds`: how long after a gateway's death its running requests still count.
    """

    def __init__(
        self,
        redis: Redis,
        gateway_id: str,
        *,
        lease_seconds: float = 30.0,
        names: Keyspace | None = None,
    ) -> None:
        self._lane = Lane(redis, timeout=SILENT_SECONDS)
        self._gateway_id = gateway_id
        self._names = names or Keyspace()
        self._lease_ms = int(lease_seconds * 1000)
        self._serial = itertools.count()
        self._local = LocalLimits()
        self._open: dict[str, Admission] = {}
        self._pending: deque[_Settlement] = deque(maxlen=MAX_PENDING)
        self._down_until = 0.0

    @property
    def open_admissions(self) -> int:
        """Admitted and not yet settled requests of limited keys in this process."""
        return len(self._open)

    @property
    def pending_settlements(self) -> int:
        return len(self._pending)

    async def admit(
        self, key: KeyRecord, request_id: str, tokens: int, *, now_ms: int | None = None
    ) -> Admission:
        """Reserve a slot, a request and `tokens` (the most it may use). Raises LimitExceeded, nothing else.

        `now_ms` replaces the server's clock, for tests.
        """
        limits = key.limits
        if limits.unlimited:
            return Admission(key.id, request_id, "", 0, 0, False, 0.0)
        if limits.tokens_per_minute is not None and tokens > limits.tokens_per_minute:
            raise LimitExceeded("request_tokens", limits.tokens_per_minute, None, tokens)
        # Not the request id: the client may choose it, and two requests with one id would share one slot.
        lease = f"{self._gateway_id}:{next(self._serial)}"
        local_now = time.monotonic()
        degraded = local_now < self._down_until
        if not degraded:
            try:
                which, value = await self._ask(key.id, limits, lease, tokens, now_ms)
            except StateUnavailable as error:
                log.warning("limits are decided by this process alone: %s", error)
                self._down_until = time.monotonic() + BREAK_SECONDS
                degraded = True
        if degraded:
            which, wait = self._local.check(key.id, _numbers(limits), tokens, local_now)
            value = int(wait * 1000)
        if which != ADMITTED:
            raise LimitExceeded(_WORDS[which], _numbers(limits)[which - 1], value / 1000)
        admission = Admission(key.id, request_id, lease, value, tokens, degraded, local_now)
        self._open[lease] = admission
        self._local.note(key.id, tokens, local_now)
        return admission

    async def _ask(
        self, key_id: str, limits: Limits, lease: str, tokens: int, now_ms: int | None
    ) -> tuple[int, int]:
        keys = (self._names.limit_window(key_id), self._names.limit_live(key_id))
        numbers = _numbers(limits)
        try:
            with guarded("admission"):
                reply = await ADMIT(
                    self._lane,
                    keys,
                    (*numbers, tokens, lease, self._lease_ms, "" if now_ms is None else now_ms),
                )
        except (StateUnavailable, asyncio.CancelledError):
            # The script may have run although its answer was lost: without this the slot would stay taken
            # until the lease ends. Second -1 names no bucket, so nothing but the slot is given back.
            self._pending.append(_Settlement(key_id, lease, -1, 0))
            raise
        return reply[0], reply[1]

    async def settle(self, admission: Admission, tokens_used: int) -> None:
        """Give the slot back and correct the reserved tokens. Never raises; a second call does nothing."""
        if (settlement := self._end(admission, tokens_used)) is None:
            return
        try:
            await self._send(settlement)
        except StateUnavailable:
            self._down_until = time.monotonic() + BREAK_SECONDS
            self._pending.append(settlement)
        except asyncio.CancelledError:
            # The client went away in this very moment: the slot must still be given back.
            self._pending.append(settlement)
            raise

    def release(self, admission: Admission, tokens_used: int) -> None:
        """`settle` without waiting for it.

        Written to Redis when this returns, so it is there before whatever is sent anywhere after it.
        """
        if (settlement := self._end(admission, tokens_used)) is None:
            return
        answer = SETTLE.post(self._lane, *self._settling(settlement))
        if answer is None:
            self._pending.append(settlement)
        else:
            answer.add_done_callback(lambda done: self._released(settlement, done))

    def _end(self, admission: Admission, tokens_used: int) -> _Settlement | None:
        """Take the request off this process's books; what is to be sent now, if anything."""
        # Before any await, so that two calls for one admission cannot both pass.
        if self._open.pop(admission.lease, None) is None:
            return None
        delta = tokens_used - admission.reserved
        self._local.settle(admission.key_id, admission.local_second, delta)
        if admission.degraded:
            return None
        settlement = _Settlement(admission.key_id, admission.lease, admission.second, delta)
        if time.monotonic() < self._down_until:
            self._pending.append(settlement)
            return None
        return settlement

    def _released(self, settlement: _Settlement, answer: asyncio.Future[Any]) -> None:
        error = None if answer.cancelled() else answer.exception()
        if isinstance(error, NoScriptError):
            again = SETTLE.post(self._lane, *self._settling(settlement), whole=True)
            if again is not None:
                again.add_done_callback(lambda done: self._released(settlement, done))
                return
        if error is not None or answer.cancelled():
            self._pending.append(settlement)
        if error is not None and is_outage(error):
            self._down_until = time.monotonic() + BREAK_SECONDS

    def _settling(self, one: _Settlement) -> tuple[tuple[str, str], tuple[str, int, int]]:
        keys = (self._names.limit_window(one.key_id), self._names.limit_live(one.key_id))
        return keys, (one.lease, one.second, one.delta)

    async def _send(self, settlement: _Settlement) -> None:
        with guarded("settling"):
            await SETTLE(self._lane, *self._settling(settlement))

    async def renew(self) -> None:
        """Prolong the leases of all running requests. Raises StateUnavailable."""
        held = [a for a in self._open.values() if not a.degraded]
        for start in range(0, len(held), RENEW_BATCH):
            batch = held[start : start + RENEW_BATCH]
            keys = [self._names.limit_live(a.key_id) for a in batch]
            with guarded("renewing leases"):
                await RENEW(self._lane, keys, (self._lease_ms, *(a.lease for a in batch)))
            # A request settled while the renewal was under way may have got its slot back from it.
            self._pending.extend(
                _Settlement(a.key_id, a.lease, -1, 0) for a in batch if a.lease not in self._open
            )

    async def _retry_pending(self) -> None:
        for _ in range(len(self._pending)):
            settlement = self._pending.popleft()
            try:
                await self._send(settlement)
            except BaseException:
                self._pending.appendleft(settlement)
                raise

    async def run(self) -> None:
        """Renew leases and retry settlements until cancelled."""
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            try:
                await self._retry_pending()
                if time.monotonic() - renewed > self._lease_ms / 3000:
                    await self.renew()
                    renewed = time.monotonic()
            except StateUnavailable as error:
                log.warning("limits: %s", error)

    async def close(self) -> None:
        """Send what is pending once, at shutdown; what fails ends with its lease."""
        try:
            await self._retry_pending()
        except StateUnavailable as error:
            log.warning("limits: %d settlements not sent: %s", len(self._pending), error)
        await self._lane.close()


def _numbers(limits: Limits) -> tuple[int, int, int]:
    """Requests, tokens, slots; -1 for no limit. In the order of REQUESTS, TOKENS, CONCURRENCY."""
    return (
        -1 if limits.requests_per_minute is None else limits.requests_per_minute,
        -1 if limits.tokens_per_minute is None else limits.tokens_per_minute,
        -1 if limits.concurrency is None else limits.concurrency,
    )
