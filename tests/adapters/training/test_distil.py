"""`method.kind: distil` end to end on tiny models: a teacher is learnt from, where the rows say something else."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from adapters.package import CARD, CONFIG, WEIGHTS
from adapters.training.recipe import read_recipe
from adapters.vllm_plugin.base_model import fingerprint
from guardrails.problem import PolicyProblem
from tests.adapters.training.runs import Run, Trainer, card_rows, write_run

CARDS = 8
SCHEDULE = {"epochs": 8, "batch": 8, "checkpoint_every": 16}
DISTIL = SCHEDULE | {
    "kind": "distil", "rank": 8, "learning_rate": 3e-3, "teacher_weight": 1.0, "answer_tokens": 60,
}  # fmt: skip


def pupil_run(
    trainer: Trainer | None, folder: Path, model: Path, rows: list[dict[str, str]], **parts: Any
) -> Run:
    return write_run(trainer, folder, model, rows, card_rows(CARDS, 1), **({"name": "pupil"} | parts))


def misled_rows() -> list[dict[str, str]]:
    """The questions with one wrong answer to all of them: what is right, only the teacher knows."""
    return [
        row | {"response": row["response"].split(" is ")[0] + " is 99 yuan."} for row in card_rows(CARDS, 4)
    ]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, trainer: Trainer) -> Path:
    """A model that knows the fees."""
    method = SCHEDULE | {"kind": "full", "learning_rate": 2e-3, "epochs": 15}
    folder = tmp_path_factory.mktemp("teacher")
    run = pupil_run(trainer, folder / "run", tiny_model, card_rows(CARDS, 4), method=method)
    run.train()
    assert run.result["figures"]["held_out_loss"] < 0.03
    return run.out / "model"


@pytest.fixture(scope="module")
def foreign_teacher(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with another vocabulary: two marks that no row holds have changed their numbers."""
    folder = shutil.copytree(teacher, tmp_path_factory.mktemp("foreign") / "model")
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    swapped = text.replace("<m001>", "<swap>").replace("<m002>", "<m001>").replace("<swap>", "<m002>")
    (folder / "tokenizer.json").write_text(swapped, encoding="utf-8")
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (CONFIG, WEIGHTS, CARD)
    }


def test_the_teachers_probabilities_are_learnt_where_the_vocabulary_is_one(
    teacher: Path, tiny_model: Path, trainer: Trainer, tmp_path: Path
) -> None:
    method = DISTIL | {"teacher": str(teacher)}
    run = pupil_run(trainer, tmp_path / "run", tiny_model, misled_rows(), method=method)
    assert "by its probabilities" in run.train()
    figures = run.result["figures"]
    assert figures["teacher_divergence"] < figures["base_teacher_divergence"] / 4
    assert figures["teacher_held_out_loss"] < figures["held_out_loss"] < figures["base_held_out_loss"] / 4
    card = json.loads((run.out / "adapter" / CARD).read_text())
    assert card["teacher_fingerprint"] == fingerprint(teacher)
    assert card["method"] == "distil" and run.result["version"] in (run.out / "report.html").read_text()
    assert str(teacher.parent) not in json.dumps(card)


def test_the_teachers_answers_are_learnt_where_it_is_not_and_a_killed_run_goes_on_to_the_same_bytes(
    foreign_teacher: Path, tiny_model: Path, trainer: Trainer, tmp_path: Path
) -> None:
    method = DISTIL | {"teacher": str(foreign_teacher)}
    whole = pupil_run(trainer, tmp_path / "whole", tiny_model, misled_rows(), method=method)
    assert "by its answers" in whole.train()
    figures = whole.result["figures"]
    assert (figures["teacher_answers"], figures["answers_left_out"]) == (CARDS * 4, 0)
    assert figures["held_out_loss"] < figures["base_held_out_loss"] / 8
    killed = pupil_run(trainer, tmp_path / "killed", tiny_model, misled_rows(), method=method)
    killed.kill_once_it_has("answers.jsonl")
    # As if the kill had come while an answer was being written.
    with (killed.out / "checkpoints/answers.jsonl").open("ab") as file:
        file.write(b'"The fee of')
    killed.train()
    assert digests(killed.out / "adapter") == digests(whole.out / "adapter")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"teacher": "gone"}, "gone/config.json is not there"),
        ({"temperature": 1}, "nothing to teach itself"),
        ({}, "teacher"),
        ({"temperature": 0}, "greater than 0"),
        ({"teacher_weight": 1.5}, "less than or equal to 1"),
    ],
)
def test_a_wrong_recipe_is_refused(
    tiny_model: Path, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    method = (
        {"kind": "distil"}
        | ({"teacher": str(tiny_model)} if change and "teacher" not in change else {})
        | change
    )
    with pytest.raises(PolicyProblem, match=says):
        read_recipe(pupil_run(None, tmp_path / "run", tiny_model, card_rows(1, 1), method=method).recipe)
