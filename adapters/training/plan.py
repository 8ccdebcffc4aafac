"""What a run would do and need, known before it starts."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson

from adapters.served_base import decoder_shape
from adapters.training.low_rank import LowRank
from adapters.training.recipe import Private, Recipe
from adapters.training.schedule import Schedule
from adapters.training.start import Start

_ACTIVATION_BYTES = 170
"""Per token, layer and hidden unit, without gradient checkpointing; from the peak of one measured run (Qwen2.5-0.5B,
bfloat16, 4 × 128 tokens: 4.2 GB)."""
_CHECKPOINTED = 0.25
_GIB = 2**30


class Measured(Protocol):
    """A row as the model reads it: one sequence of token ids, or the two of a pair."""

    @property
    def sequences(self) -> tuple[tuple[int, ...], ...]:
        """Token ids."""

    @property
    def learnt(self) -> int:
        """Tokens that count in the loss."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Counts are of the training rows; `memory` and `disk` in bytes, estimated."""

    rows: int
    held_out_rows: int
    tokens: int
    learnt_tokens: int
    longest: int
    steps: int
    trained_weights: int
    memory: int
    disk: int
    more: tuple[tuple[str, str], ...] = ()
    """What the method adds for a person to read."""
    advice: str = "lower method.batch or data.max_tokens, or set method.gradient_checkpointing: true"
    """What to do where the memory is too small."""

    def lines(self) -> list[tuple[str, str]]:
        """What a person reads."""
        return [
            ("rows", f"{self.rows:,} to learn from, {self.held_out_rows:,} held out"),
            (
                "tokens",
                f"{self.tokens:,}, of which {self.learnt_tokens:,} in answers; longest row {self.longest:,}",
            ),
            ("steps", f"{self.steps:,}"),
            ("weights that are learnt", f"{self.trained_weights:,}"),
            ("memory", f"about {self.memory / _GIB:.1f} GiB"),
            ("disk", f"about {self.disk / _GIB:.1f} GiB"),
            *self.more,
        ]


class TooLittle(RuntimeError):
    """The message says what is missing and what would need less of it."""


def make_plan(
    recipe: Recipe, rows: Sequence[Measured], held_out: Sequence[Measured], start: Start | None = None
) -> Plan:
    """`start`: the adapter that is trained on, instead of a new one.

    Raises ValueError for a base model whose layers are not known.
    """
    config = orjson.loads((recipe.base / "config.json").read_bytes())
    settings = recipe.method
    assert isinstance(settings, Schedule)  # nothing else learns
    weights = _weights(recipe.base)
    if start is not None:
        trained = start.weights
    else:
        trained = _adapter_weights(settings, config) if isinstance(settings, LowRank) else weights
    longest = max(len(ids) for row in (*rows, *held_out) for ids in row.sequences)
    per_epoch = math.ceil(math.ceil(len(rows) / settings.batch) / settings.accumulate)
    steps = math.ceil(per_epoch * settings.epochs)
    in_memory = settings.batch * len(rows[0].sequences) * longest
    activations = in_memory * config["num_hidden_layers"] * config["hidden_size"] * _ACTIVATION_BYTES
    # Weight, gradient and Adam's two moments, four bytes each.
    state = trained * 16 + (weights * 2 if isinstance(settings, LowRank) else 0)
    if isinstance(settings, Private):
        state += settings.batch * trained * 4  # a gradient for each row
    if start is not None:
        state += trained * 4  # the reference, a second adapter
    return Plan(
        rows=len(rows),
        held_out_rows=len(held_out),
        tokens=sum(len(ids) for row in rows for ids in row.sequences),
        learnt_tokens=sum(row.learnt for row in rows),
        longest=longest,
        steps=min(steps, settings.max_steps or steps),
        trained_weights=trained,
        memory=int(state + activations * (_CHECKPOINTED if settings.gradient_checkpointing else 1.0))
        + _GIB // 2,
        disk=trained * 12 * 3 + trained * 4 + _GIB // 10,
    )


def require(plan: Plan, out: Path) -> None:
    """Raises TooLittle when memory or disk will not do."""
    available = _available_memory()
    if available is not None and plan.memory > available:
        raise TooLittle(
            f"about {plan.memory / _GIB:.1f} GiB of memory are needed, {available / _GIB:.1f} GiB are free; "
            f"{plan.advice}"
        )
    folder = next(parent for parent in (out, *out.parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    if plan.disk > free:
        raise TooLittle(
            f"about {plan.disk / _GIB:.1f} GiB of disk are needed under {out}, {free / _GIB:.1f} GiB are free; "
            "free some, or name another folder in out"
        )


def _adapter_weights(settings: LowRank, config: dict[str, Any]) -> int:
    shape = decoder_shape(config)
    if shape is None:
        known = config.get("architectures")
        raise ValueError(f"{known}: no model whose adapters the engine checks; name a dense decoder")

    return shape.layers * sum(settings.rank * sum(shape.modules[name]) for name in settings.targets)


def _weights(base: Path) -> int:
    """Number of weights, from the size of the files: two bytes each in the bfloat16 form training starts from."""
    return sum(file.stat().st_size for file in base.glob("*.safetensors")) // 2


def _available_memory() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
