"""The weights and thresholds of the answers, fitted on labelled questions, with the bound they keep.

    python -m benchmarks.answer_weights [FILE …] [--policy FOLDER]

Prints `WEIGHTS` of guardrails/answers/select.py (which fact answers: softmax over the candidates, a fact is right
where it holds a wording the row must include), and `WEIGHTS`, `BIAS` of guardrails/answers/gate.py (whether one
does: logistic regression). Unanswerable questions are few, so an answerable one whose section is taken away counts as
one of a tenth of the weight; a labelled one counts three times. For each language: how well the two sides come apart,
and for thresholds the share of answerable questions handed over and of unanswerable ones answered, with the upper end
of the one-sided 95 % Clopper-Pearson interval. Nothing here reads the questions that are only for reporting.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from guardrails.answers.answers import Answers, load_answers
from guardrails.answers.compose import english_values
from guardrails.answers.gate import BIAS, Evidence, evidence_of, hard_reason
from guardrails.answers.gate import WEIGHTS as GATE_WEIGHTS
from guardrails.answers.select import SIGNALS, Scored
from guardrails.answers.select import WEIGHTS as RANK_WEIGHTS
from guardrails.evaluation.questions import folded
from guardrails.message import Message

ROOT = Path(__file__).resolve().parents[1]
TUNE = ROOT / "examples" / "bank" / "evaluation" / "questions_tune.jsonl"
BANK = ROOT / "examples" / "bank" / "policy"
CACHE = ROOT / "var" / "bench" / "answers" / "weights.npz"
LABELLED, MADE = 3.0, 0.1
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Example:
    """A question's candidates, one row of signals each, and which of them are right; the evidence for the best."""

    lang: str
    signals: Numbers
    right: Numbers
    evidence: tuple[float, ...]
    answerable: bool
    weight: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answer_weights", description=__doc__)
    parser.add_argument("files", type=Path, nargs="*", default=[TUNE])
    parser.add_argument("--policy", type=Path, default=BANK)
    parser.add_argument("--today", type=date.fromisoformat, default=date(2026, 11, 25))
    options = parser.parse_args()
    answers = load_answers(options.policy, today=options.today, cache=CACHE)
    if answers is None:
        raise SystemExit(f"no documents in {options.policy}")
    rows = [
        json.loads(line) for path in options.files for line in path.read_text(encoding="utf-8").splitlines()
    ]
    examples = [
        one for row in rows if row["expect"] in {"answer", "fallback"} for one in examples_of(answers, row)
    ]
    ranked = fit_ranking([one for one in examples if one.right.any() and one.weight == 1.0])
    print("ranking", dict(zip(SIGNALS, ranked.round(2).tolist(), strict=True)), "now", RANK_WEIGHTS)
    names = [field.name for field in fields(Evidence)]
    weights, bias = fit_gate(examples)
    print("gate", dict(zip(names, weights.round(2).tolist(), strict=True)), bias, "now", GATE_WEIGHTS, BIAS)
    for lang in ("zh", "en"):
        report(lang, [one for one in examples if one.lang == lang and one.weight != MADE])


def examples_of(answers: Answers, row: Mapping[str, Any]) -> list[Example]:
    """One question, and the same with the sections that answer it taken away."""
    messages = tuple(Message(one["role"], one["content"]) for one in row["messages"])
    question, ranked = answers.search(messages)
    if not ranked or not question.units or hard_reason(question, answers.index.lexicon):
        return []
    groups = row.get("must_include", ())
    right = np.array([share(one, groups) for one in ranked])
    goal = 1.0 if right.max(initial=0) >= 1 and len(groups) == 1 else max(right.max(initial=0) / 2, 0.01)

    def made(scored: Sequence[Scored], answerable: bool, weight: float) -> Example:
        signals = np.array([[getattr(one.signals, name) for name in SIGNALS] for one in scored])
        evidence = evidence_of(question, scored, answers.index)
        values = tuple(float(getattr(evidence, field.name)) for field in fields(Evidence))
        return Example(row["lang"], signals, (right >= goal).astype(float), values, answerable, weight)

    if row["expect"] != "answer":
        return [made(ranked, False, LABELLED)]
    found = [one for one, part in zip(ranked, right, strict=True) if part > 0][:3]
    gone = {(one.fact.source.doc_id, one.fact.source.section) for one in found}
    rest = [
        one
        for one, part in zip(ranked, right, strict=True)
        if not part and (one.fact.source.doc_id, one.fact.source.section) not in gone
    ]
    return [made(ranked, True, 1.0)] + ([made(rest, False, MADE)] if found and len(rest) > 3 else [])


