"""An adapter folder made into a package: card, check, signature."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from adapters.package import CARD, SIGNATURE, PackageFiles, manifest_of, version_of
from adapters.signing import sign_package
from adapters.training.servable import require_servable
from adapters.vllm_plugin.base_model import fingerprint


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
    require_servable(files, base)
    if sign_with is not None:
        (folder / SIGNATURE).write_bytes(sign_package(folder, sign_with))
    return str(version_of(manifest_of(name, files)))
