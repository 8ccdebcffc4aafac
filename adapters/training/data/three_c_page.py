"""The 3C report as one HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

MAX_DOUBTS = 100
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; width: 100%; margin-bottom: 2rem }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
.pass { color: #1a7f37 } .fail { color: #c62828; font-weight: 600 } .told { color: #777 }
summary { cursor: pointer; color: #555 } li { margin: .2rem 0; overflow-wrap: anywhere }
"""


def page(report: Mapping[str, Any], doubts: Sequence[Mapping[str, Any]]) -> str:
    """The page of a report's record; `doubts` are rows of the review file."""
    verdict = "passed" if report["passed"] else "failed"
    against = f", against {escape(report['against'])}" if report["against"] else ""
    groups = dict.fromkeys(measure["group"] for measure in report["measures"])
    parts = [
        "<!doctype html>\n<html lang='en'>\n<meta charset='utf-8'>\n<title>3C report</title>",
        f"<style>{_STYLE}</style>\n<h1>3C report: <span class='{verdict[:4]}'>{verdict}</span></h1>",
        f"<p>{escape(report['file'])}: {report['rows']:,} rows, checked with the policy {escape(report['policy'])}"
        f" as of {escape(report['today'])}{against}.</p>",
    ]
    for group in groups:
        rows = "".join(_row(measure) for measure in report["measures"] if measure["group"] == group)
        parts.append(
            f"<h2>{escape(group.capitalize())}</h2>\n<table><tr><th>measure<th>value<th>bar<th></tr>{rows}</table>"
        )
    if doubts:
        shown = _list(
            f"line {doubt['line']}, {doubt['reason']}: {doubt['question'][-200:]} → {doubt['answer'][:300]}"
            for doubt in doubts[:MAX_DOUBTS]
        )
        parts.append(
            f"<h2>For review</h2>\n<p>{len(doubts)} findings, the first {MAX_DOUBTS} here.</p>{shown}"
        )
    return "\n".join(parts) + "\n</html>\n"


def _row(measure: Mapping[str, Any]) -> str:
    sign = "≥ " if measure["at_least"] else "≤ "
    bar = "" if measure["bar"] is None else sign + figure(measure["bar"], measure["is_share"])
    mark = ("told", "") if not bar else ("pass", "passed") if measure["passed"] else ("fail", "failed")
    examples = measure["examples"]
    more = (
        f"<details><summary>{len(examples)} examples</summary>{_list(examples)}</details>" if examples else ""
    )
    return (
        f"<tr><td><b>{escape(measure['name'])}</b><br>{escape(measure['note'])}{more}"
        f"<td class='number'>{figure(measure['value'], measure['is_share'])}<td class='number'>{bar}"
        f"<td class='{mark[0]}'>{mark[1]}</tr>\n"
    )


def figure(value: float, is_share: bool) -> str:
    """A share in per cent, a count as it is."""
    return f"{value:.2%}" if is_share else f"{value:,.0f}"


def _list(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"