def share(one: Scored, groups: Sequence[Sequence[str]]) -> float:
    """Of the wordings a row must include, those a fact has."""
    text = folded(f"{one.fact.statement} {english_values(one.fact.value)}")
    return sum(any(folded(wording) in text for wording in group) for group in groups) / max(1, len(groups))


def fit_ranking(examples: Sequence[Example]) -> Numbers:
    """Maximum likelihood of the right facts among the candidates, with a small ridge."""

    def gradient(weights: Numbers) -> Numbers:
        total = -0.003 * len(examples) * weights * np.where(np.array(SIGNALS) == "dense", 0.01, 1.0)
        for one in examples:
            odds = one.signals @ weights
            chance = np.exp(odds - odds.max())
            chance /= chance.sum()
            given = chance * one.right
            total += (given / given.sum() - chance) @ one.signals
        return total / len(examples)

    return climb(gradient, np.array(RANK_WEIGHTS, dtype=float))


def fit_gate(examples: Sequence[Example]) -> tuple[Numbers, dict[str, float]]:
    """Logistic regression with a small ridge; one bias a language."""
    values = np.array([[*one.evidence, one.lang == "zh", one.lang == "en"] for one in examples], dtype=float)
    labels = np.array([one.answerable for one in examples], dtype=float)
    counts = np.array([one.weight for one in examples])
    ridge = np.r_[np.full(values.shape[1] - 2, 0.002), 0.0, 0.0]

    def gradient(weights: Numbers) -> Numbers:
        chance = 1 / (1 + np.exp(-values @ weights))
        return np.asarray(((labels - chance) * counts) @ values / counts.sum() - ridge * weights)

    weights = climb(gradient, np.zeros(values.shape[1]))
    return weights[:-2], {"zh": round(float(weights[-2]), 2), "en": round(float(weights[-1]), 2)}


def climb(
    gradient: Callable[[Numbers], Numbers], start: Numbers, steps: int = 1500, pace: float = 0.03
) -> Numbers:
    """Adam."""
    weights, mean, square = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for _ in range(steps):
        slope = gradient(weights)
        mean, square = 0.9 * mean + 0.1 * slope, 0.99 * square + 0.01 * slope**2
        weights += pace * np.maximum(1.0, np.abs(start) / 10) * mean / (np.sqrt(square) + 1e-6)
    return weights


def report(lang: str, examples: Sequence[Example]) -> None:
    """With the weights in the code: how far apart the two sides are, and what each threshold costs."""
    chances = np.array([Evidence(*one.evidence).probability(one.lang) for one in examples])
    answerable = np.array([one.answerable for one in examples])
    yes, no = chances[answerable], chances[~answerable]
    if not len(yes) or not len(no):
        return
    print(f"{lang}: {len(yes)} answerable, {len(no)} not; apart {np.mean(yes[:, None] > no[None]):.3f}")
    for threshold in (0.3, 0.35, 0.4, 0.45, 0.5, 0.6):
        handed, answered = int((yes < threshold).sum()), int((no >= threshold).sum())
        print(
            f"  {threshold:.2f}: answerable handed over {handed / len(yes):.1%} "
            f"(at most {upper(handed, len(yes)):.1%}), "
            f"others answered {answered / len(no):.1%} (at most {upper(answered, len(no)):.1%})"
        )


def upper(count: int, total: int, level: float = 0.95) -> float:
    """One-sided Clopper-Pearson bound: the share at which `count` or fewer of `total` has the chance 1 - level."""
    if count >= total:
        return 1.0
    low, high = count / total, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if at_most(count, total, middle) < 1 - level else (middle, high)
    return high


def at_most(count: int, total: int, share: float) -> float:
    """Binomial probability of `count` or fewer."""
    term, found = (1 - share) ** total, 0.0
    for number in range(count + 1):
        found += term
        term *= (total - number) / (number + 1) * share / (1 - share)
    return found


if __name__ == "__main__":
    main()
