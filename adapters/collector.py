"""Drives versions through their life from what the engines report, and collects what nobody needs.

Any node agent may run it: a lock in Redis keeps the work to one at a time, compare-and-set keeps it right
even if two run at once, and every step may be repeated after a crash.
"""

import logging
import secrets
from dataclasses import dataclass
from typing import Protocol

from redis.asyncio import Redis

from adapters import leases
from adapters.lifecycle import ENDED, UPLOADING, State
from adapters.registry import Registry
from adapters.snapshot import AdapterRecord, EngineRecord, RegistrySnapshot

log = logging.getLogger(__name__)

LOCK_MS = 5_000
"""The lock only saves work (compare-and-set and the sweep's token keep two collectors right), so it lapses soon: a
collector killed in the middle of a tick holds up all versions until then.
"""
MAX_ROUNDS = 8

_UNLOCK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds.

    `grace`: from retired (or rejected) to the deletion of the bytes. `abandoned`: an upload without progress.
    `ready_wait`: how long a version proved on some engine waits for the others' results.
    `hard_deadline`: from the start of a drain to unloading under whoever still holds the version.
    `engine_forgotten`: silence of an agent after which its report no longer keeps bytes from deletion.
    `takeover`: age of another collector's unfinished deletion at which it counts as crashed.
    """

    grace: float = 60.0
    abandoned: float = 600.0
    ready_wait: float = 60.0
    hard_deadline: float = leases.HARD_DEADLINE_S
    engine_forgotten: float = 600.0
    takeover: float = 60.0


@dataclass(frozen=True, slots=True)
class Move:
    """A transition to make, from exactly the state it was decided on."""

    version: str
    source: State
    to: State
    reason: str = ""


class BytesStore(Protocol):
    """What the collector needs of `adapters.store.AdapterStore`."""

    async def delete(self, version: str) -> object:
        """Delete a version's bytes; nothing happens when there are none."""
        ...


def next_move(record: AdapterRecord, snapshot: RegistrySnapshot, limits: Limits) -> Move | None:
    """The move that the reports of the engines (or its age) ask for, if any. Pure.

    Drains and deletions are not decided here: they need the leases.
    """
    age = snapshot.taken_at - record.since
    if record.state in UPLOADING and age > limits.abandoned:
        return Move(record.version, record.state, State.REJECTED, "upload did not finish")
    if record.state not in {State.STORED, State.LOADED, State.PROBED}:
        return None
    live = snapshot.live_engines()
    states = [engine.adapters[record.version].state for engine in live if record.version in engine.adapters]
    if live and states.count("failed") == len(live):
        return Move(record.version, record.state, State.REJECTED, _reasons(record.version, live))
    to = _progress(record.state, states, len(live), overdue=age > limits.ready_wait)
    return Move(record.version, record.state, to) if to else None


def _progress(state: State, reported: list[str], live: int, overdue: bool) -> State | None:
    proved = "proved" in reported
    final = reported.count("proved") + reported.count("failed") == live
    if state == State.STORED and (proved or "loaded" in reported):
        return State.LOADED
    if state == State.LOADED and proved:
        return State.PROBED
    # Overdue: an engine that hangs while loading must not keep a version from all the others.
    if state == State.PROBED and proved and (final or overdue):
        return State.READY
    return None


def holders(version: str, snapshot: RegistrySnapshot, limits: Limits) -> tuple[str, ...]:
    """The engines that may still hold `version`: each whose agent reported so and is not forgotten yet."""
    return tuple(
        engine.id
        for engine in snapshot.engines.values()
        if engine.epoch
        and snapshot.taken_at - engine.heartbeat < limits.engine_forgotten
        and (held := engine.adapters.get(version)) is not None
        and held.held
    )


def _reasons(version: str, engines: tuple[EngineRecord, ...]) -> str:
    reasons: dict[str, list[str]] = {}
    for engine in engines:
        reasons.setdefault(engine.adapters[version].reason, []).append(engine.id)
    return "; ".join(f"{', '.join(sorted(ids))}: {reason}" for reason, ids in sorted(reasons.items()))


class Collector:
    """One tick makes every move that is due. Raises redis.exceptions.RedisError from `tick`."""

    def __init__(
        self, redis: Redis, prefix: str, registry: Registry, store: BytesStore, limits: Limits | None = None
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._registry = registry
        self._store = store
        self._limits = limits or Limits()
        self._token = secrets.token_hex(8)
        self._seen: RegistrySnapshot | None = None

    async def tick(self) -> int:
        """Make what moves are due; how many were made. 0 also when another process is at it."""
        lock = f"{self._prefix}collector"
        if not await self._redis.set(lock, self._token, nx=True, px=LOCK_MS):
            return 0
        try:
            made = 0
            for _ in range(MAX_ROUNDS):
                round_made = await self._round()
                made += round_made
                if not round_made:
                    break
            return made
        finally:
            await self._redis.eval(_UNLOCK, 1, lock, self._token)

    async def _round(self) -> int:
        snapshot = self._seen = await self._registry.snapshot(self._seen)
        made = 0
        for record in snapshot.adapters.values():
            made += await self._advance(record, snapshot)
        for engine in snapshot.engines.values():
            if snapshot.taken_at - engine.heartbeat > 6 * self._limits.engine_forgotten:
                log.info("engine %s has been silent for an hour: forgotten", engine.id)
                await self._registry.forget_engine(engine.id)
        return made

    async def _advance(self, record: AdapterRecord, snapshot: RegistrySnapshot) -> int:
        if record.state == State.DRAINING:
            return await self._retire(record, snapshot)
        if record.state == State.RETIRED or record.state in ENDED:
            return await self._sweep(record, snapshot)
        move = next_move(record, snapshot, self._limits)
        if move is None:
            return 0
        return int(await self._registry.transition(move.version, move.to, move.reason, expect=move.source))

    async def _retire(self, record: AdapterRecord, snapshot: RegistrySnapshot) -> int:
        version = record.version
        if holders(version, snapshot, self._limits) or not await leases.free(
            self._redis, self._prefix, version, record.generation, self._limits.hard_deadline
        ):
            return 0
        return int(await self._registry.transition(version, State.RETIRED, expect=State.DRAINING))

    async def _sweep(self, record: AdapterRecord, snapshot: RegistrySnapshot) -> int:
        """Delete the bytes. The version cannot be registered anew until `end_sweep`."""
        version, limits = record.version, self._limits
        if holders(version, snapshot, limits):
            return 0
        if not await self._registry.begin_sweep(version, self._token, limits.grace, limits.takeover):
            return 0
        try:
            await self._store.delete(version)
        except OSError as error:
            log.warning("bytes of %s not deleted, will be tried again: %s", version, error)
            return 0
        if not await self._registry.end_sweep(version, self._token):
            log.error("deletion of %s took over %.0f s and was taken over", version, limits.takeover)
        return 1
