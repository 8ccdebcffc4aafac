"""How likely a model holds answers to be, given their prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from adapters.training.encoding import IGNORED, Encoded


def answer_log_likelihoods(model: Any, rows: Sequence[Encoded]) -> list[float]:
    """Natural logarithm of the probability of every row's answers (the tokens that are learnt), summed.

    One row at a time, so that no padding can move a figure. Blocking.
    """
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            return [_log_likelihood(model, row) for row in rows]
    finally:
        model.train(training)


def _log_likelihood(model: Any, row: Encoded) -> float:
    device = next(model.parameters()).device
    logits = model(input_ids=torch.tensor([row.ids], device=device)).logits[0, :-1].float()
    labels = torch.tensor(row.labels[1:], device=device)
    return -float(torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum"))
