"""Recipes to train, and the processes that train them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.engine_process import ROOT
from tests.forked import Fork, Forks

LOADED = ("adapters.training.run", "rich.progress", "rich.table")
BEFORE_LOADING = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TRANSFORMERS_VERBOSITY": "error"}
"""What the trainer's command sets before it loads the libraries, which forks find loaded."""
KILLED_BY = 200.0
"""Seconds in which a run must come to where a test kills it."""


def environment() -> dict[str, str]:
    """Wide enough that no message is broken; one thread, as several wait for each other on a busy machine."""
    return os.environ | {"COLUMNS": "250", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}


class Trainer(Forks):
    """Runs modules with the trainer's interpreter, in forks of a process that has loaded its libraries."""

    def __init__(self, python: Path, folder: Path) -> None:
        super().__init__(python, folder, LOADED, environment() | BEFORE_LOADING)


@dataclass(frozen=True)
class Run:
    """A recipe in a folder of its own. `trainer` is None where it is only read."""

    recipe: Path
    out: Path
    trainer: Trainer | None

    def command(self, *more: str) -> list[str]:
        """The command line that trains it."""
        return [sys.executable, "-m", "app.cli", "train", str(self.recipe), *more]

    def train(self, *more: str, expect: int = 0) -> str:
        """Train as `atelier train` does, in a fork; returns what was printed."""
        assert self.trainer is not None
        return printed(self.trainer.run("adapters.training", str(self.recipe), *more), expect)

    def atelier_train(self, *more: str, expect: int = 0) -> str:
        """Train by the user's command, in a new process of everything; returns what was printed."""
        done = subprocess.run(
            self.command(*more), check=False, cwd=ROOT, capture_output=True, text=True, timeout=240,
            env=environment(),
        )  # fmt: skip
        return printed(done, expect)

    def kill_once_it_has(self, checkpoint: str) -> None:
        """Train, and kill it as soon as this file of the checkpoints is there."""
        self.kill_once((self.out / "checkpoints" / checkpoint).exists)

    def kill_once(self, reached: Callable[[], bool]) -> None:
        """Train in a fork, and kill it as soon as it has come so far."""
        assert self.trainer is not None
        self._kill_once(reached, self.trainer.start("adapters.training", str(self.recipe)))

    def kill_atelier_once_it_has(self, checkpoint: str) -> None:
        """Train by the user's command, and kill all of its processes as soon as this file is there."""
        process = subprocess.Popen(
            self.command(), cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._kill_once((self.out / "checkpoints" / checkpoint).exists, process)

    def _kill_once(self, reached: Callable[[], bool], process: Fork | subprocess.Popen[bytes]) -> None:
        try:
            deadline = time.monotonic() + KILLED_BY
            while not reached() and process.poll() is None:
                assert time.monotonic() < deadline, "it does not come so far"
                time.sleep(0.002)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait(10)
        assert code == -signal.SIGKILL, f"it ended with {code} before it could be killed"
        assert not (self.out / "result.json").exists(), "it was done before it could be killed"

    @property
    def result(self) -> dict[str, Any]:
        """What the run says of itself."""
        return dict(json.loads((self.out / "result.json").read_text()))


def printed(done: subprocess.CompletedProcess[str], expect: int) -> str:
    assert done.returncode == expect, done.stderr[-3000:]
    return done.stdout + done.stderr


def write_run(
    trainer: Trainer | None,
    folder: Path,
    model: Path,
    rows: list[Any] | None,
    held_out: list[Any],
    **parts: Any,
) -> Run:
    """A recipe over `rows` (None: it learns from none); `parts` replace those of the recipe."""
    folder.mkdir()
    data: dict[str, Any] = {"held_out": "held_out.jsonl", "max_tokens": 128}
    write_rows(folder / "held_out.jsonl", held_out)
    if rows is not None:
        write_rows(folder / "train.jsonl", rows)
        data["train"] = "train.jsonl"
    recipe = {"name": "fees", "base": str(model), "out": "out", "seed": 3, "data": data}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe | parts), encoding="utf-8")
    return Run(folder / "recipe.yaml", folder / "out", trainer)


def card_run(
    trainer: Trainer, folder: Path, model: Path, rows: list[dict[str, Any]] | None = None, **parts: Any
) -> Run:
    """A LoRA of 40 easy rows."""
    method = {
        "kind": "lora",
        "rank": 8,
        "epochs": 3,
        "batch": 4,
        "checkpoint_every": 10,
        "learning_rate": 1e-3,
    }
    data = {"train": "train.jsonl", "held_out": "held_out.jsonl", "max_tokens": 256}
    whole = {"name": "trained", "method": method, "data": data} | parts
    return write_run(
        trainer, folder, model, card_rows(8, 5) if rows is None else rows, card_rows(8, 1), **whole
    )


def card_rows(cards: int, repeats: int) -> list[dict[str, str]]:
    """Questions whose answers a tiny model can learn."""
    return [
        {
            "prompt": f"What is the fee of card {card}?",
            "response": f"The fee of card {card} is {card * 10} yuan.",
        }
        for _ in range(repeats)
        for card in range(cards)
    ]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """JSONL."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path
