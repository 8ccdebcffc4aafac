"""What every training method takes and gives, so that a recipe can name any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one method.

    `base`: folder of the base model (safetensors, tokenizer). `train`, `held_out`: JSONL in the form the method
    asks for. `out`: a folder of the method's own; what it finds there is an earlier run of the same job that was
    interrupted, and it goes on from there. `start_from`: an adapter to continue, None for a new one.
    """

    base: Path
    train: Path
    held_out: Path | None
    out: Path
    seed: int
    start_from: Path | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """What a method made: the folder of a PEFT adapter, a whole model or a reward model.

    The report shows `figures`, single numbers by name, and `curves`, name → (step, value) points. `privacy`: ε, δ
    and what they were accounted with, where the method gives a guarantee. `loss`: what the curves' values are.
    `notes`: what else is to be said, by name.
    """

    kind: Literal["adapter", "model", "reward"]
    folder: Path
    figures: Mapping[str, float]
    curves: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    privacy: Mapping[str, float | str] | None = None
    loss: str = "nats per answer token"
    notes: Sequence[tuple[str, str]] = ()


class Progress(Protocol):
    """Where a method tells how far it is."""

    def step(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """Step `done` of `total` has ended; `figures`: its loss and whatever else is worth showing."""
