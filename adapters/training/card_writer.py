"""What was made is described and signed: an adapter's folder as a package, a model's folder with its own card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from adapters.package import CARD, SIGNATURE, PackageFiles, file_digest, manifest_of, version_of
from adapters.signing import sign_model, sign_package
from adapters.training.servable import require_servable
from adapters.vllm_plugin.base_model import ORIGIN_FILE, fingerprint


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


def write_model_card(
    folder: Path, source: Path, card: Mapping[str, Any], sign_with: Path | None, *, same_base: bool
) -> None:
    """Add the card (and signature) to a model's folder. Blocking: reads the weights.

    `same_base`: adapters of `source` fit it, so it carries its fingerprint (DESIGN §5 compares these); else it is
    known by its own content. Raises ValueError for a key that cannot sign, OSError.
    """
    origin = fingerprint(source)
    (folder / SIGNATURE).unlink(missing_ok=True)
    whole = {
        **({"base_fingerprint": origin} if same_base else {}),
        "made_from": {"fingerprint": origin, "name": source.name},
        "files": {
            path.name: file_digest(path) for path in sorted(folder.iterdir()) if path.name != ORIGIN_FILE
        },
        **card,
    }
    (folder / ORIGIN_FILE).write_bytes(orjson.dumps(whole, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
    if sign_with is not None:
        (folder / SIGNATURE).write_bytes(sign_model(folder, sign_with))
