"""The trainer as its users run it: `atelier train` in a process, in the trainer's own environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
TRAINER_PYTHON = ROOT / ".venv-trainer/bin/python"


@pytest.fixture(scope="session")
def trainer_python() -> Path:
    """The trainer's interpreter; where it is not installed the test is skipped, in CI it fails."""
    if not TRAINER_PYTHON.exists():
        reason = "the trainer's environment is not there: make trainer"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return TRAINER_PYTHON


@dataclass(frozen=True)
class Run:
    """A recipe in a folder of its own."""

    recipe: Path
    out: Path

    def command(self, *more: str) -> list[str]:
        """The command line that trains it."""
        return [sys.executable, "-m", "app.cli", "train", str(self.recipe), *more]

    def train(self, *more: str, expect: int = 0) -> str:
        """Train; returns what was printed, without line breaks of the terminal."""
        done = subprocess.run(
            self.command(*more),
            check=False,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=240,
            env=environment(),
        )
        assert done.returncode == expect, done.stderr[-3000:]
        return done.stdout + done.stderr

    def kill_once_it_has(self, checkpoint: str) -> None:
        """Train, and kill all of its processes as soon as this file of the checkpoints is there."""
        process = subprocess.Popen(
            self.command(), cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 120
            while not (self.out / "checkpoints" / checkpoint).exists() and process.poll() is None:
                assert time.monotonic() < deadline, "no checkpoint"
                time.sleep(0.01)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert not (self.out / "result.json").exists(), "it was done before it could be killed"

    @property
    def result(self) -> dict[str, Any]:
        """What the run says of itself."""
        return dict(json.loads((self.out / "result.json").read_text()))


def train_all(python: Path, *commands: tuple[Run | str, ...]) -> list[tuple[int, str]]:
    """Train several recipes one after the other in one process: exit code and what was printed, of each."""
    each = [[str(part.recipe) if isinstance(part, Run) else part for part in parts] for parts in commands]
    done = subprocess.run(
        [str(python), "-m", "tests.adapters.training.train_all", json.dumps(each)],
        check=True, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    return [(code, printed) for code, printed in json.loads(done.stdout)]


def environment() -> dict[str, str]:
    """Wide enough that no message is broken; one thread, as several wait for each other on a busy machine."""
    return os.environ | {"COLUMNS": "250", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}


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


@pytest.fixture
def make_run(tmp_path: Path, tiny_model: Path, trainer_python: Path) -> Callable[..., Run]:
    """A recipe over the tiny model and 40 easy rows; keyword arguments replace its parts."""

    def make(
        name: str = "run", rows: list[dict[str, Any]] | None = None, **parts: Mapping[str, Any] | Any
    ) -> Run:
        folder = tmp_path / name
        folder.mkdir()
        write_rows(folder / "train.jsonl", card_rows(8, 5) if rows is None else rows)
        write_rows(folder / "held_out.jsonl", card_rows(8, 1))
        whole: dict[str, Any] = {
            "name": "trained",
            "base": str(tiny_model),
            "out": "out",
            "seed": 3,
            "data": {"train": "train.jsonl", "held_out": "held_out.jsonl", "max_tokens": 256},
            "method": {
                "kind": "lora", "rank": 8, "epochs": 3, "batch": 4, "checkpoint_every": 10, "learning_rate": 1e-3,
            },
        } | parts  # fmt: skip
        (folder / "recipe.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
        return Run(folder / "recipe.yaml", folder / "out")

    return make
