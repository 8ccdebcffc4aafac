"""The state of a training loop of our own, in one file that is there whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from adapters.training.methods.supervised import write_failures_as_os_errors


def keep(
    file: Path, weights: Sequence[Any], optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
) -> None:
    """Written aside and renamed: the last whole checkpoint stays until the next one is. Raises OSError."""
    whole = {
        "weights": [weight.detach() for weight in weights],
        "optimizer": optimizer.state_dict(),
        "state": dict(state),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".partial")
    with write_failures_as_os_errors():
        torch.save(whole, aside)
    aside.replace(file)


def restore(file: Path, weights: Sequence[Any], optimizer: torch.optim.Optimizer) -> Mapping[str, Any] | None:
    """Weights and optimizer as they were kept; returns the rest, None when nothing was kept."""
    if not file.exists():
        return None
    saved = torch.load(file, weights_only=True)
    with torch.no_grad():
        for weight, value in zip(weights, saved["weights"], strict=True):
            weight.copy_(value)
    optimizer.load_state_dict(saved["optimizer"])
    return dict(saved["state"])
