"""What a recipe says of learning from people's judgements: a reward model, and a policy that earns its reward."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from adapters.training.low_rank import LowRank


class Reward(LowRank):
    """A reward model: one number for an answer, learnt from scores of 0 to 5 and from pairs, mixed as they come."""

    kind: Literal["reward"]
    members: Annotated[int, Field(ge=1, le=8)] = 1
    """An ensemble: so many models, each of a seed of its own; a policy is given what they agree on."""
    head_learning_rate: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    """Of the scalar head, which starts at nought."""

    @model_validator(mode="after")
    def _supported(self) -> Self:
        if self.patience is not None:
            raise ValueError("patience: a reward model runs its steps; lower epochs, one is often enough")
        if self.gradient_checkpointing:
            raise ValueError("gradient_checkpointing: not for reward; lower batch")
        return self
