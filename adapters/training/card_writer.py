"""An adapter folder made into a package: card, check, signature."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from adapters.package import CARD, SIGNATURE, PackageFiles, manifest_of, version_of
from adapters.served_base import BaseModel
from adapters.signing import sign_package
from adapters.training.recipe import RANKS
from adapters.validation import validate
from adapters.vllm_plugin.base_model import fingerprint, read_config


class NotServable(RuntimeError):
    """The message lists what an engine would refuse."""


def write_package(
    folder: Path, name: str, base: Path, card: Mapping[str, Any], sign_with: Path | None
) -> str:
    """Add the card (and signature) to an adapter folder; returns its version id. Blocking.

    Raises NotServable, ValueError for a key that cannot sign, OSError. The same checks as the gateway's, so that
    what passes here is not refused there.
    """
    whole = {"base": {"fingerprint": fingerprint(base), "name": base.name}, **card}
    (folder / CARD).write_bytes(orjson.dumps(whole, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
    files = PackageFiles.from_directory(folder)
    report = validate(files, _served(base))
    if not report.ok:
        raise NotServable("\n".join(f"{one.where}: {one.message}" for one in report.problems))
    if sign_with is not None:
        (folder / SIGNATURE).write_bytes(sign_package(folder, sign_with))
    return str(version_of(manifest_of(name, files)))


def _served(base: Path) -> BaseModel:
    return BaseModel(base.name, fingerprint(base), read_config(base), max(RANKS), 1, 1, "")
