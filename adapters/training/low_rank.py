"""The shape of a low-rank adapter, as far as vLLM serves it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from adapters.training.schedule import Schedule

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM can serve; other ranks train and are then refused by the engine."""
Module = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LINEAR: tuple[Module, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class LowRank(Schedule):
    """Low-rank adaptation, whatever it is learnt by: the base stays, a small adapter is made."""

    rank: int = 16
    alpha: Annotated[float, Field(gt=0)] = 32.0
    rslora: bool = False
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    targets: tuple[Module, ...] = LINEAR

    @model_validator(mode="after")
    def _servable(self) -> Self:
        if self.rank not in RANKS:
            raise ValueError(f"rank {self.rank}: vLLM serves {', '.join(map(str, RANKS))}")
        if not self.targets:
            raise ValueError(f"targets is empty; name some of {', '.join(LINEAR)}")
        return self
