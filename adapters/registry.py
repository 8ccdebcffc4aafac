"""The registry of adapter versions and aliases in Redis: compare-and-set moves and consistent reads.

Every change is one Lua script: it checks the state it starts from, writes, increments the generation and
publishes it, so two processes can never make the same move twice and no reader sees half a move.
Times are the Redis server's clock (unix seconds), so hosts whose clocks differ agree on ages.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, cast

import orjson
from redis.asyncio import Redis

from adapters import registry_lua as lua
from adapters.lifecycle import State, sources
from adapters.registry_view import RegistryView
from adapters.snapshot import (
    AdapterRecord,
    EngineAdapter,
    EngineRecord,
    RegistrySnapshot,
    pairs,
    parse_adapter,
    parse_engine,
    text,
)

__all__ = [
    "AdapterRecord",
    "AliasInUse",
    "Audit",
    "EngineAdapter",
    "EngineRecord",
    "NotServable",
    "Registered",
    "Registry",
    "RegistryError",
    "RegistrySnapshot",
    "RegistryView",
    "UnknownAlias",
    "UnknownVersion",
    "VersionBusy",
    "VersionConflict",
]

Audit = Callable[[Mapping[str, object]], None]

_ALIAS = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_VERSION = re.compile(r"([a-z0-9][a-z0-9_-]{0,62})@([0-9a-f]{12})")


class RegistryError(Exception):
    """A change the registry refuses. The message says what, why and what to do."""


class UnknownVersion(RegistryError):
    """No such version."""


class VersionConflict(RegistryError):
    """The version id is taken by a package with another full digest."""


class VersionBusy(RegistryError):
    """The version is being removed; the same upload succeeds once that is done."""


class AliasInUse(RegistryError):
    """An alias still points to the version."""


class NotServable(RegistryError):
    """The version is not in a state an alias may point to."""


class UnknownAlias(RegistryError):
    """No such alias."""


@dataclass(frozen=True, slots=True)
class Registered:
    """`created` is False when the same version was there already: go on from `record.state`."""

    created: bool
    record: AdapterRecord


class Registry:
    """Writes and reads the registry. `prefix` ends every key name's common part, e.g. `atelier:`.

    `audit` is called once for every change that happened, after it happened.
    Every method raises redis.exceptions.RedisError when Redis cannot be reached.
    """

    def __init__(self, redis: Redis, prefix: str, audit: Audit) -> None:
        self.redis = redis
        self.prefix = prefix
        self._audit = audit

    async def register(
        self, version: str, digest: str, record: Mapping[str, object], actor: str = ""
    ) -> Registered:
        """Enter a version as `received`; the same version and digest again return the existing record.

        A collected or rejected version starts a new life. Raises VersionConflict, VersionBusy,
        ValueError for a malformed version id.
        """
        match = _VERSION.fullmatch(version)
        if match is None or not digest.startswith(match[2]):
            raise ValueError(
                f"version {version!r} is not name@<12 hex of digest {digest[:16]}…>: "
                "derive it with adapters.package"
            )
        answer = await self._run(lua.REGISTER, version, match[1], digest, orjson.dumps(dict(record)))
        if answer[0] == "conflict":
            raise VersionConflict(
                f"version {version} is taken by a package with digest {answer[1]}, yours is {digest}: "
                "change any byte of the package (its card, say) to get another version id"
            )
        if answer[0] == "busy":
            raise VersionBusy(
                f"version {version} is being removed (it is {answer[1]}): try again in a minute"
            )
        if answer[0] == "created":
            self._note(version, answer[1], State.RECEIVED, "", actor)
        return Registered(answer[0] == "created", await self.get(version))

    async def transition(
        self,
        version: str,
        to: State,
        reason: str = "",
        expect: State | Collection[State] | None = None,
        actor: str = "",
    ) -> bool:
        """Move a version to `to` if it is in a state that allows it (and in `expect`, when given).

        True for exactly one of any number of concurrent callers; False when it was elsewhere already.
        Raises UnknownVersion, and AliasInUse for a drain of a version an alias points to.
        """
        allowed = sources(to)
        if expect is not None:
            allowed &= frozenset([expect] if isinstance(expect, State) else expect)
        answer = await self._run(lua.TRANSITION, version, to, reason, f",{','.join(allowed)},")
        if answer[0] == "unknown":
            raise UnknownVersion(f"there is no adapter version {version!r}")
        if answer[0] == "aliased":
            raise AliasInUse(
                f"version {version} is what {answer[1]} answers with: "
                "point the alias to another version or drop it, then delete this one"
            )
        if answer[0] != "changed":
            return False
        self._note(version, answer[1], to, reason, actor)
        if answer[2]:
            self._note_alias(answer[2], version, "", "first version")
            self._note(version, to, State.STABLE, f"first version of {answer[2]}", actor)
        return True

    async def start_drain(self, version: str, actor: str = "", reason: str = "deleted") -> bool:
        """Begin the removal of a version: no new request gets it from here on. False when it already began.

        Raises UnknownVersion; AliasInUse, naming the aliases; NotServable when an upload is still under way.
        """
        if await self.transition(version, State.DRAINING, reason, actor=actor):
            return True
        state = (await self.get(version)).state
        if state in {State.RECEIVED, State.VALIDATED}:
            raise NotServable(
                f"version {version} is still being uploaded ({state}): delete it when that is done"
            )
        return False

    async def set_alias(self, alias: str, version: str, actor: str) -> str | None:
        """Point `alias` to `version` in one step; returns the version it pointed to before.

        Raises ValueError for a malformed alias, UnknownVersion, NotServable.
        """
        if not _ALIAS.fullmatch(alias):
            raise ValueError(f"alias {alias!r}: use 1-63 of a-z 0-9 _ - and begin with a letter or digit")
        answer = await self._run(lua.SET_ALIAS, alias, version)
        if answer[0] == "unknown":
            raise UnknownVersion(f"there is no adapter version {version!r}")
        if answer[0] == "state":
            raise NotServable(
                f"version {version} is {answer[1]}: an alias may point only to a version that is ready"
            )
        previous = answer[1] or None
        if answer[0] == "changed":
            self._note_alias(alias, version, answer[1], actor)
            if answer[3] != State.STABLE:
                self._note(version, answer[3], State.STABLE, f"target of {alias}", actor)
            if previous and answer[2] == "1":
                self._note(previous, State.STABLE, State.READY, f"{alias} moved to {version}", actor)
        return previous

    async def drop_alias(self, alias: str, actor: str) -> str:
        """Remove `alias`; returns the version it pointed to. Raises UnknownAlias."""
        answer = await self._run(lua.DROP_ALIAS, alias)
        if answer[0] == "unknown":
            raise UnknownAlias(f"there is no alias {alias!r}")
        self._note_alias(alias, "", answer[1], actor)
        if answer[2] == "1":
            self._note(answer[1], State.STABLE, State.READY, f"{alias} dropped", actor)
        return answer[1]

    async def set_behaviour(self, version: str, behaviour: str) -> str:
        """Keep `behaviour` (JSON) for `version` unless one is there; returns the one that is kept."""
        answer = await self._run(lua.SET_BEHAVIOUR, version, behaviour)
        if answer[0] == "unknown":
            raise UnknownVersion(f"there is no adapter version {version!r}")
        return answer[1]

    async def get(self, version: str) -> AdapterRecord:
        """One version, in whatever state, history included. Raises UnknownVersion."""
        fields = pairs(await cast(Awaitable[Any], self.redis.hgetall(f"{self.prefix}adapter:{version}")))
        if not fields:
            raise UnknownVersion(f"there is no adapter version {version!r}")
        return parse_adapter(version, fields)

    async def history(self, limit: int = 10_000) -> tuple[AdapterRecord, ...]:
        """Up to `limit` versions ever registered, collected and rejected ones included, sorted by id."""
        ids = await cast(Awaitable[Any], self.redis.smembers(f"{self.prefix}versions"))
        versions = sorted(text(version) for version in ids)[:limit]
        async with self.redis.pipeline(transaction=False) as pipe:
            for version in versions:
                pipe.hgetall(f"{self.prefix}adapter:{version}")
            answers = await pipe.execute()
        return tuple(parse_adapter(v, pairs(fields)) for v, fields in zip(versions, answers, strict=True))

    async def snapshot(self, known: RegistrySnapshot | None = None) -> RegistrySnapshot:
        """Everything at one instant. With `known`, adapters and aliases are read again only if they changed.

        Versions whose bytes are gone (collected, or rejected and swept) are left out: `get`, `history`.
        """
        answer = await self._eval(lua.SNAPSHOT, "" if known is None else str(known.generation))
        engines = MappingProxyType({e.id: e for raw in answer[2] if raw for e in [parse_engine(text(raw))]})
        taken_at = float(text(answer[1]))
        if len(answer) == 3 and known is not None:
            return replace(known, engines=engines, taken_at=taken_at)
        adapters = {text(v): parse_adapter(text(v), pairs(fields)) for v, fields in answer[3]}
        return RegistrySnapshot(
            generation=int(text(answer[0])),
            adapters=MappingProxyType(adapters),
            aliases=MappingProxyType(pairs(answer[4])),
            engines=engines,
            taken_at=taken_at,
        )

    async def put_engine(self, engine_id: str, body: Mapping[str, object], hurry: bool) -> None:
        """Write an engine's report; the server adds its heartbeat. `hurry` wakes the readers."""
        raw = orjson.dumps({"id": engine_id, **{k: v for k, v in body.items() if k != "heartbeat"}})
        await self._eval(lua.PUT_ENGINE, engine_id, raw, "1" if hurry else "0")

    async def forget_engine(self, engine_id: str) -> None:
        """Drop the report of an engine that is gone for good."""
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.srem(f"{self.prefix}engines", engine_id)
            pipe.delete(f"{self.prefix}engine:{engine_id}")
            await pipe.execute()

    async def begin_sweep(self, version: str, token: str, grace_s: float, takeover_s: float) -> bool:
        """Claim the deletion of an ended version's bytes; retired → collected happens here.

        Between begin and end the version cannot be registered again, so a sweep never deletes new bytes.
        `takeover_s` is after how many seconds another sweeper's unfinished sweep counts as crashed.
        """
        answer = await self._run(lua.BEGIN_SWEEP, version, token, str(grace_s), str(takeover_s))
        if answer[0] == "yes" and answer[1] == State.RETIRED:
            self._note(version, State.RETIRED, State.COLLECTED, "", "")
        return answer[0] == "yes"

    async def end_sweep(self, version: str, token: str) -> bool:
        """The bytes are gone. False when another sweeper had taken over."""
        return (await self._run(lua.END_SWEEP, version, token))[0] == "yes"

    async def _run(self, script: str, *args: str | bytes) -> list[str]:
        return [text(part) for part in await self._eval(script, *args)]

    async def _eval(self, script: str, *args: str | bytes) -> Any:
        return await self.redis.register_script(script)(keys=[self.prefix], args=list(args))

    def _note(self, version: str, old: str, new: str, reason: str, actor: str) -> None:
        self._audit(
            {
                "event": "adapter.transition",
                "version": version,
                "from": str(old),
                "to": str(new),
                "reason": reason,
                "actor": actor,
            }
        )

    def _note_alias(self, alias: str, version: str, previous: str, actor: str) -> None:
        self._audit(
            {
                "event": "adapter.alias",
                "alias": alias,
                "version": version,
                "previous": previous,
                "actor": actor,
            }
        )
