"""Fraud rules, the wish for a person and prompt attacks on labelled texts, and their time.

    python -m benchmarks.guardrail_fraud [--policy FOLDER] [--json OUT] [--show]

The texts stand under tests/guardrails/{fraud,handoff,attack}/data, written before any rule. Their `dev` half was used
to write the rules, their `held` half only to report. Questions of the example bank that expect something else are
counted as harmless. `--show` prints the misjudged texts of the `dev` half. Time is that of texts the checks have not
seen before: automata are built as texts come, so a repeated text would cost less.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

from guardrails.attack.detect import load_attack
from guardrails.evaluation.interval import wilson
from guardrails.fraud.source import load_fraud
from guardrails.handoff.wish import load_handoff
from guardrails.verdict import Verdict

ROOT = Path(__file__).resolve().parents[1]
BANK = ROOT / "examples" / "bank"
DATA = ROOT / "tests" / "guardrails"
HALVES = ("dev", "held")
SETS = (
    ("fraud", "fraud/data/victims.jsonl", "warn"),
    ("fraud", "fraud/data/stories.jsonl", "warn"),
    ("fraud", "fraud/data/probes.jsonl", "block"),
    ("fraud", "fraud/data/harmless.jsonl", "allow"),
    ("handoff", "handoff/data/wishes.jsonl", "handoff"),
    ("handoff", "handoff/data/near_misses.jsonl", "allow"),
    ("handoff", "fraud/data/harmless.jsonl", "allow"),
    ("attack", "attack/data/attacks.jsonl", "block"),
    ("attack", "attack/data/near_misses.jsonl", "allow"),
    ("attack", "fraud/data/harmless.jsonl", "allow"),
)
EXPECTED = {"fraud_warning": "warn", "refuse": "block", "handoff": "handoff"}
TEXT_LENGTH = 500
TEXTS = 300

Check = Callable[[str], Verdict]


def main() -> None:
    options = arguments()
    started = time.perf_counter()
    checks = load(options.policy)
    report: dict[str, Any] = {"load_seconds": round(time.perf_counter() - started, 3)}
    report["sets"] = [
        one
        for check, name, expected in SETS
        for one in judge(checks[check], check, name, expected, options.show)
    ]
    report["questions"] = {half: questions(options.policy, half) for half in ("tune", "test")}
    report["dialogue"] = dialogue(checks)
    report["strung"] = {half: strung(checks["fraud"], half) for half in ("tune", "test")}
    report["microseconds"] = {"short": times(checks, short()), str(TEXT_LENGTH): times(checks, long())}
    for one in report["sets"]:
        low, high = one["interval"]
        print(
            f"{one['check']:8} {Path(one['set']).stem:12} {one['half']:5} {one['kind']:10} {one['lang']:3} "
            f"{one['right']:4}/{one['count']:<4} {one['right'] / one['count']:7.1%}  [{low:.1%}, {high:.1%}]"
        )
    print(
        json.dumps(
            {key: report[key] for key in ("questions", "dialogue", "strung", "microseconds", "load_seconds")},
            indent=1,
        )
    )
    if options.json:
        options.json.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guardrail_fraud", description=__doc__)
    parser.add_argument("--policy", type=Path, default=BANK / "policy")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--show", action="store_true", help="print what is misjudged in the dev half")
    return parser.parse_args()


def load(policy: Path) -> dict[str, Check]:
    fraud = load_fraud(policy / "fraud.yaml")
    return {"fraud": fraud.check, "handoff": load_handoff(), "attack": load_attack()}


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def judge(check: Check, name: str, file: str, expected: str, show: bool) -> Iterable[dict[str, Any]]:
    """Right and all, by half, and of each half by language and kind."""
    every = rows(DATA / file)
    right = {row["id"]: check(row["text"]).decision.value == expected for row in every}
    for row in every if show else ():
        if row["split"] == "dev" and not right[row["id"]]:
            print(f"{name}: not {expected}: {row['text']}")
    for half in HALVES:
        ours = [row for row in every if row["split"] == half]
        groups = {("all", "all"): ours}
        groups |= {("all", lang): [row for row in ours if row["lang"] == lang] for lang in ("zh", "en")}
        kinds = sorted({row["kind"] for row in ours if "kind" in row})
        groups |= {(kind, "all"): [row for row in ours if row.get("kind") == kind] for kind in kinds}
        for (kind, lang), group in groups.items():
            count = sum(right[row["id"]] for row in group)
            yield {
                "check": name, "set": file, "half": half, "kind": kind, "lang": lang, "count": len(group),
                "right": count, "interval": wilson(count, len(group)),
            }  # fmt: skip


def questions(policy: Path, half: str) -> dict[str, dict[str, int]]:
    """Of the example bank's questions: what each type got from fraud rules and the wish for a person."""
    fraud, handoff = load_fraud(policy / "fraud.yaml"), load_handoff()
    out: dict[str, Counter[str]] = {}
    for row in rows(BANK / "evaluation" / f"questions_{half}.jsonl"):
        asked = [message["content"] for message in row["messages"] if message["role"] == "user"]
        verdict = fraud.check(asked[-1], asked[:-1]).decision.value
        got = verdict if verdict != "allow" else handoff(asked[-1]).decision.value
        right = got == EXPECTED.get(row["expect"], "allow")
        out.setdefault(row["type"], Counter())["right" if right else got] += 1
    return {kind: dict(counts) for kind, counts in sorted(out.items())}


