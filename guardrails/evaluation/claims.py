"""How well the fact check does on labelled claims."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from guardrails.fact_check import Label, check_sentence
from guardrails.problem import PolicyProblem

_LABELS = tuple(label.value for label in Label)


@dataclass(frozen=True, slots=True)
class Claim:
    """One labelled claim. `kind` groups the figures; it may be empty."""

    id: str
    lang: str
    evidence: tuple[str, ...]
    claim: str
    label: Label
    kind: str = ""


def read_claims(path: Path) -> list[Claim]:
    """The claims of a JSONL file; an error names its line."""
    found = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                found.append(_claim(path, number, line))
    return found


def _claim(path: Path, number: int, line: str) -> Claim:
    try:
        row = json.loads(line)
        given = row["evidence"]
        evidence = (given,) if isinstance(given, str) else tuple(map(_text, given))
        label = Label(row["label"])
        lang = str(row.get("lang", ""))
        return Claim(
            str(row.get("id", number)), lang, evidence, str(row["claim"]), label, str(row.get("kind", ""))
        )
    except (ValueError, KeyError, TypeError) as error:
        raise PolicyProblem(path, f"not a claim: {error}", number) from error


def _text(one: object) -> str:
    if isinstance(one, Mapping):
        return str(one.get("text") or one.get("statement") or "")
    return str(one)


def check(claim: Claim) -> Label:
    """The fact check's own verdict on a claim."""
    return check_sentence(claim.claim, claim.evidence).label


def evaluate_claims(claims: Iterable[Claim], judge: Callable[[Claim], Label] = check) -> dict[str, object]:
    """Counts and rates, the confusion of labels, figures by kind and language, and what went wrong."""
    confusion = {label: dict.fromkeys(_LABELS, 0) for label in _LABELS}
    kinds: dict[str, Counter[str]] = {}
    langs: dict[str, Counter[str]] = {}
    failures = []
    for claim in claims:
        said = judge(claim)
        confusion[claim.label][said] += 1
        right = "right" if said is claim.label else "wrong"
        kinds.setdefault(claim.kind or claim.label, Counter())[right] += 1
        langs.setdefault(claim.lang, Counter())[right] += 1
        if said is not claim.label:
            failures.append(
                {"id": claim.id, "kind": claim.kind, "label": claim.label.value, "said": said.value}
            )
    return {
        "counts": {label: sum(row.values()) for label, row in confusion.items()},
        "rates": _rates(confusion),
        "confusion": confusion,
        "kinds": {name: _share(counts) for name, counts in sorted(kinds.items())},
        "languages": {name: _share(counts) for name, counts in sorted(langs.items())},
        "failures": failures,
    }


def _rates(confusion: Mapping[str, Mapping[str, int]]) -> dict[str, float | None]:
    supported, contradicted, unknown = (confusion[label] for label in _LABELS)
    return {
        "contradicted_caught": _rate(contradicted[Label.CONTRADICTED], contradicted.values()),
        "contradicted_stopped": _rate(
            contradicted[Label.CONTRADICTED] + contradicted[Label.NOT_FOUND], contradicted.values()
        ),
        "supported_refused": _rate(
            supported[Label.CONTRADICTED] + supported[Label.NOT_FOUND], supported.values()
        ),
        "not_found_recognised": _rate(unknown[Label.NOT_FOUND], unknown.values()),
        "not_found_stopped": _rate(unknown[Label.CONTRADICTED] + unknown[Label.NOT_FOUND], unknown.values()),
        "accuracy": _rate(
            sum(confusion[label][label] for label in _LABELS),
            [count for row in confusion.values() for count in row.values()],
        ),
    }


def _rate(part: int, whole: Iterable[int]) -> float | None:
    total = sum(whole)
    return round(part / total, 4) if total else None


def _share(counts: Counter[str]) -> dict[str, float | int | None]:
    total = counts["right"] + counts["wrong"]
    return {"count": total, "right": _rate(counts["right"], [total])}


def failures_of(report: Mapping[str, object]) -> Sequence[Mapping[str, str]]:
    """The failures of a report, for a table."""
    found = report["failures"]
    assert isinstance(found, list)
    return found
