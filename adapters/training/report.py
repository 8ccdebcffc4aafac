"""One page that says what a run did: plan, curves, figures, what was made. HTML without anything from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

WIDTH, HEIGHT = 640, 200
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700")

Curve = Sequence[tuple[int, float]]


def write_report(
    path: Path,
    *,
    title: str,
    facts: Sequence[tuple[str, str]],
    figures: Mapping[str, float],
    curves: Mapping[str, Curve],
    outcome: str,
    recipe: str,
    loss: str,
) -> None:
    """Raises OSError. `facts`: pairs of name and text; `recipe`: the recipe file as it was; `loss`: what the
    curves' values are.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    lowest, highest = _range(curves)
    page = environment.get_template("report.html.jinja").render(
        title=title,
        facts=facts,
        figures=sorted(figures.items()),
        lines=_lines(curves),
        lowest=lowest,
        highest=highest,
        width=WIDTH,
        height=HEIGHT,
        outcome=outcome,
        recipe=recipe,
        loss=loss,
    )
    aside = path.with_suffix(".partial")
    aside.write_text(page, encoding="utf-8")
    aside.replace(path)


def _lines(curves: Mapping[str, Curve]) -> list[dict[str, str]]:
    """Each curve as the points of an SVG polyline, all on one scale."""
    last = max((step for curve in curves.values() for step, _ in curve), default=1)
    low, high = _range(curves)
    span = (high - low) or 1.0
    return [
        {
            "name": name,
            "colour": COLOURS[index % len(COLOURS)],
            "points": " ".join(
                f"{step / last * WIDTH:.1f},{HEIGHT - (value - low) / span * HEIGHT:.1f}"
                for step, value in curve
            ),
        }
        for index, (name, curve) in enumerate(sorted(curves.items()))
    ]


def _range(curves: Mapping[str, Curve]) -> tuple[float, float]:
    values = [value for curve in curves.values() for _, value in curve] or [0.0]
    return min(values), max(values)