def dialogue(checks: Mapping[str, Check]) -> dict[str, dict[str, int]]:
    """Of each kind of the messages nobody tuned on, those the fraud rules and the wish for a person speak up for."""
    found: dict[str, dict[str, int]] = {}
    for row in rows(BANK / "evaluation" / "dialogue_test.jsonl"):
        counts = found.setdefault(row["kind"], {"count": 0, "fraud": 0, "handoff": 0})
        counts["count"] += 1
        for name in ("fraud", "handoff"):
            counts[name] += checks[name](row["text"]).decision.value != "allow"
    return found


def short() -> list[str]:
    return [row["text"] for row in rows(DATA / "fraud/data/harmless.jsonl")]


def long() -> list[str]:
    """Texts of 500 characters made of the example bank's ordinary questions, each in one language."""
    return ["".join(parts)[:TEXT_LENGTH] for parts in strings(answerable("tune") + answerable("test"), " ")]


def strung(check: Check, half: str) -> dict[str, dict[str, int]]:
    """Of texts of at least 500 characters made of ordinary questions: how many are warned or refused, by what stands
    between the questions. Questions that are warned or refused by themselves are left out."""
    asked = [text for text in answerable(half) if check(text).decision.value == "allow"]
    out: dict[str, dict[str, int]] = {}
    for name, mark in (("blank", " "), ("question mark", "? "), ("full stop", ". "), ("line", "\n")):
        out[name] = {"chinese": 0, "of_chinese": 0, "english": 0, "of_english": 0}
        for text in map("".join, strings(asked, mark)):
            lang = "english" if text.isascii() else "chinese"
            read = text if lang == "english" else text.replace("? ", "？").replace(". ", "。")
            out[name][f"of_{lang}"] += 1
            out[name][lang] += check(read).decision.value != "allow"
    return out


def answerable(half: str) -> list[str]:
    return [
        row["messages"][-1]["content"]
        for row in rows(BANK / "evaluation" / f"questions_{half}.jsonl")
        if row["type"] == "answerable"
    ]


def strings(asked: Sequence[str], mark: str) -> list[list[str]]:
    """Chance rows of questions of one language, each with `mark` behind it, of 500 characters and more together."""
    dice = random.Random(7)
    out = []
    for number in range(TEXTS):
        pool = [text for text in asked if text.isascii() == bool(number % 3 == 0)]
        parts: list[str] = []
        while sum(map(len, parts)) < TEXT_LENGTH:
            parts.append(dice.choice(pool) + mark)
        out.append(parts)
    return out


def times(checks: Mapping[str, Check], texts: Sequence[str]) -> dict[str, dict[str, float]]:
    """Of each check, and of the three together."""
    taken: dict[str, list[float]] = {name: [] for name in (*checks, "together")}
    for text in texts:
        total = 0.0
        for name, check in checks.items():
            started = time.perf_counter()
            check(text)
            one = time.perf_counter() - started
            taken[name].append(one)
            total += one
        taken["together"].append(total)
    out = {}
    for name, seconds in taken.items():
        cuts = quantiles(seconds, n=20, method="inclusive")
        out[name] = {"p50": round(cuts[9] * 1e6, 1), "p95": round(cuts[18] * 1e6, 1)}
    return out


if __name__ == "__main__":
    main()
