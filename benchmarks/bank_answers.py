"""The bank assistant end to end on the default small model: bare model, grounded, full chain.

    python -m benchmarks.bank_answers [FILE] [--count N] [--policy FOLDER] [--model FOLDER]

Starts the whole service with three assistants over the same engine: `bare` (no policy), `grounded` (approved answers
off: everything is written by the model from a few facts, then checked) and `full` (approved answers preferred), asks
each the same questions, and judges them as `atelier guardrails evaluate --questions` does. No training was done.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml

from app.commands.question_client import ask_all
from benchmarks.report import ROOT, circumstances
from guardrails.evaluation.questions import evaluate
from tests.stack import Stack

QUESTIONS = ROOT / "examples/bank/evaluation/questions_test.jsonl"
POLICY = ROOT / "examples/bank/policy"
MODEL = ROOT / "var/models/qwen2.5-0.5b-int8"
STREAMED = 30
SECONDS = 120.0


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path, nargs="?", default=QUESTIONS)
    parser.add_argument("--count", type=int, default=10_000, help="only the first N questions")
    parser.add_argument("--policy", type=Path, default=POLICY)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--assistants", nargs="+", default=["full", "grounded", "bare"])
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.file.read_text(encoding="utf-8").splitlines()][
        : options.count
    ]
    folder = Path(tempfile.mkdtemp(prefix="atl-bank-"))
    try:
        write_assistants(folder, options.policy)
        print(json.dumps(circumstances(), ensure_ascii=False))
        print(f"{options.file.name}: {len(rows)} questions, one at a time, {options.model.name}")
        with Stack(
            options.model, ATELIER_ASSISTANTS_DIR=str(folder / "assistants"), ATELIER_ENGINE_ARGS=""
        ) as stack:
            for name in options.assistants:
                show(name, rows, stack)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_assistants(folder: Path, policy: Path) -> None:
    """Three assistants; the grounded one has a policy of its own."""
    (folder / "assistants").mkdir()
    shutil.copytree(policy, folder / "full")
    shutil.copytree(policy, folder / "grounded")
    file = folder / "grounded/policy.yaml"
    settings = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}
    settings.setdefault("answers", {})["approved"] = "off"
    file.write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    shared = yaml.safe_load((ROOT / "examples/bank/assistants/bank.yaml").read_text(encoding="utf-8"))
    for name in ("full", "grounded", "bare"):
        own = shared | {"name": name, "policy": f"../{name}"}
        if name == "bare":
            del own["policy"]
        (folder / "assistants" / f"{name}.yaml").write_text(
            yaml.safe_dump(own, allow_unicode=True), encoding="utf-8"
        )


def show(name: str, rows: Sequence[Mapping[str, Any]], stack: Stack) -> None:
    """Ask, judge, print."""
    bearer = f"Bearer {stack.admin_key}"
    answers = asyncio.run(ask_all(rows, stack.url, bearer, name, 1, SECONDS, lambda done: None))
    report = evaluate(rows, answers)
    print(f"\n{name}")
    print(
        json.dumps(
            {key: value for key, value in report.items() if key != "failures"}, ensure_ascii=False, indent=1
        )
    )
    answerable = [row for row in rows if row.get("type") == "answerable"][:STREAMED]
    first = [first_token(stack, bearer, name, row) for row in answerable]
    print(f"first token of {len(first)} streamed answers: median {statistics.median(first) * 1000:.0f} ms")


def first_token(stack: Stack, bearer: str, model: str, row: Mapping[str, Any]) -> float:
    """Seconds until the first text of a streamed answer."""
    body = {"model": model, "messages": row["messages"], "temperature": 0, "stream": True}
    started = time.perf_counter()
    with (
        httpx.Client(timeout=SECONDS, headers={"authorization": bearer}) as client,
        client.stream("POST", f"{stack.url}/v1/chat/completions", json=body) as response,
    ):
        for line in response.iter_lines():
            if line.startswith("data: {") and any(
                choice["delta"].get("content") for choice in json.loads(line[6:])["choices"]
            ):
                return time.perf_counter() - started
    raise RuntimeError(f"{model} said nothing")


if __name__ == "__main__":
    main()
