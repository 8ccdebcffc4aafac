"""How well the fact check does on labelled claims."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

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
    """The claims of a JSONL file, or of a YAML file that groups them by evidence; an error names the line.

    A YAML file is a list of `{evidence: text or list, claims: [[label, kind, claim], ...]}`; its name is the language
    of its claims.
    """
    if path.suffix in {".yaml", ".yml"}:
        return _grouped(path)
    found = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                found.append(_claim(path, number, line))
    return found


def _grouped(path: Path) -> list[Claim]:
    try:
        groups = yaml.safe_load(path.read_text(encoding="utf-8"))
        return [
            Claim(f"{at}.{place}", path.stem, _texts(group["evidence"]), str(claim), Label(label), str(kind))
            for at, group in enumerate(groups, start=1)
            for place, (label, kind, claim) in enumerate(group["claims"], start=1)
        ]
    except (ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise PolicyProblem(path, f"not claims grouped by evidence: {error}") from error


def _claim(path: Path, number: int, line: str) -> Claim:
    try:
        row = json.loads(line)
        evidence = _texts(row["evidence"])
        label = Label(row["label"])
        lang = str(row.get("lang", ""))
        return Claim(
            str(row.get("id", number)), lang, evidence, str(row["claim"]), label, str(row.get("kind", ""))
        )
    except (ValueError, KeyError, TypeError) as error:
        raise PolicyProblem(path, f"not a claim: {error}", number) from error


def _texts(given: object) -> tuple[str, ...]:
    if isinstance(given, (str, Mapping)):
        return (_text(given),)
    if not isinstance(given, Sequence):
        raise TypeError("evidence is a text or a list of texts")
    return tuple(map(_text, given))


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
