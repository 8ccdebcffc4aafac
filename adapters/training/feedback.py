"""What a recipe says of learning from people's judgements: a reward model, and a policy that earns its reward."""

from __future__ import annotations

from pathlib import Path
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


class Ppo(LowRank):
    """A policy that earns a reward model's reward, held near to what it starts from: the base, or `start_from`.

    A step draws `samples` answers to each of `prompts` prompts and goes over them `passes` times, `batch` ×
    `accumulate` answers to an update, `batch` of them in memory at a time.
    """

    kind: Literal["ppo"]
    algorithm: Literal["ppo", "rloo"] = "ppo"
    """`rloo`: no value head; an answer is compared with the other answers to its prompt."""
    reward: Path
    """A reward model's folder: the proxy, what is earned."""
    gold: Path
    """Another one's, learnt from other judgements: never earned, it says when to stop and what to keep."""
    start_from: Path | None = None
    """An adapter's folder; it brings its rank, alpha, rslora and targets."""
    uncertainty: Annotated[float, Field(ge=0, le=10)] = 1.0
    """An ensemble's reward is its mean less so many standard deviations between its members."""
    prompts: Annotated[int, Field(ge=1, le=4096)] = 8
    samples: Annotated[int, Field(ge=1, le=64)] = 2
    passes: Annotated[int, Field(ge=1, le=16)] = 2
    max_new_tokens: Annotated[int, Field(ge=1, le=4096)] = 128
    temperature: Annotated[float, Field(gt=0, le=2)] = 1.0
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """How far a token's chance is moved by one step's answers, as a share of what it was."""
    value_clip: Annotated[float, Field(gt=0)] = 0.2
    value_learning_rate: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    discount: Annotated[float, Field(gt=0, le=1)] = 1.0
    gae_lambda: Annotated[float, Field(ge=0, le=1)] = 0.95
    kl_weight: Annotated[float, Field(ge=0, le=10)] = 0.05
    """What a nat of distance from the reference costs, in reward."""
    kl_target: Annotated[float, Field(gt=0)] | None = None
    """Nats an answer; the weight is moved until the distance is this."""
    kl_ceiling: Annotated[float, Field(gt=0)] = 20.0
    """Nats an answer; beyond it the run stops, and nothing beyond it is kept."""
    length_penalty: Annotated[float, Field(ge=0)] = 0.0
    """Reward that every token beyond `free_tokens` costs."""
    free_tokens: Annotated[int, Field(ge=0)] = 0
    repetition_penalty: Annotated[float, Field(ge=0)] = 1.0
    """Reward that an answer loses if every run of four tokens in it was said before; less where fewer were."""
    unfinished_penalty: Annotated[float, Field(ge=0)] = 1.0
    """What an answer that `max_new_tokens` cut off loses, in gold too: a reward model has not seen such answers."""
    part_after: Annotated[int, Field(ge=1)] = 3
    """Stop when so many evaluations in a row have more proxy and less gold than the best one."""
    part_tolerance: Annotated[float, Field(ge=0)] = 0.05
    """How much less gold counts as less; in standard deviations of the gold model's training answers."""
    max_loss_rise: Annotated[float, Field(ge=0)] | None = None
    """Nats per token by which the loss of the held-out rows' own answers may rise in what is kept."""
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 5e-5
    dropout: Annotated[float, Field(ge=0, le=0)] = 0.0
    """None: it would blur the comparison with the reference."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 10
    """Steps; also how often the held-out prompts are answered."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        brought = {"rank", "alpha", "rslora", "targets"} & self.model_fields_set
        if self.start_from is not None and brought:
            raise ValueError(
                f"{', '.join(sorted(brought))}: comes with the adapter in start_from; leave it out"
            )
        if self.algorithm == "rloo" and self.samples < 2:
            raise ValueError("samples: rloo compares the answers to a prompt and needs 2 or more of them")
        if self.kl_target is not None and (self.kl_target >= self.kl_ceiling or self.kl_weight == 0):
            raise ValueError("kl_target: it must lie below kl_ceiling, and kl_weight above 0")
        if self.patience is not None:
            raise ValueError("patience: the gold reward says when to stop; see part_after")
        if self.gradient_checkpointing:
            raise ValueError("gradient_checkpointing: not for ppo; lower batch")
        return self
