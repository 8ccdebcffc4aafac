"""What log-likelihoods of held-out answers say of a run, as the figures of card and report."""

from __future__ import annotations

import math
from collections.abc import Sequence

from adapters.training.encoding import Encoded
from adapters.training.preferences import EncodedPair


def nats_per_token(log_likelihoods: Sequence[float], rows: Sequence[Encoded]) -> float:
    """The loss of the rows' answers together. Raises ValueError when it is no number."""
    loss = -sum(log_likelihoods) / sum(row.learnt for row in rows)
    if not math.isfinite(loss):
        raise ValueError(f"the held-out loss is {loss}: lower method.learning_rate")
    return loss


def preference_figures(
    pairs: Sequence[EncodedPair],
    before: Sequence[tuple[float, float]],
    after: Sequence[tuple[float, float]],
    beta: float,
) -> dict[str, float]:
    """What held-out pairs say, from the log-likelihoods of (chosen, rejected) under reference and result.

    `preference_accuracy`: share whose chosen answer gained more than the rejected one; `reward_margin`: beta times
    by how much more, mean. `chosen_likelier`: share whose chosen answer is the likelier as a whole.
    `held_out_loss`: nats per token of the chosen answers. `base_…`: of the reference.
    """
    gains = [
        (chosen - old_chosen) - (rejected - old_rejected)
        for (chosen, rejected), (old_chosen, old_rejected) in zip(after, before, strict=True)
    ]
    chosen_rows = [pair.chosen for pair in pairs]
    return {
        "preference_accuracy": sum(gain > 0 for gain in gains) / len(gains),
        "reward_margin": beta * sum(gains) / len(gains),
        "chosen_likelier": sum(chosen > rejected for chosen, rejected in after) / len(after),
        "base_chosen_likelier": sum(chosen > rejected for chosen, rejected in before) / len(before),
        "held_out_loss": nats_per_token([chosen for chosen, _ in after], chosen_rows),
        "base_held_out_loss": nats_per_token([chosen for chosen, _ in before], chosen_rows),
    }
