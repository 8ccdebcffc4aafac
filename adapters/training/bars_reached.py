"""The recipe's gate: which of its bars a run's figures do not reach."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.training.old_tasks import forgotten
from adapters.training.recipe import Recipe


def gate_problems(recipe: Recipe, figures: Mapping[str, float]) -> list[str]:
    """Which of the recipe's bars the figures do not reach."""
    gate = recipe.gate
    loss, base = figures.get("held_out_loss"), figures.get("base_held_out_loss")
    problems = []
    if gate.max_held_out_loss is not None and loss is not None and loss > gate.max_held_out_loss:
        problems.append(f"held-out loss {loss:.3f} is above gate.max_held_out_loss {gate.max_held_out_loss}")
    if gate.min_gain > 0 and loss is not None and base is not None and base - loss < gate.min_gain:
        problems.append(f"held-out loss fell by {base - loss:.3f}, gate.min_gain is {gate.min_gain}")
    rise = gate.max_loss_rise
    if rise is not None and loss is not None and base is not None and loss - base > rise:
        problems.append(f"held-out loss rose by {loss - base:.4f}, gate.max_loss_rise is {rise:g}")
    if figures.get("kept_step") == 0:
        problems.append(
            "no evaluated policy within the bounds had more gold reward than what it started from"
        )
    for name in ("preference_accuracy", "reward_margin", "rank_correlation", "gold_gain"):
        bar, value = getattr(gate, f"min_{name}"), figures.get(name)
        if bar is not None and value is not None and value < bar:
            problems.append(f"{name.replace('_', ' ')} {value:.3f} is below gate.min_{name} {bar:g}")
    return [*problems, *forgotten(gate, figures)]
