"""The adapter a run starts from: it must fit the base model, and is known by its content, not by its path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from adapters.package import PackageFiles, manifest_of, package_digest
from adapters.training.servable import NotServable, require_servable


@dataclass(frozen=True, slots=True)
class Start:
    """`digest`: the package's, sha256 (hex). `weights`: how many numbers it holds."""

    folder: Path
    digest: str
    weights: int


def read_start(folder: Path, base: Path) -> Start:
    """Raises NotServable when it does not fit `base`, PackageError, OSError. Blocking."""
    files = PackageFiles.from_directory(folder)
    try:
        summary = require_servable(files, base)
    except NotServable as error:
        raise NotServable(f"method.start_from: {folder.name} does not fit {base.name}:\n{error}") from error
    # The name is no part of what it holds, so any will do.
    return Start(folder, package_digest(manifest_of("start", files)), summary.parameters)
