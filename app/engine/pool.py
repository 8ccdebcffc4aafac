"""The engines as one gateway sees them: who is up, what is proved there, who gets the next request."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from adapters.engine_api import EngineApi, EngineError
from adapters.snapshot import EngineRecord, RegistrySnapshot
from app.engine.wire import Wire
from app.errors import ApiError, unavailable

log = logging.getLogger("atelier.engines")


class SnapshotSource(Protocol):
    """Where the pool reads which engines exist and what is proved on them."""

    @property
    def current(self) -> RegistrySnapshot:
        """The newest snapshot this process has."""


@dataclass(slots=True)
class Engine:
    """One engine. Mutated only on the event loop: by the poll; `inflight` by whoever asks it."""

    id: str
    url: str
    wire: Wire
    api: EngineApi
    up: bool = False
    epoch: str = ""
    resident: frozenset[str] = field(default_factory=frozenset)
    running: int = 0
    waiting: int = 0
    others: int = 0
    inflight: int = 0
    asked_for: tuple[str, str] = ("", "")

    @property
    def load(self) -> int:
        """Requests it has to work through: ours are known at once, other gateways' by the last poll."""
        return self.inflight + self.others


class NoEngine(Exception):
    """No engine can take the request now; `reason` is for the client."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def open_engine(identity: str, url: str, token: str) -> Engine:
    """Connections for an engine at `http://…` or `unix:///path`. Raises ValueError for another form."""
    return Engine(identity, url, Wire(url, token), EngineApi(url, token or None))


async def close_engine(engine: Engine) -> None:
    """Close an engine's connections."""
    engine.wire.close()
    await engine.api.close()


class EnginePool:
    """Follows the registry's engines, polls each once a second, chooses one for every request."""

    def __init__(self, source: SnapshotSource, *, token: str, queue: int, interval: float = 1.0) -> None:
        self._source = source
        self._token = token
        self._queue = queue
        self._interval = interval
        self._engines: dict[str, Engine] = {}

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Every engine known now."""
        return tuple(self._engines.values())

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await self.poll()
            await asyncio.sleep(self._interval * random.uniform(0.8, 1.2))

    async def poll(self) -> None:
        """Take new engines in, drop those that left, ask each how it is."""
        await self._follow(self._source.current.engines)
        await asyncio.gather(*(self._ask(engine) for engine in self._engines.values()))

    async def close(self) -> None:
        """Close every connection."""
        for engine in self._engines.values():
            await close_engine(engine)
        self._engines.clear()

    async def _follow(self, records: Mapping[str, EngineRecord]) -> None:
        for gone in [
            known for known, engine in self._engines.items() if not _same(engine, records.get(known))
        ]:
            if self._engines[gone].inflight == 0:
                await close_engine(self._engines.pop(gone))
        for identity, record in records.items():
            if identity not in self._engines:
                self._engines[identity] = open_engine(identity, record.url, self._token)

    async def _ask(self, engine: Engine) -> None:
        try:
            told = await engine.api.residency()
        except EngineError as error:
            self._set_up(engine, False, str(error))
            return
        engine.epoch, engine.resident = told.epoch, told.adapters
        engine.running, engine.waiting = told.running, told.waiting
        # What it counts includes ours; those of them that end before the next poll must not count till then.
        engine.others = max(0, told.running + told.waiting - engine.inflight)
        self._set_up(engine, True, "")

    def mark_down(self, engine: Engine, why: str) -> None:
        """Take `engine` out at once; the next good poll takes it back."""
        self._set_up(engine, False, why)

    def _set_up(self, engine: Engine, up: bool, why: str) -> None:
        if up != engine.up:
            log.log(
                logging.INFO if up else logging.WARNING,
                "engine %s is %s",
                engine.id,
                "up" if up else "down",
                extra={"engine": engine.id, "why": why},
            )
        engine.up = up

    def serves(self, engine: Engine, version: str | None) -> bool:
        """Whether `engine` may answer for `version` (None: the base model)."""
        if not engine.up:
            return False
        if version is None:
            return True
        record = self._source.current.engines.get(engine.id)
        # A proof counts for one start of the engine: another epoch is another process with nothing loaded.
        return (
            record is not None
            and record.epoch == engine.epoch
            and version in engine.resident
            and (entry := record.adapters.get(version)) is not None
            and entry.state == "proved"
        )

    def choose(self, version: str | None, tried: frozenset[str] = frozenset()) -> Engine:
        """The least loaded engine that serves `version` and was not tried. Raises NoEngine."""
        able = [e for e in self._engines.values() if e.id not in tried and self.serves(e, version)]
        if not able:
            if version is not None and any(engine.up for engine in self._engines.values()):
                raise NoEngine("adapter_not_loaded", f"{version} is not loaded and proved on any engine yet.")
            raise NoEngine("no_engine", "No engine is ready.")
        free = [engine for engine in able if engine.inflight < self._queue]
        if not free:
            raise NoEngine("engine_busy", "Every engine's queue is full.")
        lowest = min(engine.load for engine in free)
        return random.choice([engine for engine in free if engine.load == lowest])

    async def pick(self, version: str | None, tried: frozenset[str] = frozenset()) -> Engine:
        """`choose`, after asking engines again whose proof of `version` is newer than their last poll.

        The registry hints at a proof within milliseconds; the next poll may be a second away.
        """
        try:
            return self.choose(version, tried)
        except NoEngine:
            if tried or not self._said_to_be_proved(version):
                raise
        late = [engine for engine in self._engines.values() if self._proved_lately(engine, version)]
        await asyncio.gather(*(self._ask(engine) for engine in late))
        # Another request may be asking for the same proof at this moment: its answer, or the next poll's,
        # serves us too. Without the wait the second of two first requests would be refused.
        for _ in range(15):
            try:
                return self.choose(version, tried)
            except NoEngine:
                await asyncio.sleep(0.1)
        return self.choose(version, tried)

    def _said_to_be_proved(self, version: str | None) -> bool:
        records = self._source.current.engines
        return version is not None and any(
            engine.up
            and (record := records.get(engine.id)) is not None
            and (entry := record.adapters.get(version)) is not None
            and entry.state == "proved"
            for engine in self._engines.values()
        )

    def _proved_lately(self, engine: Engine, version: str | None) -> bool:
        record = self._source.current.engines.get(engine.id)
        if version is None or record is None or not engine.up:
            return False
        entry = record.adapters.get(version)
        # Asked once for a proof, so that requests cannot multiply the polls: what the engine does not list
        # even now shows at its next poll.
        if entry is None or entry.state != "proved" or engine.asked_for == (record.epoch, version):
            return False
        if version in engine.resident and record.epoch == engine.epoch:
            return False
        engine.asked_for = (record.epoch, version)
        return True


def _same(engine: Engine, record: EngineRecord | None) -> bool:
    return record is not None and record.url == engine.url


def no_engine_error(error: NoEngine) -> ApiError:
    """The client's view of NoEngine."""
    return unavailable(error.code, f"{error.reason} Try again shortly.")
