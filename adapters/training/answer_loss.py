"""The loss of answers under a model as it is: nats, counted over the answers' tokens alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from adapters.training.encoding import IGNORED, Encoded


def held_out_loss(model: Any, rows: Sequence[Encoded], batch: int) -> float:
    """Nats per answer token. Raises ValueError when it is not finite."""
    model.eval()
    total, tokens = 0.0, 0.0
    with torch.no_grad():
        for chunk in chunks(rows, batch):
            sums, counts = token_losses(model, chunk)
            total, tokens = total + float(sums.sum()), tokens + float(counts.sum())
    if not math.isfinite(total):
        raise ValueError(f"the held-out loss is {total}: lower method.learning_rate")
    return total / tokens


def token_losses(model: Any, chunk: Sequence[Encoded]) -> tuple[Any, Any]:
    """Each row's sum over its answer tokens, and how many there are; both of shape (rows,)."""
    longest = max(len(row.ids) for row in chunk)
    device = next(model.parameters()).device

    def padded(values: Sequence[Sequence[int]], filler: int) -> Any:
        return torch.tensor([[*one, *[filler] * (longest - len(one))] for one in values], device=device)

    ids, labels = padded([row.ids for row in chunk], 0), padded([row.labels for row in chunk], IGNORED)
    mask = padded([[1] * len(row.ids) for row in chunk], 0)
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
    learnt = labels[:, 1:] != IGNORED
    losses = torch.nn.functional.cross_entropy(
        logits[learnt].float(), labels[:, 1:][learnt], reduction="none"
    )
    row = learnt.nonzero()[:, 0]
    return losses.new_zeros(len(chunk)).index_add(0, row, losses), learnt.sum(dim=1)


def chunks(rows: Sequence[Encoded], size: int) -> Iterator[Sequence[Encoded]]:
    """`rows` in parts of at most `size`."""
    return (rows[start : start + size] for start in range(0, len(rows), size))
