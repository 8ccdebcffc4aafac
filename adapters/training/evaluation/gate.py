"""Whether what was measured reaches a recipe's bars: each with its figure and interval, and by how much it missed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from adapters.training.evaluation.bars import Evaluate
from adapters.training.evaluation.comparison import Part
from adapters.training.evaluation.scores import Scores, Share, share
from adapters.training.evaluation.wording import p_text

SURE = 0.05
"""The p-value below which one model counts as better than another."""
BASE, RESULT = "base", "result"
"""The two contenders of a gate."""


@dataclass(frozen=True, slots=True)
class Held:
    """One bar. `value`, `low`, `high`: what was seen and its 95 % interval; `missed_by`: 0 where it is reached."""

    name: str
    bar: float | str
    value: float
    low: float
    high: float
    of: int
    passed: bool
    missed_by: float
    text: str


def held(settings: Evaluate, questions: Part, general: Part | None) -> list[Held]:
    """Every bar of the recipe, in the order of `Bars`. Both parts have the contenders BASE and RESULT."""
    return list(_held(settings, questions, general))


def _held(settings: Evaluate, questions: Part, general: Part | None) -> Iterator[Held]:
    bars, proven, scores = settings.bars, settings.proven, questions.scores[RESULT]
    if bars.accuracy is not None:
        yield _share("accuracy", bars.accuracy, scores.accuracy, proven, at_least=True)
    if bars.fact_failures is not None:
        yield _share("fact_failures", bars.fact_failures, scores.fact_failures, proven, at_least=False)
    if bars.handed_over is not None:
        yield _share("handed_over", bars.handed_over, ended_otherwise(scores), proven, at_least=False)
    if bars.forgetting is not None and general is not None:
        yield _forgetting(bars.forgetting, general, proven)
    if bars.better_than is not None:
        yield _better(bars.better_than, questions)


def ended_otherwise(scores: Scores) -> Share:
    """Questions with an answer that ended in anything else."""
    return share(scores.handed_over.count + scores.refused.count, scores.handed_over.of)


def forgot(general: Part) -> tuple[float, float, float]:
    """By how much the share of right answers fell from the base model's, with its 95 % interval."""
    fell = general.difference(RESULT, BASE)
    return fell.difference, fell.low, fell.high


def _share(name: str, bar: float, seen: Share, proven: bool, *, at_least: bool) -> Held:
    value = seen.rate if seen.rate is not None else 0.0 if at_least else 1.0
    return _judged(name, bar, value, seen.low, seen.high, seen.of, proven, at_least=at_least)


def _forgetting(bar: float, general: Part, proven: bool) -> Held:
    value, low, high = forgot(general)
    return _judged("forgetting", bar, value, low, high, len(general.questions.rows), proven, at_least=False)


def _judged(
    name: str, bar: float, value: float, low: float, high: float, of: int, proven: bool, *, at_least: bool
) -> Held:
    counted = value if not proven else low if at_least else high
    missed = max(0.0, bar - counted if at_least else counted - bar)
    seen = f"{name.replace('_', ' ')} {value:.1%} (95 % interval {low:.1%} to {high:.1%}, {of} questions)"
    end = f"its {'lower' if at_least else 'upper'} end " if proven else ""
    side = "below" if at_least else "above"
    text = (
        f"{seen}: {end}{missed * 100:.1f} points {side} evaluate.bars.{name} {bar:.1%}"
        if missed
        else f"{seen}: {end}reaches evaluate.bars.{name} {bar:.1%}"
    )
    return Held(name, bar, value, low, high, of, not missed, missed, text)


def _better(bar: str, questions: Part) -> Held:
    gained = questions.difference(BASE, RESULT)
    passed = gained.difference > 0 and gained.p < SURE
    seen = (
        f"right answers {gained.difference:+.1%} against the base model's (95 % interval {gained.low:+.1%} to "
        f"{gained.high:+.1%}, {gained.of} questions, exact McNemar p = {p_text(gained.p)})"
    )
    text = (
        f"{seen}: {'reaches' if passed else 'not proved better, as asked by'} evaluate.bars.better_than {bar}"
    )
    missed = 0.0 if passed else max(0.0, gained.p - SURE) if gained.difference > 0 else -gained.difference
    return Held(
        "better_than", bar, gained.difference, gained.low, gained.high, gained.of, passed, missed, text
    )
