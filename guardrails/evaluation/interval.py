"""How sure a share is."""

from __future__ import annotations

from math import sqrt


def wilson(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """The Wilson score interval of a share, 95 % by default (Wilson 1927); (0, 1) without trials."""
    if not trials:
        return 0.0, 1.0
    share, square = successes / trials, z * z / trials
    middle = (share + square / 2) / (1 + square)
    half = z * sqrt(share * (1 - share) / trials + square / (4 * trials)) / (1 + square)
    return round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)
