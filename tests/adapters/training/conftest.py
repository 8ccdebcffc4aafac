"""The trainer, in its own environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.training.runs import Run, Trainer, card_run
from tests.engine_process import ROOT

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


@pytest.fixture(scope="session")
def trainer(trainer_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainer]:
    """Trains in forks of one process, for all tests."""
    with Trainer(trainer_python, tmp_path_factory.mktemp("trainer")) as running:
        yield running


@pytest.fixture
def make_run(tmp_path: Path, tiny_model: Path, trainer: Trainer) -> Callable[..., Run]:
    """A recipe over the tiny model and 40 easy rows; keyword arguments replace its parts."""

    def make(name: str = "run", rows: list[dict[str, Any]] | None = None, **parts: Any) -> Run:
        return card_run(trainer, tmp_path / name, tiny_model, rows, **parts)

    return make
