"""The way of an upload: received → validated → stored. Whatever fails leaves no version that could be served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from adapters.lifecycle import LOADABLE, State
from adapters.package import Manifest, PackageFiles, manifest_of, package_digest, version_of
from adapters.problem import Problem
from adapters.registry import Registered, Registry
from adapters.served_base import BaseModel
from adapters.snapshot import AdapterRecord
from adapters.store import AdapterStore
from adapters.validation import ValidationReport, validate

SignatureCheck = Callable[[str, PackageFiles], tuple[Problem, ...]]
"""Takes the adapter's name and its files, returns what is wrong with the signature. Blocking."""


class AdapterRejected(Exception):
    """The package must not be served. `problems` lists everything found, at once."""

    def __init__(self, version: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(f"{version}: {len(problems)} problem(s)")
        self.version = version
        self.problems = problems


@dataclass(frozen=True, slots=True)
class TakenIn:
    """A version that is stored; `created` is False when the same bytes had been uploaded before."""

    record: AdapterRecord
    created: bool
    warnings: tuple[Problem, ...]


class Intake:
    """Takes packages in. One upload at a time is validated, since that is CPU and disk work."""

    def __init__(self, registry: Registry, store: AdapterStore, check_signature: SignatureCheck) -> None:
        self._registry = registry
        self._store = store
        self._check_signature = check_signature
        # Two large uploads at once would each hold a core for seconds while chat needs it.
        self._turn = asyncio.Lock()

    async def take(self, name: str, files: PackageFiles, base: BaseModel, actor: str) -> TakenIn:
        """Register, validate and store one package.

        Raises AdapterRejected with every problem, RegistryError (a version of that id is being removed, or
        differs), StoreError, PackageError for a bad name.
        """
        async with self._turn:
            manifest = await asyncio.to_thread(manifest_of, name, files)
            version = str(version_of(manifest))
            registered = await self._registry.register(
                version, package_digest(manifest), _record(manifest, files, base, actor), actor
            )
            if registered.record.state not in {State.RECEIVED, State.VALIDATED}:
                if registered.record.state in LOADABLE and not await self._store.has(version):
                    # Somebody has deleted its files. These are the same bytes, validated when they first came.
                    await self._store.put(version, files)
                return TakenIn(registered.record, registered.created, ())
            # Also on the way again after a crash in mid-upload: every step below may be repeated.
            return await self._carry_on(registered, files, base, actor)

    async def _carry_on(
        self, registered: Registered, files: PackageFiles, base: BaseModel, actor: str
    ) -> TakenIn:
        version = registered.record.version
        report = await asyncio.to_thread(validate, files, base)
        problems = report.problems + await asyncio.to_thread(
            self._check_signature, registered.record.name, files
        )
        if problems:
            reason = "; ".join(str(problem) for problem in problems)
            await self._registry.transition(version, State.REJECTED, reason[:2000], actor=actor)
            raise AdapterRejected(version, problems)
        await self._registry.transition(
            version, State.VALIDATED, _summary(report), expect=State.RECEIVED, actor=actor
        )
        await self._store.put(version, files)
        await self._registry.transition(version, State.STORED, expect=State.VALIDATED, actor=actor)
        return TakenIn(await self._registry.get(version), registered.created, report.warnings)


def _record(manifest: Manifest, files: PackageFiles, base: BaseModel, actor: str) -> dict[str, object]:
    return {
        "files": dict(manifest.files),
        "bytes": files.weights.stat().st_size,
        "base": base.fingerprint,
        "created_by": actor,
        "signature": "given" if files.signature is not None else "",
        "card": (files.card or b"").decode("utf-8", "replace"),
    }


def _summary(report: ValidationReport) -> str:
    return f"rank {report.summary.rank}, {report.summary.modules} modules" if report.summary else ""
