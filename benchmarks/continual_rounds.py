"""Old tasks and new ones over three rounds: naive fine-tuning, replay, replay kept near to the parent.

    .venv-trainer/bin/python -m benchmarks.continual_rounds ROWS [--model FOLDER] [--seeds 1 2 3] [--out FOLDER]

ROWS: `atelier data synthesise --policy FOLDER --grounded 0 --count 12000 --seed 5 --out ROWS`. Each of the three
tasks is one document: facts that are asked about in at least five wordings, of which one is held out (the twelve with
the shortest answers). Without --model the base is the tests' tiny Llama, which first learns rows of the other
documents, every weight. All of it by recipes, as `atelier train` runs them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.report import ROOT, circumstances
from tests.engine_process import make_tiny_model

ROUNDS = 3
FACTS = 12
WORDINGS = 4
BUFFER = 12
BASE_ROWS = 960
WAYS: Mapping[str, Mapping[str, Any]] = {
    "naive": {"replay": 0, "strength": 0},
    "replay": {"replay": 0.3, "strength": 0},
    "replay, near to the parent": {"replay": 0.3, "strength": 1},
}
Row = Mapping[str, Any]


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--out", type=Path, default=ROOT / "var/bench/continual")
    options = parser.parse_args()
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TQDM_DISABLE="1")
    options.out = options.out.resolve()
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    print(circumstances())
    rows = [json.loads(line) for line in options.rows.read_text(encoding="utf-8").splitlines()]
    tasks, others = split(rows)
    for name, (train, held_out) in tasks.items():
        print(f"{name}: {len(train)} rows to learn from, {len(held_out)} held-out wordings of the same facts")
        write(options.out / f"{name}.jsonl", train)
        write(options.out / f"{name}_held_out.jsonl", held_out)
    base = options.model or make_base(options.out, others)
    found = []
    for seed in options.seeds:
        found += [
            figures for way in WAYS for figures in three_rounds(options.out, base, list(tasks), way, seed)
        ]
        show(found, list(tasks))


def split(rows: Sequence[Row]) -> tuple[dict[str, tuple[list[Row], list[Row]]], list[Row]]:
    """By task, rows to learn from and held-out wordings; and rows of other documents."""
    asked: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["kind"] in {"cell", "clause"} and len(row["messages"]) == 2 and len(row["facts"]) == 1:
            document, _, _ = row["facts"][0].partition("#")
            asked[document][row["messages"][1]["content"]].append(row)
    often = {
        document: [
            answers[answer][: WORDINGS + 1]
            for answer in sorted(answers, key=lambda answer: (len(answer), answer))
            if len(answers[answer]) > WORDINGS
        ][:FACTS]
        for document, answers in asked.items()
    }
    chosen = sorted(often, key=lambda document: (-len(often[document]), document))[:ROUNDS]
    tasks = {
        document.lower(): (
            [row for wordings in often[document] for row in wordings[:WORDINGS]],
            [wordings[WORDINGS] for wordings in often[document]],
        )
        for document in chosen
    }
    others = [
        row
        for document, answers in asked.items()
        if document not in chosen
        for one in answers.values()
        for row in one
    ]
    return tasks, others


def write(path: Path, rows: Sequence[Row]) -> None:
    """JSONL, of the messages alone."""
    lines = (json.dumps({"messages": row["messages"]}, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")


def make_base(out: Path, others: Sequence[Row]) -> Path:
    """A tiny model that has learnt to speak as the documents do."""
    tiny = make_tiny_model(out / "tiny")
    rows = list(others)
    random.Random(1).shuffle(rows)
    write(out / "others.jsonl", rows[:BASE_ROWS])
    method = {"kind": "full", "batch": 16, "epochs": 1, "learning_rate": 2e-3, "checkpoint_every": 1000}
    train(out, "base", tiny, "others.jsonl", method, 1)
    return out / "base/model"


def three_rounds(out: Path, base: Path, tasks: Sequence[str], way: str, seed: int) -> list[dict[str, Any]]:
    """The figures of each task after each round."""
    learnt = {"epochs": 10, "batch": 8, "learning_rate": 3e-3, "dropout": 0, "checkpoint_every": 1000}
    first = f"first-{seed}"
    if not (out / first / "result.json").exists():
        method = {"kind": "lora", "rank": 16, **learnt}
        train(out, first, base, f"{tasks[0]}.jsonl", method, seed)
        rows = (out / f"{tasks[0]}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        buffer = random.Random(seed).sample(rows, BUFFER)
        (out / f"buffer-{seed}.jsonl").write_text("".join(buffer), encoding="utf-8")
    parent, found = first, []
    for number in range(1, ROUNDS):
        method = {
            "kind": "continual", "start_from": f"{parent}/adapter", "keep_rows": BUFFER,
            "old_tasks": [f"{task}_held_out.jsonl" for task in tasks[: number + 1]], **learnt, **WAYS[way],
        }  # fmt: skip
        if number == 1 and method["replay"]:
            method["earlier"] = [f"buffer-{seed}.jsonl"]
        name = f"{way.replace(', ', '-').replace(' ', '-')}-{number + 1}-{seed}"
        figures = train(out, name, base, f"{tasks[number]}.jsonl", method, seed)
        if number == 1:
            found.append(row_of(way, seed, 1, figures, "_before"))
        found.append(row_of(way, seed, number + 1, figures, ""))
        parent = name
    return found


def row_of(way: str, seed: int, number: int, figures: Mapping[str, float], when: str) -> dict[str, Any]:
    """One round of one way."""
    return {
        "way": way, "seed": seed, "round": number,
        **{name.removesuffix(when): value for name, value in figures.items()
           if name.startswith("old_") and name.endswith(when) and (when or not name.endswith("_before"))},
    }  # fmt: skip


def train(
    out: Path, name: str, base: Path, rows: str, method: Mapping[str, Any], seed: int
) -> dict[str, float]:
    """A recipe, run in this process; its figures."""
    from adapters.training.recipe import read_recipe  # noqa: PLC0415
    from adapters.training.run import prepare, run  # noqa: PLC0415

    recipe = {
        "name": "rounds", "base": str(base.resolve()), "out": name, "seed": seed,
        "data": {"train": rows, "max_tokens": 1024}, "method": dict(method),
    }  # fmt: skip
    path = out / f"{name}.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    started, spent = time.monotonic(), time.process_time()
    with contextlib.redirect_stdout(None):
        result = run(prepare(read_recipe(path)), path.read_text(encoding="utf-8"), _Silent())
    seconds = time.process_time() - spent
    print(f"{name}: {seconds:.0f} s of processor time, {time.monotonic() - started:.0f} s", flush=True)
    assert result["passed"], result["below"]
    return dict(result["figures"])


def show(found: Sequence[Mapping[str, Any]], tasks: Sequence[str]) -> None:
    """Markdown; means over the seeds, loss and share of right greedy answers of every task so far."""
    seeds = sorted({row["seed"] for row in found})
    print(f"\nmean of {len(seeds)} seed(s): nats per answer token (greedy answers right)\n")
    print("| way | after round | " + " | ".join(f"task {place + 1}" for place in range(ROUNDS)) + " |")
    print("|---|---|" + "---|" * ROUNDS)
    for way in WAYS:
        for number in range(1, ROUNDS + 1):
            rows = [row for row in found if row["way"] == way and row["round"] == number]
            cells = []
            for task in tasks:
                losses = [
                    row[f"old_{task}_held_out_loss"] for row in rows if f"old_{task}_held_out_loss" in row
                ]
                right = [
                    row[f"old_{task}_held_out_right"] for row in rows if f"old_{task}_held_out_right" in row
                ]
                if not losses:
                    cells.append("")
                    continue
                loss = f"{statistics.fmean(losses):.2f} ± {statistics.pstdev(losses):.2f}"
                cells.append(f"{loss} ({statistics.fmean(right):.0%})")
            if rows and not (number == 1 and way != "naive"):
                print(f"| {way if number > 1 else 'all'} | {number} | " + " | ".join(cells) + " |")
    print(flush=True)


class _Silent:
    def step(self, done: int, total: int, figures: Mapping[str, float]) -> None: ...


if __name__ == "__main__":
    main()
