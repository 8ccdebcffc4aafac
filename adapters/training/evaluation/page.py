"""An evaluation as one HTML page, without anything from outside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from adapters.training.evaluation.comparison import Part
from adapters.training.evaluation.judging import Judged
from adapters.training.evaluation.scores import Share
from adapters.training.evaluation.wording import difference_text, score_rows

MAX_SHOWN = 200
"""Single answers on the page; the JSON has all."""
_WIDTH, _ROW = 560, 26
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1f2328 }
table { border-collapse: collapse; margin: 1rem 0 } .wide { overflow-x: auto }
th, td { text-align: left; padding: .3rem 1.2rem .3rem 0; border-bottom: 1px solid #d1d9e0; vertical-align: top }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere } .right { color: #1a7f37 } .wrong { color: #c62828 }
summary { cursor: pointer } svg { max-width: 100% } .bars { font-weight: 600 }
"""


def page(
    title: str,
    parts: Sequence[Part],
    about: Sequence[tuple[str, str]],
    *,
    answers: bool,
    verdict: Sequence[str] = (),
) -> str:
    """The page. `about`: name and text of how it was made; `verdict`: what a gate says, one sentence a bar."""
    told = "".join(f"<p class='bars'>{escape(line)}</p>\n" for line in verdict)
    return (
        f"<!doctype html>\n<html lang='en'>\n<meta charset='utf-8'>\n<title>{escape(title)}</title>\n"
        f"<style>{_STYLE}</style>\n<h1>{escape(title)}</h1>\n{told}"
        f"<table>{''.join(_cells('th', name) + _cells('td', text) + '</tr>' for name, text in about)}</table>\n"
        + "\n".join(_part(part, answers=answers) for part in parts)
        + "\n<p>Intervals are 95 %: Wilson's for shares, Tango's for differences, of order statistics for times. "
        "McNemar's test is exact and two-sided.</p>\n</html>\n"
    )


def _part(part: Part, *, answers: bool) -> str:
    names = "".join(f"<th>{escape(name)}" for name in part.scores)
    rows = "".join(
        f"<tr><th>{escape(name)}{''.join(f'<td>{escape(cell)}' for cell in cells)}</tr>\n"
        for name, cells in score_rows(part)
    )
    differences = "".join(f"<li>{escape(difference_text(one))}</li>" for one in part.differences)
    return (
        f"<h2>{escape(part.questions.name)}: {len(part.questions.rows)} questions</h2>\n"
        f"{_drawn([(name, scores.accuracy) for name, scores in part.scores.items()])}"
        f"<div class='wide'><table><tr><th>{names}</tr>\n{rows}</table></div>\n<ul>{differences}</ul>\n"
        f"{''.join(_singles(part)) if answers else ''}"
    )


def _drawn(shares: Sequence[tuple[str, Share]]) -> str:
    """Right answers as points with their intervals, from 0 to 100 %."""
    height = _ROW * len(shares) + 20
    marks = []
    for at, (name, share) in enumerate(shares):
        y = at * _ROW + 18
        low, high, rate = (
            20 + value * (_WIDTH - 200) for value in (share.low, share.high, share.rate or 0.0)
        )
        marks.append(
            f"<line x1='{low:.1f}' x2='{high:.1f}' y1='{y}' y2='{y}' stroke='#1f6feb' stroke-width='2'/>"
            f"<circle cx='{rate:.1f}' cy='{y}' r='4' fill='#1f6feb'/>"
            f"<text x='{_WIDTH - 165}' y='{y + 4}' font-size='13'>{escape(name)}</text>"
        )
    edges = "".join(
        f"<line x1='{20 + share * (_WIDTH - 200):.1f}' x2='{20 + share * (_WIDTH - 200):.1f}' y1='0' y2='{height}' "
        "stroke='#d1d9e0'/>"
        for share in (0, 0.25, 0.5, 0.75, 1)
    )
    label = "right answers from 0 to 100 %, with 95 % intervals"
    return (
        f"<svg viewBox='0 0 {_WIDTH} {height}' width='{_WIDTH}' height='{height}' role='img' aria-label='{label}'>"
        f"{edges}{''.join(marks)}</svg>\n"
    )


def _singles(part: Part) -> Iterator[str]:
    """Questions that somebody got wrong, with all answers."""
    rows = [
        at
        for at in range(len(part.questions.rows))
        if any(not judged[at].right for judged in part.judged.values())
    ]
    if not rows:
        return
    yield (
        f"<details><summary>{len(rows)} questions that not all got right"
        f"{f', the first {MAX_SHOWN} here' if len(rows) > MAX_SHOWN else ''}</summary>\n<table>"
    )
    for at in rows[:MAX_SHOWN]:
        row = part.questions.rows[at]
        asked = " / ".join(one["content"] for one in row["messages"] if one["role"] == "user")
        yield f"<tr><th>{escape(str(row['id']))}<td>{escape(asked[:500])}</tr>\n"
        for name, judged in part.judged.items():
            yield f"<tr><td>{escape(name)}<td>{_told(judged[at])}</tr>\n"
    yield "</table></details>\n"


def _told(one: Judged) -> str:
    mark = (
        "<b class='right'>right</b>"
        if one.right
        else f"<b class='wrong'>{escape(', '.join(one.problems))}</b>"
    )
    doubts = [
        *(
            ["wrong value" + (f" (documents: {one.against[:300]})" if one.against else "")]
            if one.contradicted
            else []
        ),
        *(["value not in the documents"] if one.unproved else []),
        *([one.answer.error] if one.answer.error else []),
    ]
    return f"{mark} [{escape(one.verdict)}] {escape('; '.join(doubts))} {escape(one.answer.text[:600])}"


def _cells(tag: str, text: str) -> str:
    return f"{'<tr>' if tag == 'th' else ''}<{tag}>{escape(text)}</{tag}>"
