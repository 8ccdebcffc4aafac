"""What a private run promises, known before it starts, and the checks without which the promise would be empty.

(ε, δ)-differential privacy for one row added or removed: subsampled Gaussian mechanism (Abadi and others 2016,
arXiv:1607.00133), Poisson sampling, composed in Rényi terms (Mironov and others 2019, arXiv:1908.10530) by Opacus,
which gives an upper bound.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

from opacus import __version__ as opacus_version
from opacus.accountants import RDPAccountant
from opacus.accountants.utils import get_noise_multiplier

from adapters.training.conversation import BadRows, Conversation
from adapters.training.recipe import Private

UNIT = "one row of the training data, added or removed"
ACCOUNTANT = f"Rényi (opacus {opacus_version}), Poisson sampling"
_ORDERS = [*RDPAccountant.DEFAULT_ALPHAS, 80, 96, 128, 192, 256, 384, 512]
"""Opacus' end at 63, which is too low for an ε well below 1."""
_SHOWN = 20

History = list[tuple[float, float, int]]
"""What was done: (noise multiplier, sampling rate, how many such steps)."""


@dataclass(frozen=True, slots=True)
class Guarantee:
    """`noise_multiplier` in units of `clip`; `sampling_rate`: the chance with which a step uses a row."""

    epsilon: float
    delta: float
    noise_multiplier: float
    sampling_rate: float
    steps: int
    clip: float

    def lines(self) -> tuple[tuple[str, str], ...]:
        """What a person reads."""
        return (
            ("privacy", f"ε = {self.epsilon:.3g} at δ = {self.delta:g}, for {UNIT}"),
            (
                "noise",
                f"{self.noise_multiplier:.4g} × clip {self.clip:g}; {self.sampling_rate:.3%} of the rows a step",
            ),
        )

    def card(self) -> dict[str, float | str]:
        """As the card, the result and the report carry it."""
        return {
            "epsilon": self.epsilon,
            "delta": self.delta,
            "noise_multiplier": self.noise_multiplier,
            "sampling_rate": self.sampling_rate,
            "steps": self.steps,
            "clip": self.clip,
            "unit": UNIT,
            "accountant": ACCOUNTANT,
        }


def promise(settings: Private, rows: int, steps: int) -> Guarantee:
    """What `steps` steps on `rows` rows will have spent. Raises ValueError where the recipe cannot be kept."""
    expected = settings.batch * settings.accumulate
    if expected > rows:
        raise ValueError(
            f"method.batch × method.accumulate is {expected}, there are {rows} rows; lower one of them"
        )
    if settings.delta >= 1 / rows:
        raise ValueError(
            f"method.delta {settings.delta:g} would allow giving one of the {rows:,} rows away whole; "
            f"take less than {1 / rows:.2g}, better {0.1 / rows:.2g}"
        )
    rate = expected / rows
    noise = settings.noise_multiplier
    if noise is None:
        assert settings.epsilon is not None
        noise = _noise_for(settings.epsilon, settings.delta, rate, steps)
    return Guarantee(
        spent([(noise, rate, steps)], settings.delta), settings.delta, noise, rate, steps, settings.clip
    )


def kept(promised: Guarantee, history: History) -> Guarantee:
    """The guarantee of what was really done."""
    return replace(
        promised,
        epsilon=spent(history, promised.delta),
        steps=sum(steps for _, _, steps in history),
    )


def spent(history: History, delta: float) -> float:
    """ε of `history` at `delta`, an upper bound."""
    accountant = RDPAccountant()
    accountant.history = list(history)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # an order at the range's end: still a bound, only not the best
        return float(accountant.get_epsilon(delta, alphas=_ORDERS))


def _noise_for(epsilon: float, delta: float, rate: float, steps: int) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            return float(
                get_noise_multiplier(
                    target_epsilon=epsilon,
                    target_delta=delta,
                    sample_rate=rate,
                    steps=steps,
                    epsilon_tolerance=epsilon / 1000,
                    alphas=_ORDERS,
                )
            )
        except ValueError as error:
            raise ValueError(
                f"method.epsilon {epsilon:g} at delta {delta:g} is below what can be accounted"
            ) from error


def check_unit(
    train: Sequence[Conversation], train_file: str, held_out: Sequence[Conversation], held_out_file: str
) -> None:
    """Raises BadRows for rows that occur twice, or that are also held out.

    A row said twice would have twice the ε, and the loss on a held-out row is published without noise.
    """
    first: dict[object, int] = {}
    problems: list[str] = []
    for row in train:
        line = first.setdefault(row.turns, row.line)
        if line != row.line:
            problems.append(
                f"{train_file}:{row.line}: the same as line {line}; ε holds for a row that occurs once"
            )
    for row in held_out:
        if row.turns in first:
            problems.append(
                f"{held_out_file}:{row.line}: also in {train_file}:{first[row.turns]}; its loss would be published"
            )
    if problems:
        more = len(problems) - _SHOWN
        raise BadRows("\n".join(problems[:_SHOWN]) + (f"\n… and {more} more" if more > 0 else ""))
