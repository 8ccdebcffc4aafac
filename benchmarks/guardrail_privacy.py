"""The privacy check on labelled texts: python -m benchmarks.guardrail_privacy [--json FILE]

Recall per kind (the share of private spans of which enough is hidden), harmless texts changed, time of whole texts
and of streamed pieces, characters held. `presidio-analyzer` with its pattern recognisers alone (no language model)
runs beside it where it is installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from guardrails.evaluation.interval import wilson
from guardrails.privacy.check import PrivacyCheck, load_privacy
from guardrails.privacy.rules import PrivacyFile

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "guardrails" / "privacy" / "data"
DOCUMENTS = ROOT / "examples" / "bank" / "policy" / "knowledge"
SETS = ("private", "private_unseen", "harmless", "harmless_unseen")
ENGLISH = (
    "The annual fee of the platinum card is RMB 2,000 and it is waived when you spend more than 30,000 "
    "within a year. "
)
# As in the tests: what a partial mask leaves of a mail box, and the district of an address.
LEAST_HIDDEN = {"email": 0.45, "address": 0.5}

Finder = Callable[[str], list[tuple[int, int]]]


def main(arguments: list[str]) -> None:
    """Print the report, and write it as JSON where asked."""
    check = PrivacyCheck(PrivacyFile())
    # With what its documents say allowed, so that what comes out is as long as what went in.
    own = load_privacy(DOCUMENTS.parent)
    report = {"texts": texts(ours(check)), "time": times(own), "stream": streams(own)}
    if (peer := presidio()) is not None:
        report["presidio"] = texts(peer)
    print(json.dumps(report, ensure_ascii=False, indent=2))
    if "--json" in arguments:
        Path(arguments[arguments.index("--json") + 1]).write_text(json.dumps(report, ensure_ascii=False))


def ours(check: PrivacyCheck) -> Finder:
    """Spans of the check."""
    return lambda text: [(span.start, span.end) for span in check.mask(text)[1].spans]


def presidio() -> Finder | None:
    """Presidio's recognisers by pattern, all of its countries', or None where it is not installed."""
    if importlib.util.find_spec("presidio_analyzer") is None:
        return None
    predefined = importlib.import_module("presidio_analyzer.predefined_recognizers")
    pattern_recogniser = importlib.import_module("presidio_analyzer").PatternRecognizer

    kinds = [getattr(predefined, name) for name in dir(predefined)]
    found = []
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, pattern_recogniser) and kind is not pattern_recogniser:
            try:
                found.append(kind())
            except (ImportError, TypeError, ValueError):
                continue

    def find(text: str) -> list[tuple[int, int]]:
        results = [result for one in found for result in one.analyze(text, one.supported_entities, None)]
        return [(result.start, result.end) for result in results if result.score >= 0.5]

    return find


def texts(find: Finder) -> dict[str, Any]:
    """Recall per kind and harmless texts changed, for each set of labelled texts."""
    out: dict[str, Any] = {}
    for name in SETS:
        records = [
            json.loads(line) for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        if name.startswith("harmless"):
            changed = sum(bool(find(record["text"])) for record in records)
            out[name] = {"changed": changed, "of": len(records), "interval": wilson(changed, len(records))}
            continue
        hidden, every = Counter[str](), Counter[str]()
        for record in records:
            covered = {at for start, end in find(record["text"]) for at in range(start, end)}
            for start, end, kind in record["spans"]:
                place = [at for at in range(start, end) if record["text"][at].isalnum()]
                every[kind] += 1
                hidden[kind] += sum(at in covered for at in place) >= LEAST_HIDDEN.get(kind, 0.75) * len(
                    place
                )
        out[name] = {kind: f"{hidden[kind]}/{count}" for kind, count in every.items()} | {
            "all": f"{hidden.total()}/{every.total()}",
            "interval": wilson(hidden.total(), every.total()),
        }
    return out


def documents() -> str:
    """The example's documents, one after the other: numbers, tables and prose as answers have them."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(DOCUMENTS.glob("*.md")))


def times(check: PrivacyCheck) -> dict[str, float]:
    """Milliseconds for 500 characters of documents, and for a megabyte of what takes longest."""
    text = documents()
    parts = [text[at : at + 500] for at in range(0, len(text) - 500, 500)]
    taken = sorted(_timed(lambda part=part: check.mask(part)) for part in parts * 5)
    english = (ENGLISH * 5)[:500]
    out = {
        "ms_500_characters_p50": statistics.median(taken),
        "ms_500_characters_p99": taken[int(len(taken) * 0.99)],
        "ms_500_english_p50": statistics.median(_timed(lambda: check.mask(english)) for _ in range(200)),
    }
    for name, hostile in {
        "digits": "1" * 10**6,
        "numbers": "13 " * 10**5,
        "unseen": "\u200b" * 10**6,
    }.items():
        seconds = _timed(lambda hostile=hostile: check.mask(hostile)) / 1000
        out[f"s_per_mb_{name}"] = seconds / len(hostile) * 10**6
    return {name: round(value, 4) for name, value in out.items()}


def streams(check: PrivacyCheck) -> dict[str, dict[str, float]]:
    """Microseconds a piece and characters held after one, by language and size of the pieces."""
    out = {}
    for name, text in {"chinese": documents(), "english": ENGLISH * 60}.items():
        for size in (1, 4):
            pieces = [text[at : at + size] for at in range(0, len(text), size)]
            out[f"{name}_{size}"] = _streamed(check, pieces)
    return out


def _streamed(check: PrivacyCheck, pieces: Iterable[str]) -> dict[str, float]:
    stream = check.open()
    taken, held, waiting = [], [], 0
    for piece in pieces:
        started = time.perf_counter()
        out = stream.feed(piece)
        taken.append((time.perf_counter() - started) * 1e6)
        waiting = max(0, waiting + len(piece) - len(out))
        held.append(waiting)
    return {
        "us_p50": round(statistics.median(taken), 1),
        "us_mean": round(statistics.mean(taken), 1),
        "held_mean": round(statistics.mean(held), 2),
    }


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main(sys.argv[1:])
