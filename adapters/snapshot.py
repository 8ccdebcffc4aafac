"""One consistent reading of the registry: adapters, aliases and engines at a generation. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import orjson

from adapters.lifecycle import ROUTABLE, State

ENGINE_LIVE_S = 15.0
"""Seconds without a report after which an engine is not counted as live (agents report each second)."""


@dataclass(frozen=True, slots=True)
class AdapterRecord:
    """One version. `since`: unix seconds; `generation`: of its last move; `behaviour`: raw JSON or ''."""

    version: str
    name: str
    state: State
    digest: str
    record: Mapping[str, Any]
    reason: str
    since: float
    generation: int
    behaviour: str = ""
    sweep: str = ""


@dataclass(frozen=True, slots=True)
class EngineAdapter:
    """What an engine's agent says of one version: `state` is waiting, loading, loaded, proved, failed, or
    leaving (its removal has begun and is not acknowledged yet).

    `crashes` counts starts of the engine that ended while it was taking the version.
    """

    state: str
    reason: str = ""
    crashes: int = 0

    @property
    def held(self) -> bool:
        """True when the engine may have the version in memory."""
        return self.state in {"loading", "loaded", "proved", "leaving"}


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """One engine as its agent last reported it. `epoch` is '' while the engine does not answer its agent;
    `last_epoch` then still tells to which of its starts `adapters` belongs.
    """

    id: str
    url: str
    epoch: str
    base: Mapping[str, Any]
    heartbeat: float
    adapters: Mapping[str, EngineAdapter]
    last_epoch: str = ""

    def live(self, now: float) -> bool:
        """True when it answers its agent and the agent reported lately; `now` is the snapshot's time."""
        return bool(self.epoch) and now - self.heartbeat < ENGINE_LIVE_S


@dataclass(frozen=True, slots=True)
class RegistrySnapshot:
    """`generation` changes whenever adapters or aliases do. `taken_at` is the Redis server's unix time."""

    generation: int = 0
    adapters: Mapping[str, AdapterRecord] = field(default_factory=lambda: MappingProxyType({}))
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    engines: Mapping[str, EngineRecord] = field(default_factory=lambda: MappingProxyType({}))
    taken_at: float = 0.0

    def resolve(self, model: str) -> str | None:
        """The version an alias or exact version id stands for, or None when none of that name may answer."""
        version = self.aliases.get(model, model)
        return version if self.routable(version) else None

    def routable(self, version: str) -> bool:
        """True when the version may answer (on an engine that proved it)."""
        record = self.adapters.get(version)
        return record is not None and record.state in ROUTABLE

    def proved_engines(
        self, version: str, epochs: Mapping[str, str] | None = None
    ) -> tuple[EngineRecord, ...]:
        """The engines that may answer for `version`.

        `epochs` are engine id → epoch as the caller has seen them itself: an engine that restarted since its
        agent's report has not proved anything yet and is left out, and an agent's silence does not count
        against an engine the caller can reach. Without `epochs` only engines with a fresh report count.
        """
        if not self.routable(version):
            return ()
        return tuple(
            engine
            for engine in self.engines.values()
            if (held := engine.adapters.get(version)) is not None
            and held.state == "proved"
            and (
                engine.live(self.taken_at)
                if epochs is None
                else bool(engine.epoch) and epochs.get(engine.id) == engine.epoch
            )
        )

    def live_engines(self) -> tuple[EngineRecord, ...]:
        """Engines that answer their agent now."""
        return tuple(engine for engine in self.engines.values() if engine.live(self.taken_at))

    def aliases_of(self, version: str) -> tuple[str, ...]:
        """The aliases that point to `version`, sorted."""
        return tuple(sorted(alias for alias, target in self.aliases.items() if target == version))


def text(value: object) -> str:
    """A Redis reply as text, whether or not the client decodes replies."""
    return value.decode() if isinstance(value, bytes) else str(value)


def pairs(flat: Sequence[object] | Mapping[object, object]) -> dict[str, str]:
    """HGETALL's reply (from a script, flat; from a client, a mapping) as a dict of text."""
    if isinstance(flat, Mapping):
        return {text(k): text(v) for k, v in flat.items()}
    items: Iterable[tuple[object, object]] = zip(flat[::2], flat[1::2], strict=True)
    return {text(k): text(v) for k, v in items}


def parse_adapter(version: str, fields: Mapping[str, str]) -> AdapterRecord:
    """The record in a version's Redis hash."""
    return AdapterRecord(
        version=version,
        name=fields["name"],
        state=State(fields["state"]),
        digest=fields["digest"],
        record=MappingProxyType(orjson.loads(fields["record"])),
        reason=fields["reason"],
        since=float(fields["since"]),
        generation=int(fields["generation"]),
        behaviour=fields.get("behaviour", ""),
        sweep=fields.get("sweep", ""),
    )


def parse_engine(raw: str) -> EngineRecord:
    """The record in an engine's Redis value."""
    body = orjson.loads(raw)
    held = {
        version: EngineAdapter(a["state"], a.get("reason", ""), int(a.get("crashes", 0)))
        for version, a in body["adapters"].items()
    }
    return EngineRecord(
        id=body["id"],
        url=body["url"],
        epoch=body["epoch"],
        base=MappingProxyType(body["base"]),
        heartbeat=float(body["heartbeat"]),
        adapters=MappingProxyType(held),
        last_epoch=body.get("last_epoch", body["epoch"]),
    )
