"""Makes one engine's loaded adapters equal to what the registry wants.

Level-triggered: each pass compares what the engine holds with what the registry wants and repairs one difference
after another. It keeps nothing that it cannot read back from the engine or from its own report in Redis, so it
may be killed at any point.
"""

import asyncio
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import orjson

from adapters import behaviour, leases
from adapters.agent_settings import AgentSettings
from adapters.engine_api import AdapterRefused, EngineApi, EngineDown, EngineFault
from adapters.lifecycle import ENDED, LOADABLE, ROUTABLE, UPLOADING, State
from adapters.package import CONFIG, WEIGHTS
from adapters.registry import Registry, UnknownVersion
from adapters.snapshot import AdapterRecord, EngineAdapter, RegistrySnapshot

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
"""Faults (not refusals) of the engine for one version in one epoch, after which it is failed there."""
MAX_CRASHES = 3
"""Engine starts that ended while one version was being taken, after which it is failed there for good."""
MAX_STEPS = 1000
VERSION = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}@[0-9a-f]{12}")
_RANK = {State.STABLE: 0, State.CANDIDATE: 1, State.READY: 2}


class BytesUnavailableError(Exception):
    """The store did not give a version's files."""


class Reconciler:
    """One engine's agent. `reconcile` is one pass; `report` writes what this engine holds to the registry."""

    def __init__(self, settings: AgentSettings, api: EngineApi, registry: Registry) -> None:
        self._settings = settings
        self._api = api
        self._registry = registry
        self._snapshot = RegistrySnapshot()
        self._base: dict[str, Any] = {}
        self._epoch = ""
        self._up = False
        self._resumed = False
        self._resident: frozenset[str] = frozenset()
        self._outcomes: dict[str, EngineAdapter] = {}
        self._attempts: dict[str, int] = {}
        self._reporting = asyncio.Lock()

    async def reconcile(self) -> None:
        """Bring the engine to what the registry wants. Raises EngineError, RedisError."""
        try:
            await self._look()
            await self._remove()
            tried: set[str] = set()
            # Bounded: every step is another version, and new versions wait for the next pass.
            while (record := self._next(tried)) is not None and len(tried) < MAX_STEPS:
                tried.add(record.version)
                await self._bring(record)
                await self._look()
        except EngineDown:
            if self._up:
                self._up = False
                await self.report(hurry=True)
            raise

    async def report(self, hurry: bool = False) -> None:
        """Write this engine's report. Raises RedisError."""
        if not self._resumed:
            return  # it would overwrite what an agent before this one proved
        # Without the lock the heartbeat's report, composed before a change, could arrive after the change's
        # own report (they use different connections) and take a proof back for a second.
        async with self._reporting:
            await self._registry.put_engine(self._settings.engine_id, self._report(), hurry)

    def _report(self) -> dict[str, object]:
        held = {v: self._outcomes.get(v, EngineAdapter("loaded")) for v in self._resident} | self._outcomes
        return {
            "url": self._settings.advertised_url or self._settings.engine_url,
            "epoch": self._epoch if self._up else "",
            "last_epoch": self._epoch,
            "base": self._base,
            "adapters": {
                v: {"state": o.state, "reason": o.reason, "crashes": o.crashes} for v, o in held.items()
            },
        }

    async def _look(self) -> None:
        """Read the engine and the registry."""
        self._snapshot = await self._registry.snapshot(self._snapshot if self._resumed else None)
        if not self._resumed:
            self._resume()
        residency = await self._api.residency()
        self._resident = residency.adapters
        if residency.epoch != self._epoch:
            await self._meet(residency.epoch)
        wanted = self._wanted()
        self._outcomes = {
            version: outcome
            for version, outcome in self._outcomes.items()
            if version in self._resident
            or outcome.state == "leaving"
            or (version in wanted and outcome.state not in {"loaded", "proved"})
        }
        if not self._up or not self._base:
            base = dict(await self._api.base())
            # Before the engine is announced: the first requests of its life compile for seconds.
            await behaviour.warm_up(self._api, str(base["model"]))
            self._base, self._up = base, True
            await self.report(hurry=True)

    def _resume(self) -> None:
        """Take up what an agent of this engine reported before us: what it proved stays proved in its
        epoch."""
        before = self._snapshot.engines.get(self._settings.engine_id)
        if before is not None:
            self._epoch, self._outcomes = before.last_epoch, dict(before.adapters)
        self._resumed = True

    async def _meet(self, epoch: str) -> None:
        """The engine has started anew: nothing is proved on it."""
        log.info("engine %s: new start, epoch %s", self._settings.engine_id, epoch)
        self._outcomes = {v: after_restart(outcome) for v, outcome in self._outcomes.items()}
        self._attempts.clear()
        self._epoch, self._up = epoch, False

    def _wanted(self) -> dict[str, AdapterRecord]:
        return {v: record for v, record in self._snapshot.adapters.items() if record.state in LOADABLE}

    def _next(self, tried: set[str]) -> AdapterRecord | None:
        """The most wanted version that is neither proved nor failed: what answers users comes first."""
        done = {
            v for v, outcome in self._outcomes.items() if outcome.state in {"proved", "failed", "leaving"}
        }
        todo = [r for v, r in self._wanted().items() if v not in done and v not in tried]
        return min(todo, key=lambda r: (_RANK.get(r.state, 3), r.since), default=None)

    async def _bring(self, record: AdapterRecord) -> None:
        """Load and prove one version. Raises EngineDown, RedisError; any other failure is the version's."""
        version = record.version
        try:
            if version not in self._resident:
                await self._load(version)
            await self._mark(version, "loaded", hurry=True)
            verdict = await self._prove(record)
        except AdapterRefused as refused:
            verdict = str(refused)
        except EngineDown:
            if self._faults(version) >= MAX_ATTEMPTS:
                await self._mark(
                    version, "failed", "the engine stopped answering while taking it", hurry=True
                )
            raise
        except (EngineFault, BytesUnavailableError) as error:
            if isinstance(error, BytesUnavailableError) and record.state in ROUTABLE:
                # It has answered before, so its bytes may come back: by the same upload, or with the store.
                await self._mark(version, "waiting", str(error))
                return
            if self._faults(version) < MAX_ATTEMPTS:
                log.warning("%s: %s (will be tried again)", version, error)
                return
            verdict = f"{error} ({MAX_ATTEMPTS} times)"
        # A verdict on a start of the engine that is over says nothing about this one.
        residency = await self._api.residency()
        if residency.epoch != self._epoch:
            raise EngineDown(f"engine {self._settings.engine_id} restarted while it took {version}")
        if verdict:
            await self._fail(version, verdict)
        elif version in residency.adapters:
            await self._mark(version, "proved", hurry=True)

    async def _load(self, version: str) -> None:
        path = await self._bytes(version)
        # Reported before the engine sees the bytes: if they kill it, its next start knows whom to suspect.
        await self._mark(version, "loading")
        await self._api.load(version, path)
        self._resident |= {version}

    async def _bytes(self, version: str) -> Path:
        """The folder under the adapter root with the version's verified files, fetched when not there."""
        store, root = self._settings.store, self._settings.adapter_root.resolve()
        try:
            kept = store.local_path(version)
            if kept is not None and kept.resolve().parent == root:
                await store.verify(version)
                return kept.resolve()
            return await store.fetch(version, root)
        except Exception as error:
            # Whatever a store raises is the trouble of this version only, and is tried again.
            raise BytesUnavailableError(f"the store did not give {version}: {error}") from error

    async def _prove(self, record: AdapterRecord) -> str:
        """Why the loaded version does not behave as recorded, or ''."""
        try:
            passages = await self._fingerprint(record)
        except ValueError as error:
            return f"card.json: {error}"
        comparison = await behaviour.compare(
            self._api, str(self._base["model"]), record.version, passages, self._settings.tolerance
        )
        log.info("%s on %s: %s", record.version, self._settings.engine_id, comparison)
        return comparison.reason

    async def _fingerprint(self, record: AdapterRecord) -> tuple[behaviour.Passage, ...]:
        """From the package's card, else as the first engine that loaded the version recorded it."""
        card = record.record.get("card")
        if isinstance(card, dict) and card.get("behaviour"):
            return behaviour.parse(card["behaviour"])
        kept = record.behaviour
        if not kept:
            recorded = await behaviour.record(self._api, record.version)
            kept = await self._registry.set_behaviour(record.version, behaviour.to_json(recorded))
        return behaviour.parse(orjson.loads(kept))

    async def _fail(self, version: str, reason: str) -> None:
        log.error("%s refused on engine %s: %s", version, self._settings.engine_id, reason)
        # Nobody was ever routed to it in this epoch, so nobody holds it here.
        await self._unload(version, reason)

    async def _mark(self, version: str, state: str, reason: str = "", hurry: bool = False) -> None:
        before = self._outcomes.get(version)
        crashes = before.crashes if before is not None and state != "proved" else 0
        self._outcomes[version] = EngineAdapter(state, reason, crashes)
        await self.report(hurry)

    def _faults(self, version: str) -> int:
        self._attempts[version] = self._attempts.get(version, 0) + 1
        return self._attempts[version]

    async def _remove(self) -> None:
        """Unload what must not stay: nobody's, drained, refused."""
        leaving = {v: outcome for v, outcome in self._outcomes.items() if outcome.state == "leaving"}
        for version in sorted(self._resident | leaving.keys()):
            if version in leaving or self._vanished(version) or await self._may_unload(version):
                await self._unload(version, leaving[version].reason if version in leaving else "")

    def _vanished(self, version: str) -> bool:
        """Whether somebody has deleted the files of a version the engine holds.

        It is answered from memory still; but once the engine needs the memory for other versions it reads the
        files again in the middle of a step, and without them dies with everybody's requests.
        """
        folder = self._settings.adapter_root / version
        gone = not all((folder / name).is_file() for name in (CONFIG, WEIGHTS))
        if gone:
            log.error("the files of %s have vanished from %s: it is taken out of the engine", version, folder)
        return gone

    async def _unload(self, version: str, failure: str) -> None:
        """Unload a version; what remains of it is `failure`, if any. Tried again next pass when not acknowledged.

        It is reported as leaving until the engine acknowledged: the engine lists it no more from the first
        attempt on, but may still read its files for requests that go on, so they must not be deleted yet.
        """
        await self._mark(version, "leaving", failure)
        try:
            await self._api.unload(version)
        except EngineFault as fault:
            log.warning("%s is not unloaded yet: %s", version, fault)
            return
        log.info("%s unloaded from engine %s", version, self._settings.engine_id)
        self._resident -= {version}
        if failure:
            await self._mark(version, "failed", failure, hurry=True)
        else:
            del self._outcomes[version]
            await self.report(hurry=True)

    async def _may_unload(self, version: str) -> bool:
        record = self._snapshot.adapters.get(version)
        outcome = self._outcomes.get(version)
        if outcome is not None and outcome.state == "failed":
            return True
        if record is not None and record.state in LOADABLE | UPLOADING:
            return False
        # A version the registry does not know is treated as draining since now.
        generation = self._snapshot.generation if record is None else record.generation
        settings = self._settings
        return await leases.free(
            settings.redis, settings.prefix, version, generation, settings.limits.hard_deadline
        )

    async def sweep_local(self) -> None:
        """Delete fetched copies of versions whose life has ended and which the engine has let go of."""
        store = self._settings.store
        for folder in _version_folders(self._settings.adapter_root):
            version = folder.name
            if version in self._resident or version in self._snapshot.adapters or store.local_path(version):
                continue
            try:
                record = await self._registry.get(version)
            except UnknownVersion:
                continue
            # Asked again: when the store's folder is this one, a new upload may have come meanwhile.
            if record.state in ENDED and record.sweep == "done" and not store.local_path(version):
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def after_restart(outcome: EngineAdapter) -> EngineAdapter:
    """What remains of an outcome when the engine has started anew. Pure."""
    crashes = outcome.crashes + (outcome.state in {"loading", "loaded"})
    if crashes >= MAX_CRASHES:
        return EngineAdapter("failed", f"the engine went down {crashes} times while taking it", crashes)
    return EngineAdapter("waiting", "", crashes)


def _version_folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return [folder for folder in root.iterdir() if VERSION.fullmatch(folder.name) and folder.is_dir()]
