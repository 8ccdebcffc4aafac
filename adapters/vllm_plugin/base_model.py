"""What the engine's base model is: what gateways, validators and trainers compare adapters with."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ORIGIN_FILE = "atelier_model.json"


@dataclass(frozen=True)
class BaseModel:
    """One base model as served by this engine process."""

    model: str  # served name
    fingerprint: str  # sha256 hex
    config: dict[str, Any]  # the Hugging Face config.json
    max_lora_rank: int
    max_loras: int  # adapters in one batch
    max_cpu_loras: int  # adapters held in memory
    epoch: str  # new at every start of the engine


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's config.json; raises OSError when unreadable, ValueError when not a JSON object."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise ValueError(f"{folder / 'config.json'} is not a JSON object")
    return config


def fingerprint(folder: Path) -> str:
    """The name of the base model's weights, sha256 hex.

    A folder that says what it was made from (`atelier_model.json`, `base_fingerprint`) is believed, so
    that the bf16 and the INT8 form of one model share their adapters. Else it is the sha256 over
    config.json's bytes and then the sha256 (hex) of every safetensors file, sorted by name. Raises
    OSError or ValueError.
    """
    origin = folder / ORIGIN_FILE
    if origin.exists():
        declared = json.loads(origin.read_text(encoding="utf-8")).get("base_fingerprint")
        if declared is not None:
            return str(declared)
    whole = hashlib.sha256((folder / "config.json").read_bytes())
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").hexdigest().encode())
    return whole.hexdigest()
