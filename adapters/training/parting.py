"""Where a policy's own reward (the proxy) and the reward it never sees (the gold one) part, and what is kept then.

Over-optimisation shows as gold that falls while the proxy goes on rising (Gao et al. 2022, arXiv:2210.10760).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Answers to the held-out prompts after `step` steps.

    `proxy`, `gold`: mean rewards, penalties taken off the proxy, and that for cut-off answers off both. `kl`: nats
    an answer, from the reference. `tokens`: mean length. `unfinished`: share. `loss`: nats per token of the held-out
    rows' own answers.
    """

    step: int
    proxy: float
    gold: float
    kl: float
    tokens: float
    unfinished: float
    loss: float

    def line(self) -> tuple[str, str]:
        """As the report shows it."""
        return (
            f"after step {self.step}",
            f"proxy {self.proxy:.3f}, gold {self.gold:.3f}, KL {self.kl:.2f} nats an answer, "
            f"{self.tokens:.1f} tokens, {self.unfinished:.0%} unfinished, loss of ordinary answers {self.loss:.3f}",
        )


def kept(history: Sequence[Evaluation], kl_ceiling: float, max_loss_rise: float | None) -> Evaluation:
    """The evaluation of the highest gold among those within the bounds; the earliest of equals.

    The first one, before any step, is always within.
    """
    start = history[0]
    within = [
        one
        for one in history
        if one is start
        or (one.kl <= kl_ceiling and (max_loss_rise is None or one.loss - start.loss <= max_loss_rise))
    ]
    return max(within, key=lambda one: one.gold)


def parted(history: Sequence[Evaluation], evaluations: int, tolerance: float) -> bool:
    """Whether the last `evaluations` all have more proxy and, by more than `tolerance`, less gold than the best.

    The best: the evaluation of the highest gold so far, which lies before them.
    """
    best = max(history, key=lambda one: one.gold)
    last = history[-evaluations:]
    return len(history) > evaluations and all(
        one.step > best.step and one.proxy > best.proxy and one.gold < best.gold - tolerance for one in last
    )
