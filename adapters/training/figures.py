"""What log-likelihoods and rewards of held-out answers say of a run, as the figures of card and report."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from adapters.training.encoding import Encoded
from adapters.training.judgements import EncodedJudgement
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


def reward_figures(
    judgements: Sequence[EncodedJudgement], rewards: Sequence[Sequence[float]]
) -> dict[str, float]:
    """What held-out judgements say of a reward model; `rewards`: by member, of all their answers in order.

    `preference_accuracy`: share of the pairs whose chosen answer has the greater mean reward; `rank_correlation`:
    Spearman's, of mean rewards and scores; each where there are such judgements. `disagreement`: the standard
    deviation between the members, mean over the answers.
    """
    means = [statistics.fmean(of_answer) for of_answer in zip(*rewards, strict=True)]
    spread = [statistics.pstdev(of_answer) for of_answer in zip(*rewards, strict=True)]
    following = iter(means)
    right: list[bool] = []
    scored: list[tuple[float, float]] = []
    for row in judgements:
        if row.target is None:
            right.append(next(following) > next(following))
        else:
            scored.append((next(following), row.target))
    figures = {"disagreement": statistics.fmean(spread)} if len(rewards) > 1 else {}
    if right:
        figures["preference_accuracy"] = sum(right) / len(right)
    if len(scored) > 1:
        figures["rank_correlation"] = rank_correlation(*zip(*scored, strict=True))
    return figures


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's: Pearson's correlation of the ranks, equal values sharing theirs. 0 where one never changes."""
    try:
        return statistics.correlation(_ranks(first), _ranks(second))
    except statistics.StatisticsError:
        return 0.0


def _ranks(values: Sequence[float]) -> list[float]:
    places: dict[float, list[int]] = {}
    for place, value in enumerate(sorted(values)):
        places.setdefault(value, []).append(place)
    return [statistics.fmean(places[value]) for value in values]
