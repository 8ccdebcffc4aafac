"""How much better than expected each token of an answer was. Arrays: (answers, tokens), float; `mask` marks tokens.

Rows shorter than the longest are padded at their end, where `mask` is False and nothing counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
_TINY = 1e-8


def token_rewards(scores: Floats, log_ratios: Floats, mask: Mask, kl_weight: float) -> Floats:
    """What each token earns: minus `kl_weight` times its log-ratio to the reference, the last one the score too.

    `scores`: (answers,). Ziegler et al. 2019, arXiv:1909.08593, equation 2, spread over the tokens.
    """
    rewards = np.where(mask, -kl_weight * log_ratios, 0.0)
    last = mask.sum(axis=1) - 1
    rewards[np.arange(len(scores)), last] += scores
    return rewards


def generalised_advantages(
    rewards: Floats, values: Floats, mask: Mask, discount: float, gae_lambda: float
) -> Floats:
    """GAE (Schulman et al. 2015, arXiv:1506.02438, equation 16); after an answer's last token nothing is expected."""
    advantages = np.zeros(rewards.shape)
    following, next_value = np.zeros(len(rewards)), np.zeros(len(rewards))
    for token in reversed(range(rewards.shape[1])):
        surprise = rewards[:, token] + discount * next_value - values[:, token]
        following = np.where(mask[:, token], surprise + discount * gae_lambda * following, 0.0)
        next_value = np.where(mask[:, token], values[:, token], 0.0)
        advantages[:, token] = following
    return advantages


def leave_one_out(rewards: Floats, samples: int) -> Floats:
    """Each answer's reward less the mean of the other answers to its prompt; `rewards`: (answers,), by prompt.

    REINFORCE leave-one-out (Kool et al. 2019; Ahmadian et al. 2024, arXiv:2402.14740, equation 8).
    """
    by_prompt = rewards.reshape(-1, samples)
    others = (by_prompt.sum(axis=1, keepdims=True) - by_prompt) / (samples - 1)
    return np.asarray((by_prompt - others).reshape(-1))


def whitened(values: Floats, mask: Mask) -> Floats:
    """Mean 0 and standard deviation 1 over what `mask` marks; 0 elsewhere, and everywhere if nothing differs."""
    marked = values[mask]
    centred = np.where(mask, values - marked.mean(), 0.0)
    deviation = marked.std()
    return (
        centred / deviation if deviation > _TINY * max(1.0, np.abs(marked).max()) else np.zeros(values.shape)
    )
