"""Answers from a policy's documents on labelled questions, without an engine.

    python -m benchmarks.guardrail_answers FILE … [--policy FOLDER] [--no-glossary] [--approved off] [--quiet]

Of an approved answer the text is judged, of a grounded one the facts handed to the engine. `--quiet` prints counts
alone, for questions nobody should tune on. Rows that other checks answer (fraud, handoff, refusals) are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from hashlib import sha256
from pathlib import Path
from statistics import mean, median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import yaml

from guardrails import Chain, Message, Session, load_policy
from guardrails.chain import InputOutcome
from guardrails.evaluation.interval import wilson
from guardrails.evaluation.questions import Outcome, judge

ROOT = Path(__file__).resolve().parents[1]
BANK = ROOT / "examples" / "bank" / "policy"
SCRATCH = ROOT / "var" / "bench" / "answers"
OURS = frozenset({"answer", "fallback"})
"""What the documents decide; the other expectations belong to other checks."""


def main() -> None:
    options = arguments()
    chain = open_chain(options.policy, options.today, options.glossary, options.approved)
    for path in options.files:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        ours = [row for row in rows if row["expect"] in OURS]
        results = [ask(chain, row) for row in ours]
        print_report(path, ours, results, quiet=options.quiet, only=options.only)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guardrail_answers", description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--policy", type=Path, default=BANK)
    parser.add_argument("--today", type=date.fromisoformat, default=date(2026, 11, 25))
    parser.add_argument("--no-glossary", dest="glossary", action="store_false")
    parser.add_argument("--approved", choices=("off", "prefer", "only"), default="prefer")
    parser.add_argument("--quiet", action="store_true", help="counts alone")
    parser.add_argument("--only", default="", help="print every row whose id starts so")
    return parser.parse_args()


def open_chain(folder: Path, today: date, glossary: bool = True, approved: str = "prefer") -> Chain:
    """The chain of a copy of `folder` with the settings to be measured. Vectors are kept from run to run."""
    name = sha256(f"{folder.absolute()} {glossary} {approved}".encode()).hexdigest()[:12]
    copy = SCRATCH / name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    if not glossary:
        (copy / "glossary.yaml").unlink(missing_ok=True)
    file = copy / "policy.yaml"
    settings = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}
    settings["answers"] = (settings.get("answers") or {}) | {"approved": approved}
    file.write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    return Chain(load_policy(copy, today=today, cache_dir=SCRATCH / "vectors"))


def ask(chain: Chain, row: Mapping[str, Any]) -> tuple[str, str, Outcome]:
    """(kind, reason, outcome judged) of one question."""
    messages = tuple(Message(one["role"], one["content"]) for one in row["messages"])
    started = time.perf_counter()
    plain = InputOutcome(messages, tuple(range(len(messages))), (), language_of(chain, messages))
    outcome = chain.respond(plain, Session())
    seconds = time.perf_counter() - started
    said = next((entry.reason for entry in outcome.trace if entry.check == "answers"), "")
    kind, _, reason = said.partition(".")
    answered = kind in {"approved", "grounded"}
    text = outcome.reply or "\n".join(message.content for message in outcome.grounded or ())
    judged = judge(row, {"text": text, "verdict": "allow" if answered else "fallback", "seconds": seconds})
    return kind, reason, judged


def language_of(chain: Chain, messages: Sequence[Message]) -> str:
    return chain.screen(messages[-1:]).lang


def print_report(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    results: Sequence[tuple[str, str, Outcome]],
    *,
    quiet: bool,
    only: str,
) -> None:
    groups: dict[str, list[tuple[str, Outcome]]] = defaultdict(list)
    for row, (kind, _, outcome) in zip(rows, results, strict=True):
        groups[outcome.type].append((kind, outcome))
        if outcome.type == "answerable":
            groups[f"answerable {outcome.lang}"].append((kind, outcome))
            if "lookalike" in row and outcome.lookalike:
                groups["answerable lookalike"].append((kind, outcome))
    print(
        f"{path.name}: {len(rows)} questions, p50 {median(one[2].seconds for one in results) * 1000:.0f} ms"
    )
    for name, members in sorted(groups.items()):
        right = sum(not outcome.problems for _, outcome in members)
        low, high = wilson(right, len(members))
        kinds = dict(Counter(kind for kind, _ in members))
        wrong = dict(Counter("+".join(outcome.problems) for _, outcome in members if outcome.problems))
        share = f"{right:4}/{len(members):<4} {right / len(members):6.1%} [{low:.2f}, {high:.2f}]"
        print(f"  {name:24} {share}  {kinds}  {wrong}")
    answered = [
        outcome for kind, _, outcome in results if outcome.type == "answerable" and kind == "approved"
    ]
    if answered:
        lines = [outcome.text.count("\n") for outcome in answered]
        print(
            f"  an approved answer has {mean(lines):.1f} lines and its source; "
            f"its first line alone is right in {first_right(rows, results):.1%}"
        )
    if quiet:
        return
    for row, (kind, reason, outcome) in zip(rows, results, strict=True):
        if outcome.problems or (only and outcome.id.startswith(only)):
            print(f"\n{outcome.id} [{kind}.{reason}] {'+'.join(outcome.problems)}")
            for message in row["messages"]:
                print(f"   {message['role'][0]}: {message['content']}")
            wanted = " & ".join(group[0] for group in row.get("must_include", ()))
            print(f"   wanted: {wanted}   not: {row.get('must_not_include', [])}")
            for line in outcome.text.splitlines():
                print(f"   > {line[:300]}")


def first_right(rows: Sequence[Mapping[str, Any]], results: Sequence[tuple[str, str, Outcome]]) -> float:
    """Share of the approved answers whose first line has all that was to be included."""
    right = []
    for row, (kind, _, outcome) in zip(rows, results, strict=True):
        if outcome.type == "answerable" and kind == "approved":
            right.append(
                not judge(row, {"text": outcome.text.partition("\n")[0], "verdict": "allow"}).problems
            )
    return mean(right)


if __name__ == "__main__":
    main()
