"""PPO's clipped losses (Schulman et al. 2017, arXiv:1707.06347), by token. Tensors of one shape, nats."""

from __future__ import annotations

from typing import Any

import torch


def policy_losses(new: Any, old: Any, advantages: Any, clip: float) -> Any:
    """Equation 7, negated: a token's chance gains nothing by moving further than `clip` from what it was."""
    ratios = torch.exp(new - old)
    return torch.maximum(-advantages * ratios, -advantages * ratios.clamp(1 - clip, 1 + clip))


def value_losses(new: Any, old: Any, returns: Any, clip: float) -> Any:
    """Half the squared error, the greater of the value's and of the one held within `clip` of what it was."""
    held = old + (new - old).clamp(-clip, clip)
    return 0.5 * torch.maximum((new - returns) ** 2, (held - returns) ** 2)
