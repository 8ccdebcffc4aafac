"""Denied terms: our check and those of three peers on the same texts with the same list, in one run.

    python -m benchmarks.guardrail_words [--texts FILE] [--deny FILE] [--json OUT]

Caught: of the texts that hold a term, in whatever disguise. Falsely blocked: of the harmless ones. Time is that of
one text of 500 characters, with the list as it is and with 50,000 terms made up by chance; of our checks also words,
fraud and privacy together, each text for the first time. Each peer is asked for its own
list of banned words, in every setting that could serve, without what stands around it (pipelines, rails, guards), and
with its logging off: it could not be faster in use. A peer is installed at its first run under var/bench/peers, in an
environment of its own.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

from benchmarks.guardrail_fraud import long
from benchmarks.peers import PeerUnavailable, python_with
from benchmarks.report import ROOT, circumstances
from guardrails.evaluation.interval import wilson
from guardrails.fraud.source import load_fraud
from guardrails.privacy.check import load_privacy
from guardrails.verdict import Decision
from guardrails.words import Term, WordCheck

EVALUATION = ROOT / "examples" / "bank" / "evaluation"
MANY = 50_000
PEER_SECONDS = 600
PEERS: Final = (
    ("llm-guard-0.3.16", ("llm-guard==0.3.16",)),
    ("nemoguardrails-0.24.1", ("nemoguardrails==0.24.1",)),
    ("guardrails-ai-0.11.0", ("guardrails-ai==0.11.0", "guardrails-ai-ban-list==0.1.0")),
)
SETTINGS: Final = (
    ("llm_guard.str", "llm-guard-0.3.16", 3),
    ("llm_guard.word", "llm-guard-0.3.16", 3),
    ("llm_guard.str+invisible", "llm-guard-0.3.16", 3),
    ("nemo.regex", "nemoguardrails-0.24.1", 3),
    ("guardrails_ai.distance0", "guardrails-ai-0.11.0", 1),
    ("guardrails_ai.distance1", "guardrails-ai-0.11.0", 1),
)
"""Setting, environment, and how many texts are timed against the long list."""


def main() -> None:
    options = arguments()
    rows = [json.loads(line) for line in options.texts.read_text(encoding="utf-8").splitlines()]
    terms = [line.strip() for line in options.deny.read_text(encoding="utf-8").splitlines() if line.strip()]
    report: dict[str, Any] = {"circumstances": circumstances(), "terms": len(terms), "texts": len(rows)}
    report["settings"] = {
        f"ours.{engine}": judged(rows, ours(engine, terms, rows)) for engine in ("pyahocorasick", "daachorse")
    }
    for setting, name, timed in SETTINGS:
        try:
            python = python_with(name, dict(PEERS)[name])
            report["settings"][setting] = judged(rows, peer(setting, python, terms, rows, timed))
        except PeerUnavailable as missing:
            report["settings"][setting] = {"unavailable": str(missing)}
    for setting, found in report["settings"].items():
        print(line_of(setting, found))
    report["words_fraud_privacy"] = together(options.policy)
    print("words, fraud, privacy      ", report["words_fraud_privacy"])
    print(json.dumps(report["circumstances"], ensure_ascii=False))
    if options.json:
        options.json.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guardrail_words", description=__doc__)
    parser.add_argument("--texts", type=Path, default=EVALUATION / "texts_test.jsonl")
    parser.add_argument("--deny", type=Path, default=EVALUATION / "texts_deny.txt")
    parser.add_argument("--policy", type=Path, default=EVALUATION.parent / "policy")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def many() -> list[str]:
    """Terms of three to five characters nobody wrote: they cost what real ones do and are in no text."""
    dice = random.Random(11)
    characters = [chr(code) for code in range(0x4E00, 0x9000)]
    return sorted({"".join(dice.choices(characters, k=dice.randint(3, 5))) for _ in range(MANY)})


def ours(engine: str, terms: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the word check does, as every policy has it."""
    found: dict[str, Any] = {}
    for name, denied in (("list", terms), ("many", many())):
        started = time.perf_counter()
        check = WordCheck([Term(term, f"line.{at}") for at, term in enumerate(denied)], engine=engine)
        check.check("warm")
        found[name] = {"build_seconds": time.perf_counter() - started, "milliseconds": []}
        if name == "list":
            found["blocked"] = [check.check(row["text"]).decision is Decision.BLOCK for row in rows]
        for number in range(4):
            for text in long():
                started = time.perf_counter()
                check.check(text)
                if number:
                    found[name]["milliseconds"].append((time.perf_counter() - started) * 1e3)
    return found


