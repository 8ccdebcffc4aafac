"""The adapter a continual run goes on from: proved to be what it says, and of which rounds it comes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from adapters.package import (
    CARD,
    PackageError,
    PackageFiles,
    file_digest,
    manifest_of,
    package_digest,
    parse_version,
    version_of,
)
from adapters.signing import verify_signature
from adapters.training.continual import Continual
from adapters.training.replay import REPLAY
from adapters.training.servable import NotServable, require_servable
from adapters.training.start import Start

_SHAPE = {"rank": "r", "alpha": "lora_alpha", "rslora": "use_rslora", "targets": "target_modules"}
_ROUNDS_NAMED = 1000


@dataclass(frozen=True, slots=True)
class Parent:
    """`ancestors`: package digests, oldest first, its own the last. `kept`: the rows its run left, None where it
    left none that are whole; `seen`: of how many they were drawn. `proof`: what was compared, for people.
    """

    start: Start
    ancestors: tuple[str, ...]
    kept: Path | None
    seen: int
    proof: str


def read_parent(settings: Continual, base: Path) -> tuple[Parent | None, list[str]]:
    """The parent, and everything that speaks against going on from it. Blocking: reads the weights."""
    folder = settings.start_from
    if not folder.is_dir():
        return None, [f"method.start_from: {folder} is not there"]
    try:
        files = PackageFiles.from_directory(folder)
        manifest = manifest_of("start", files)
    except (PackageError, OSError) as error:
        return None, [f"method.start_from: {error}"]
    problems = _unlike(settings, files.config)
    weights = 0
    try:
        weights = require_servable(files, base).parameters
    except NotServable as error:
        lines = str(error).splitlines()
        problems += [f"method.start_from: {folder.name} does not fit {base.name}: {line}" for line in lines]
    if files.card is None:
        problems.append(f"method.start_from: {folder} holds no {CARD}; go on from a package of atelier train")
    proof, wrong = _proved(settings, files)
    problems += wrong
    lineage = _lineage(files.card)
    digest = package_digest(manifest)
    kept = folder.parent / REPLAY
    if settings.replay > 0 and not settings.earlier:
        problems += _unfit_rows(kept, lineage.get("replay"))
    ancestors = (*lineage.get("parents", ()), digest)[-_ROUNDS_NAMED:]
    seen = int(lineage.get("replay", {}).get("seen", 0))
    whole = kept if not _unfit_rows(kept, lineage.get("replay")) else None
    return Parent(Start(folder, digest, weights), ancestors, whole, seen, proof), problems


def _unlike(settings: Continual, raw: bytes) -> list[str]:
    """What the recipe says of the adapter's shape and the adapter does not."""
    try:
        config: dict[str, Any] = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return []  # told with all that is wrong with the package
    problems = []
    for field, key in _SHAPE.items():
        said, found = getattr(settings, field), config.get(key)
        if isinstance(found, list):
            said, found = sorted(said), sorted(found)
        if field in settings.model_fields_set and said != found:
            problems.append(f"method.{field}: the recipe says {said}, the parent has {found}; leave it out")
    return problems


def _proved(settings: Continual, files: PackageFiles) -> tuple[str, list[str]]:
    """By version id and signature."""
    proofs, problems = [], []
    version = settings.version or _version_beside(settings.start_from)
    if version is not None:
        try:
            name = parse_version(version).name
        except PackageError as error:
            return "", [f"method.version: {error}"]
        found = str(version_of(manifest_of(name, files)))
        if found != version:
            problems.append(
                f"method.start_from: it is {found} and was {version}: a file has changed since; "
                "take the package from where it is stored"
            )
        proofs.append(version)
    if settings.keys:
        missing = [f"method.keys: {key} is not there" for key in settings.keys if not key.is_file()]
        if missing:
            return "", [*problems, *missing]
        if files.signature is None:
            return "", [*problems, "method.start_from: it has no signature, method.keys asks for one"]
        result = verify_signature(settings.start_from, files.signature, settings.keys)
        if not result.ok:
            problems.append(f"method.start_from: {result.reason}")
        proofs.append(result.reason)
    return ", ".join(proofs) or "by its digest alone; method.version or method.keys would prove it", problems


def _version_beside(folder: Path) -> str | None:
    try:
        found = orjson.loads((folder.parent / "result.json").read_bytes())["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def _lineage(card: bytes | None) -> dict[str, Any]:
    """As an earlier continual run wrote it; empty for an adapter of another method."""
    try:
        lineage = orjson.loads(card or b"{}").get("lineage")
    except (orjson.JSONDecodeError, AttributeError):
        return {}
    return lineage if isinstance(lineage, dict) and isinstance(lineage.get("replay"), dict) else {}


def _unfit_rows(file: Path, said: Any) -> list[str]:
    """Why the rows that the parent's run left cannot be learnt again."""
    if not isinstance(said, dict):
        return [
            "method.replay: the parent left no earlier rows; name its training files in method.earlier, "
            "or set replay: 0 and strength: 0"
        ]
    try:
        digest = file_digest(file)
    except OSError:
        return [f"method.replay: {file} is not there; name the earlier training files in method.earlier"]
    if digest != said.get("sha256"):
        return [f"method.replay: {file} is not what the parent's card says; name files in method.earlier"]
    return []
