"""INT8 W8A8 weights from a model in bfloat16 or single precision, and what that costs on held-out rows.

Rounding to nearest, one scale an output channel; activations get their scales while serving, so no data is needed
to calibrate. Before: the model in bfloat16, as engines serve it. After: what was written, with the arithmetic of an
engine's INT8 layers.

Not supported: GPTQ, SmoothQuant, four bits, mixtures of experts.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import torch
from transformers import AutoModelForCausalLM

from adapters.base_model.convert import to_int8
from adapters.base_model.folder import built_aside
from adapters.training.encoding import IGNORED, Encoded
from adapters.training.figures import nats_per_token
from adapters.training.int8_forward import put_into
from adapters.training.method import Job, Progress, Trained
from adapters.training.quantisable import inspect

BEFORE = "before.json"


@dataclass(frozen=True, slots=True)
class Reading:
    """Of one row: the answers' log-likelihood, and the likeliest token at each of their places."""

    log_likelihood: float
    likeliest: list[int]


def quantise(job: Job, held_out: Sequence[Encoded], tell: Progress) -> Trained:
    """Convert and measure; what an earlier run of the same job finished is not done again. Blocking.

    Raises ValueError for weights that are not finite, OSError when something cannot be written.
    """
    total = 2 * len(held_out) + 1
    before = _before(job, held_out, tell, total)
    gc.collect()  # models hold themselves in circles: without it each stays until the next is there
    folder = job.out / "model"
    if not folder.exists():
        single = inspect(job.base).single
        with built_aside(folder) as aside:
            to_int8(job.base, aside, torch.float32 if single else torch.bfloat16)
    tell.step(len(held_out) + 1, total, {})
    gc.collect()
    model = AutoModelForCausalLM.from_pretrained(job.base, dtype=torch.bfloat16)
    layers = put_into(model, folder)
    after = _readings(model, held_out, tell, len(held_out) + 1, total)
    return Trained(
        "model", folder, {"layers": float(layers)} | _figures(job.base, folder, held_out, before, after)
    )


def _before(job: Job, held_out: Sequence[Encoded], tell: Progress, total: int) -> list[Reading]:
    file = job.out / "checkpoints" / BEFORE
    if file.exists():
        return [Reading(*entry) for entry in orjson.loads(file.read_bytes())]
    model = AutoModelForCausalLM.from_pretrained(job.base, dtype=torch.bfloat16)
    readings = _readings(model, held_out, tell, 0, total)
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".partial")
    aside.write_bytes(orjson.dumps([(one.log_likelihood, one.likeliest) for one in readings]))
    aside.replace(file)
    return readings


def _readings(model: Any, rows: Sequence[Encoded], tell: Progress, done: int, total: int) -> list[Reading]:
    """One row at a time, so that no padding can move a figure."""
    model.eval()
    readings = []
    for number, row in enumerate(rows, 1):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([row.ids])).logits[0, :-1]
            labels = torch.tensor(row.labels[1:])
            answers = logits[labels != IGNORED].float()
            loss = torch.nn.functional.cross_entropy(answers, labels[labels != IGNORED], reduction="sum")
        readings.append(Reading(-float(loss), answers.argmax(dim=-1).tolist()))
        tell.step(done + number, total, {"loss": float(loss) / row.learnt})
    return readings


def _figures(
    base: Path, folder: Path, rows: Sequence[Encoded], before: Sequence[Reading], after: Sequence[Reading]
) -> dict[str, float]:
    """`same_tokens`: share of the answers' places where both forms have the same likeliest token."""
    pairs = [
        (old, new)
        for one, other in zip(before, after, strict=True)
        for old, new in zip(one.likeliest, other.likeliest, strict=True)
    ]
    loss = nats_per_token([one.log_likelihood for one in after], rows)
    base_loss = nats_per_token([one.log_likelihood for one in before], rows)
    return {
        "held_out_loss": loss,
        "base_held_out_loss": base_loss,
        "perplexity": math.exp(loss),
        "base_perplexity": math.exp(base_loss),
        "same_tokens": sum(old == new for old, new in pairs) / len(pairs),
        "megabytes": _megabytes(folder),
        "base_megabytes": _megabytes(base),
    }


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 1e6
