"""How well denied terms are found: evasions caught, harmless texts left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from guardrails.evaluation.interval import wilson
from guardrails.verdict import Decision
from guardrails.words import Term, WordCheck
from guardrails.words.pattern import pattern_of

EXPECTED = ("block", "allow")
"""What a text may expect."""


def evaluate(rows: Sequence[Mapping[str, Any]], terms: Sequence[str]) -> dict[str, Any]:
    """Counts and shares by side, kind and language, and the ids of what went wrong; never a text or a term."""
    blocks = _matcher(terms)
    judged = [(row, blocks(str(row.get("text", "")))) for row in rows]
    groups: dict[str, Any] = {"terms": len(terms)}
    groups["expect"] = {
        side: _share(judged_one for judged_one in judged if _side(judged_one[0]) == side) for side in EXPECTED
    }
    for field in ("kind", "lang"):
        names = sorted({f"{_side(row)}.{row[field]}" for row, _ in judged if row.get(field)})
        groups[field] = {
            name: _share(one for one in judged if f"{_side(one[0])}.{one[0].get(field)}" == name)
            for name in names
        }
    groups["missed"] = [str(row.get("id", "")) for row, hit in judged if _side(row) == "block" and not hit]
    groups["false_blocks"] = [str(row.get("id", "")) for row, hit in judged if _side(row) == "allow" and hit]
    return groups


def _side(row: Mapping[str, Any]) -> str:
    return str(row.get("expect", ""))


def _share(judged: Iterable[tuple[Mapping[str, Any], bool]]) -> dict[str, Any]:
    hits = [hit for _, hit in judged]
    blocked = sum(hits)
    low, high = wilson(blocked, len(hits))
    rate = round(blocked / len(hits), 4) if hits else None
    return {"count": len(hits), "blocked": blocked, "rate": rate, "low": low, "high": high}


def _matcher(terms: Sequence[str]) -> Callable[[str], bool]:
    """The real check with its default settings, every term in force."""
    denied = [
        Term(term, f"line.{number}") for number, term in enumerate(terms, 1) if pattern_of(term, 0).letters
    ]
    check = WordCheck(denied)
    return lambda text: check.check(text).decision is Decision.BLOCK
