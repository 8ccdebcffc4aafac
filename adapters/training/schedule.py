"""How long and how fast a method learns."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    """A part of a recipe: no unknown fields, no changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Schedule(Strict):
    """How long and how fast, the same for every supervised method."""

    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 2e-4
    epochs: Annotated[float, Field(gt=0, le=1000)] = 1.0
    max_steps: Annotated[int, Field(ge=1)] | None = None
    """Ends earlier than the epochs would."""
    batch: Annotated[int, Field(ge=1, le=1024)] = 4
    accumulate: Annotated[int, Field(ge=1, le=1024)] = 1
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    checkpoint_every: Annotated[int, Field(ge=1)] = 50
    """Steps; also how often the held-out rows are measured."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Stop after so many measurements without a lower held-out loss, and keep the best."""
    gradient_checkpointing: bool = False
    """Half the speed for much less memory."""


class Packable(Strict):
    """For methods whose rows can share a sequence."""

    packing: bool = False
    """The rows of a batch in one sequence, none of which sees another, instead of filled up to the longest of them.

    Each step learns the same rows from the same positions, so the loss is the same up to rounding.
    """


def learning_rate(settings: Schedule, step: int, steps: int) -> float:
    """Rises over the warm-up's share of the steps, then falls as a cosine; the first step is not lost."""
    warm = math.ceil(settings.warmup * steps)
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
