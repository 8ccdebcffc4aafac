"""Scores as a person reads them, the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from adapters.training.evaluation.comparison import Part
from adapters.training.evaluation.scores import Difference, Scores, Share
from adapters.training.evaluation.statistics import Quantile


def share_text(share: Share | None) -> str:
    """`81.3% (75.6–85.9) of 228`."""
    if share is None or share.rate is None:
        return "–"
    return f"{share.rate:.1%} ({share.low * 100:.1f}–{share.high * 100:.1f}) of {share.of}"


def time_text(quantile: Quantile | None) -> str:
    """`1.21 s (1.10–1.40)`; an end that so few answers cannot give is open."""
    if quantile is None:
        return "–"
    low = "…" if quantile.low is None else f"{quantile.low:.2f}"
    high = "…" if quantile.high is None else f"{quantile.high:.2f}"
    return f"{quantile.value:.2f} s ({low}–{high})"


def difference_text(one: Difference) -> str:
    """One sentence about two contenders."""
    return (
        f"{one.second} against {one.first}: {one.difference:+.1%} ({one.low:+.1%} to {one.high:+.1%}) right "
        f"of {one.of}; "
        f"only {one.second} right {one.only_second}, only {one.first} right {one.only_first}; "
        f"exact McNemar p = {p_text(one.p)}"
    )


def p_text(p: float) -> str:
    """Never a rounded zero."""
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"


def score_rows(part: Part) -> Iterator[tuple[str, list[str]]]:
    """Name and the contenders' cells of each row of the table. Intervals are 95 %."""
    every = list(part.scores.values())

    def row(name: str, cell: Callable[[Scores], str]) -> tuple[str, list[str]]:
        return name, [cell(one) for one in every]

    yield row("right", lambda one: share_text(one.accuracy))
    yield row("wrong values", lambda one: share_text(one.fact_failures))
    if any(one.unproved is not None for one in every):
        yield row("values not documented", lambda one: share_text(one.unproved))
    yield row("handed over, has an answer", lambda one: share_text(one.handed_over))
    yield row("refused, has an answer", lambda one: share_text(one.refused))
    if any(one.answered_instead.of for one in every):
        yield row("answered, has none", lambda one: share_text(one.answered_instead))
    if any(one.errors for one in every):
        yield row("no answer came", lambda one: str(one.errors))
    if any(one.seconds["p50"] and one.seconds["p50"].value for one in every):
        for name, key in (("median", "p50"), ("95th percentile", "p95")):
            yield row(f"time, {name}", lambda one, key=key: time_text(one.seconds[key]))  # type: ignore[misc]
    if any(one.first["p50"] for one in every):
        for name, key in (("median", "p50"), ("95th percentile", "p95")):
            yield row(f"first text, {name}", lambda one, key=key: time_text(one.first[key]))  # type: ignore[misc]
    for title, group in (("kind", "kinds"), ("language", "languages")):
        names = list(dict.fromkeys(name for one in every for name in getattr(one, group)))
        if len(names) > 1:
            for name in names:
                yield row(
                    f"right, {title} {name or '–'}",
                    lambda one, name=name, group=group: share_text(getattr(one, group).get(name)),  # type: ignore[misc]
                )
