"""`method.kind: dpo` end to end on a tiny model: a preference rises, a killed run goes on to the same bytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from adapters.package import CARD, CONFIG, WEIGHTS
from tests.adapters.training.runs import Run, Trainer, write_run

CLOSING = " Ask us any time."
CARDS = range(8)
QUESTIONS = [f"What is the fee of card {card}?" for card in CARDS]
ANSWERS = [f"The fee of card {card} is {card * 10} yuan." for card in CARDS]
DPO = {
    "kind": "dpo",
    "epochs": 3,
    "batch": 4,
    "checkpoint_every": 6,
    "learning_rate": 3e-4,
    "chosen_weight": 1.0,
}


def preferences(cards: range, repeats: int) -> list[dict[str, str]]:
    return [
        {"prompt": QUESTIONS[card], "chosen": ANSWERS[card] + CLOSING, "rejected": ANSWERS[card]}
        for _ in range(repeats)
        for card in cards
    ]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, trainer: Trainer) -> Run:
    """An adapter that knows the answers and closes one in three with the phrase."""
    rows = [
        {"prompt": QUESTIONS[card], "response": ANSWERS[card] + (CLOSING if (card + turn) % 3 == 0 else "")}
        for turn in range(6)
        for card in CARDS
    ]
    method = {
        "kind": "lora",
        "rank": 8,
        "epochs": 6,
        "batch": 8,
        "checkpoint_every": 99,
        "learning_rate": 3e-3,
    }
    folder = tmp_path_factory.mktemp("start") / "sft"
    run = write_run(trainer, folder, tiny_model, rows, rows[:8], method=method)
    run.train()
    return run


def preferring(folder: Path, model: Path, started: Run) -> Run:
    method = DPO | {"start_from": str(started.out / "adapter")}
    pairs, held_out = preferences(CARDS[:6], 4), preferences(CARDS[6:], 1)
    return write_run(started.trainer, folder, model, pairs, held_out, method=method)


def answers(trainer: Trainer, model: Path, run: Run) -> list[str]:
    module = "tests.adapters.training.greedy_answers"
    return list(trainer.tell(module, str(model), str(run.out / "adapter"), *QUESTIONS))


def digests(run: Run) -> list[str]:
    files = (run.out / "adapter" / name for name in (CONFIG, WEIGHTS, CARD))
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def test_a_preference_rises_and_a_killed_run_goes_on_to_the_same_bytes(
    tmp_path: Path, tiny_model: Path, trainer: Trainer, started: Run
) -> None:
    whole = preferring(tmp_path / "whole", tiny_model, started)
    whole.train()
    before, after = (answers(trainer, tiny_model, run) for run in (started, whole))
    closed = [sum(answer.endswith(CLOSING) for answer in said) for said in (before, after)]
    assert closed[0] <= 2 and closed[1] >= 7, (before, after)
    right = [
        sum(answer.startswith(fact) for answer, fact in zip(said, ANSWERS, strict=True))
        for said in (before, after)
    ]
    assert right[1] >= right[0], (before, after)
    print(
        f"closed with the phrase {closed[0]} to {closed[1]}, right {right[0]} to {right[1]} of {len(ANSWERS)}"
    )
    figures = whole.result["figures"]
    assert figures["preference_accuracy"] == 1 and figures["reward_margin"] > 0
    assert figures["chosen_likelier"] > figures["base_chosen_likelier"]
    card = json.loads((whole.out / "adapter" / CARD).read_text())
    assert card["method"] == "dpo" and len(card["start_digest"]) == 64
    assert card["evaluation"]["reward_margin"] == pytest.approx(figures["reward_margin"], abs=1e-6)
    assert "reward margin" in (whole.out / "report.html").read_text()

    killed = preferring(tmp_path / "killed", tiny_model, started)
    killed.kill_once_it_has("checkpoint-6/.whole")
    killed.train()
    assert digests(killed) == digests(whole)


def test_a_new_adapter_below_the_bar_is_not_packaged(
    tmp_path: Path, tiny_model: Path, trainer: Trainer
) -> None:
    run = write_run(
        trainer, tmp_path / "new", tiny_model, preferences(CARDS[:6], 1), preferences(CARDS[6:], 1),
        method=DPO | {"rank": 8, "epochs": 1}, gate={"min_reward_margin": 50},
    )  # fmt: skip
    printed = run.train("--dry-run")
    assert "6 to learn from, 2 held out" in printed and "69,632" in printed and not run.out.exists()
    printed = run.train(expect=1)
    assert "not packaged: reward margin" in printed and "below gate.min_reward_margin 50" in printed
    assert not (run.out / "adapter" / CARD).exists()


def test_a_start_of_another_base_is_refused(tmp_path: Path, tiny_model: Path, started: Run) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in tiny_model.iterdir():
        (other / file.name).symlink_to(file)
    (other / "config.json").unlink()
    (other / "config.json").write_text((tiny_model / "config.json").read_text() + "\n")
    printed = preferring(tmp_path / "run", other, started).train("--dry-run", expect=2)
    assert "method.start_from: adapter does not fit other" in printed and "trained on base" in printed
