"""What an adapter still knows of earlier rounds: held-out rows of each, measured on the parent and on the result."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from adapters.training.encoding import IGNORED, Encoded
from adapters.training.recipe import Gate

Tasks = Mapping[str, Sequence[Encoded]]


def measure(base: Path, parent: Path, result: Path, tasks: Tasks) -> dict[str, float]:
    """For each task `old_NAME_loss`, nats per answer token, and `old_NAME_right`, the share of rows whose own answer
    is the greedy one, word for word; with `_before`, the parent's. Blocking.
    """
    figures: dict[str, float] = {}
    for after, folder in (("_before", parent), ("", result)):
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        model = PeftModel.from_pretrained(model, folder).eval()
        for name, rows in tasks.items():
            loss, right = known(model, rows)
            figures[f"old_{name}_loss{after}"] = loss
            figures[f"old_{name}_right{after}"] = right
    return figures


def known(model: Any, rows: Sequence[Encoded]) -> tuple[float, float]:
    """Loss, nats per answer token, and the share of rows all of whose answer tokens are the likeliest ones.

    One row at a time, so that no padding can move a figure. Raises ValueError when the loss is no number.
    """
    total, tokens, right = 0.0, 0, 0
    for row in rows:
        ids = torch.tensor([row.ids], device=model.device)
        labels = torch.tensor(row.labels[1:], device=model.device)
        places = labels != IGNORED
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[0, :-1][places].float()
        total += float(torch.nn.functional.cross_entropy(logits, labels[places], reduction="sum"))
        tokens += int(places.sum())
        right += bool((logits.argmax(dim=-1) == labels[places]).all())
    if not math.isfinite(total):
        raise ValueError(f"the loss on earlier tasks is {total}: lower method.learning_rate")
    return total / tokens, right / len(rows)


def forgotten(gate: Gate, figures: Mapping[str, float]) -> Iterator[str]:
    """Which earlier tasks lost more than the gate allows."""
    for key, loss in sorted(figures.items()):
        if not key.startswith("old_") or not key.endswith("_loss"):
            continue
        task = key.removesuffix("_loss")
        name = task.removeprefix("old_")
        rise = loss - figures[f"{key}_before"]
        if gate.max_old_task_rise is not None and rise > gate.max_old_task_rise:
            yield f"old task {name}: loss rose by {rise:.3f}, gate.max_old_task_rise is {gate.max_old_task_rise:g}"
        fall = figures[f"{task}_right_before"] - figures[f"{task}_right"]
        if gate.max_old_task_fall is not None and fall > gate.max_old_task_fall:
            yield f"old task {name}: right fell by {fall:.3f}, gate.max_old_task_fall is {gate.max_old_task_fall:g}"