def together(policy: Path) -> dict[str, float]:
    """Milliseconds of words (50,000 terms), fraud rules and privacy on texts of 500 characters, each read once."""
    words = WordCheck([Term(term, f"line.{at}") for at, term in enumerate(many())])
    checks = (words.check, load_fraud(policy / "fraud.yaml").check, load_privacy(policy).check)
    times = []
    for text in long():
        started = time.perf_counter()
        for check in checks:
            check(text)
        times.append((time.perf_counter() - started) * 1e3)
    cuts = quantiles(times, n=20, method="inclusive")
    return {"ms_p50": round(cuts[9], 4), "ms_p95": round(cuts[18], 4)}


def peer(
    setting: str, python: Path, terms: Sequence[str], rows: Sequence[Mapping[str, Any]], timed: int
) -> dict[str, Any]:
    """What a peer does in its own process. Raises PeerUnavailable."""
    texts = [row["text"] for row in rows]
    short = {"terms": list(terms), "texts": texts, "timed": long()[:30], "rounds": 3}
    large = {"terms": many(), "texts": [], "timed": long()[:timed], "rounds": 1}
    found = run(setting, python, short)
    return {"blocked": found.pop("blocked"), "list": found, "many": run(setting, python, large)}


def run(setting: str, python: Path, job: Mapping[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        asked, told = Path(folder) / "job.json", Path(folder) / "out.json"
        asked.write_text(json.dumps(job), encoding="utf-8")
        script = Path(__file__).with_name("word_peer.py")
        command = [str(python), str(script), setting, str(asked), str(told)]
        try:
            subprocess.run(command, check=True, timeout=PEER_SECONDS, capture_output=True, cwd=folder)
        except (OSError, subprocess.SubprocessError) as error:
            last = (getattr(error, "stderr", None) or b"").decode(errors="replace")[-300:]
            raise PeerUnavailable(f"{type(error).__name__} {last}") from None
        found: dict[str, Any] = json.loads(told.read_text(encoding="utf-8"))
        return found


def judged(rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> dict[str, Any]:
    """Counts by side and language, and times."""
    out: dict[str, Any] = {}
    for side, expect in (("caught", "block"), ("falsely_blocked", "allow")):
        for lang in ("zh", "en", "all"):
            hits = [
                hit
                for row, hit in zip(rows, found["blocked"], strict=True)
                if row["expect"] == expect and lang in (row["lang"], "all")
            ]
            interval = wilson(sum(hits), len(hits))
            out[f"{side}.{lang}"] = {"blocked": sum(hits), "of": len(hits), "interval": interval}
    for name in ("list", "many"):
        times = found[name]["milliseconds"]
        cuts = quantiles(times, n=20, method="inclusive") if len(times) > 1 else times * 19
        out[name] = {
            "ms_p50": round(cuts[9], 4),
            "ms_p95": round(cuts[18], 4),
            "build_seconds": round(found[name]["build_seconds"], 3),
        }
    return out


def line_of(setting: str, found: Mapping[str, Any]) -> str:
    if "unavailable" in found:
        return f"{setting:26} not measured: {found['unavailable']}"
    shares = " ".join(
        f"{name} {one['blocked']}/{one['of']}"
        for name, one in found.items()
        if name.startswith(("caught", "falsely"))
    )
    times = " ".join(
        f"{name} {found[name]['ms_p50']} ms (p95 {found[name]['ms_p95']})" for name in ("list", "many")
    )
    return f"{setting:26} {shares} {times}"


if __name__ == "__main__":
    main()
