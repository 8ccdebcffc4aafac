"""The gateway's checks of an adapter, made where it is trained: what passes here is not refused there."""

from __future__ import annotations

from pathlib import Path

from adapters.package import PackageFiles
from adapters.served_base import BaseModel
from adapters.training.low_rank import RANKS
from adapters.validation import Summary, validate
from adapters.vllm_plugin.base_model import fingerprint, read_config


class NotServable(RuntimeError):
    """The message lists what an engine would refuse."""


def require_servable(files: PackageFiles, base: Path) -> Summary:
    """What the adapter holds. Raises NotServable, OSError. Blocking: reads all the weights once."""
    served = BaseModel(base.name, fingerprint(base), read_config(base), max(RANKS), 1, 1, "")
    report = validate(files, served)
    if not report.ok:
        raise NotServable("\n".join(f"{one.where}: {one.message}" for one in report.problems))
    return report.summary
