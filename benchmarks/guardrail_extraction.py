"""Facts drawn from documents, against a list made by hand: is each value there, for the right product and attribute?

    python -m benchmarks.guardrail_extraction [FACTS.yaml] [--knowledge FOLDER] [--missing]

A listed fact counts as found when one typed fact of its document has
1. the value: the same number in the same unit, or for a text four fifths of its pairs of characters,
2. the product: half of the pairs of characters of the listed product's name in that of the fact,
3. the attribute: half of the pairs of characters of the listed attribute in the fact's subject, attribute, section
   and statement; and where several listed facts share product and attribute (a fee of each card), two thirds of the
   pairs of characters of the listed condition's first name.
The list's attributes are its author's words, not the documents': what is said otherwise counts as missing.
The assistant never reads the list.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from guardrails.evaluation.interval import wilson
from guardrails.knowledge.ingest import read_knowledge
from guardrails.knowledge.typed import TypedFact, typed_facts
from guardrails.values import parse_values

BANK = Path(__file__).resolve().parents[1] / "examples" / "bank"
STEPS = ("value", "product", "attribute")

UNITS: dict[str, tuple[str, Decimal]] = {
    "CNY": ("CNY", Decimal(1)), "CNY/year": ("CNY", Decimal(1)), "CNY/month": ("CNY", Decimal(1)),
    "CNY/mile": ("CNY", Decimal(1)), "USD": ("USD", Decimal(1)), "%": ("ratio", Decimal("0.01")),
    "permyriad/day": ("ratio", Decimal("0.0001")), "days": ("second", Decimal(86_400)),
    "hours": ("second", Decimal(3_600)), "minutes": ("second", Decimal(60)),
    "business_days": ("workday", Decimal(1)), "months": ("month", Decimal(1)), "years": ("month", Decimal(12)),
}  # fmt: skip
"""Units of the list as (unit of a value, how much of it one is); those not here are counts of any kind."""


@dataclass(frozen=True, slots=True)
class Located:
    """A typed fact with all that says what it is about."""

    fact: TypedFact
    about: str


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guardrail_extraction", description=__doc__)
    parser.add_argument("facts", type=Path, nargs="?", default=BANK / "evaluation" / "facts.yaml")
    parser.add_argument("--knowledge", type=Path, default=BANK / "policy" / "knowledge")
    parser.add_argument("--today", type=date.fromisoformat, default=date(2026, 11, 25))
    parser.add_argument(
        "--missing", action="store_true", help="print what was not found, and at which step it fell"
    )
    options = parser.parse_args()
    listed = yaml.safe_load(options.facts.read_text(encoding="utf-8"))["facts"]
    print_report(listed, by_document(options.knowledge, options.today), missing=options.missing)


def by_document(folder: Path, today: date) -> dict[str, list[Located]]:
    """Typed facts of every document, those that hold no more too, by the document's id."""
    knowledge, _ = read_knowledge(folder, today)
    found: dict[str, list[Located]] = defaultdict(list)
    for fact in (*knowledge.facts, *knowledge.superseded):
        for typed in typed_facts(fact):
            about = " ".join(
                (typed.subject, typed.attribute, fact.source.section, fact.statement, typed.condition)
            )
            found[fact.source.doc_id].append(Located(typed, about))
    return found


def print_report(
    listed: Iterable[Mapping[str, Any]], found: Mapping[str, list[Located]], *, missing: bool
) -> None:
    reached: Counter[str] = Counter()
    units: dict[str, list[bool]] = defaultdict(list)
    lost: list[tuple[str, Mapping[str, Any]]] = []
    total = 0
    listed = list(listed)
    shared = Counter((row["product"], row["attribute"]) for row in listed)
    for row in listed:
        total += 1
        name = (
            re.split(r"[；;，、（]", row["condition"] or "")[0]
            if shared[row["product"], row["attribute"]] > 1
            else ""
        )
        step = how_far(row, name, found.get(row["source"].partition(" / ")[0], []))
        reached.update(STEPS[:step])
        units["text" if row["unit"] == "text" else "number"].append(step == len(STEPS))
        if step < len(STEPS):
            lost.append((STEPS[step], row))
    print(f"{sum(map(len, found.values()))} typed facts of {len(found)} documents; {total} listed")
    for name in STEPS:
        low, high = wilson(reached[name], total)
        rate = f"{reached[name] / total:6.1%} [{low:.2f}, {high:.2f}]"
        print(f"  with the right {name:10} {reached[name]:4}/{total}  {rate}")
    for unit, whole in sorted(units.items()):
        print(f"  of those with a {unit:8} {sum(whole):4}/{len(whole)}  {sum(whole) / len(whole):6.1%}")
    for step, row in lost if missing else ():
        said = f"{row['attribute']} | {row['value']} {row['unit']} | {row['condition']} | {row['source']}"
        print(f"{step:10} {row['id']:32} {said}")


def how_far(row: Mapping[str, Any], name: str, located: Iterable[Located]) -> int:
    """How many of STEPS the best of the facts reaches. `name`: whose value it is, where the attribute has several."""
    best = 0
    for one in located:
        if not has_value(row, one):
            continue
        best = max(best, 1)
        if share(row["product"], one.fact.product) < 0.5:
            continue
        best = max(best, 2)
        if share(row["attribute"], one.about) >= 0.5 and share(name, one.about) >= 0.66:
            return 3
    return best


def has_value(row: Mapping[str, Any], one: Located) -> bool:
    value = one.fact.value
    if row["unit"] == "text":
        return share(row["value"], one.fact.text) >= 0.8
    number = Decimal(row["value"])
    if value is None:
        return False
    unit, scale = UNITS.get(row["unit"], ("", Decimal(1)))
    if number == 0 and value.kind == "free":
        return value.number == 0
    return (not unit or value.unit == unit) and number * scale in {value.number, value.upper}


def share(wanted: str, text: str) -> float:
    """Share of the pairs of characters of `wanted` that `text` has; numbers are compared as values."""
    plain, where = squeeze(wanted), squeeze(text)
    if plain in where:
        return 1.0
    pairs = {plain[at : at + 2] for at in range(len(plain) - 1)} or {plain}
    missing = {pair for pair in pairs if pair not in where}
    digits = {value.number for value in parse_values(wanted)}
    if digits and digits <= {value.number for value in parse_values(text)}:
        missing = {pair for pair in missing if not any(char.isdigit() for char in pair)}
    return 1 - len(missing) / len(pairs)


def squeeze(text: str) -> str:
    return re.sub(r"[\s，。；：、“”（）()·《》.,;:~～—-]+", "", text).casefold()


if __name__ == "__main__":
    main()
