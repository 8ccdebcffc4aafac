"""What a recipe says of distillation: a small model learns from a larger one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from adapters.training.low_rank import LowRank


class Distil(LowRank):
    """A LoRA adapter of `base` learns what `teacher` makes of the rows.

    With one vocabulary for both it learns the teacher's probabilities of every token of the answers; else the answers
    that the teacher gives to the rows' last questions.
    """

    kind: Literal["distil"]
    teacher: Path
    """A model's folder."""
    temperature: Annotated[float, Field(gt=0, le=20)] = 2.0
    """Flattens both models' probabilities, so that what is unlikely counts too."""
    teacher_weight: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The share of the teacher's probabilities in the loss; the rest is the rows' answers."""
    answer_tokens: Annotated[int, Field(ge=1, le=4096)] = 256
    """A teacher's answer that is longer is not learnt."""
