"""`method.kind: reward` end to end on a tiny model: it ranks held-out answers, and a kill changes no byte."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from adapters.package import CARD
from tests.adapters.training.conftest import Run, train_all
from tests.adapters.training.judged_rows import CARDS, CLOSING, closing_judgements, pair, score
from tests.adapters.training.test_dpo import write_run

REWARD = {
    "kind": "reward",
    "rank": 8,
    "members": 2,
    "epochs": 4,
    "batch": 8,
    "checkpoint_every": 4,
    "learning_rate": 1e-3,
    "head_learning_rate": 1e-2,
}


def judging(folder: Path, model: Path, rows: list[Any] | None = None, **parts: Any) -> Run:
    rows = closing_judgements(CARDS[:6]) if rows is None else rows
    return write_run(folder, model, rows, closing_judgements(CARDS[6:]), **({"method": REWARD} | parts))


def digests(run: Run) -> dict[str, str]:
    folder = run.out / "reward"
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_it_ranks_answers_and_a_killed_run_goes_on_to_the_same_bytes(
    tmp_path: Path, tiny_model: Path, trainer_python: Path
) -> None:
    whole = judging(tmp_path / "whole", tiny_model)
    whole.train()
    figures = whole.result["figures"]
    print(figures)
    assert figures["preference_accuracy"] == 1 and figures["rank_correlation"] > 0.8
    assert figures["held_out_loss"] < figures["base_held_out_loss"] and figures["disagreement"] > 0
    card = json.loads((whole.out / "reward" / CARD).read_text())
    files = digests(whole)
    assert card["files"] == {name: digest for name, digest in files.items() if name != CARD}
    assert card["members"] == 2 and card["evaluation"]["preference_accuracy"] == 1
    assert files["member-0/head.safetensors"] != files["member-1/head.safetensors"]
    page = (whole.out / "report.html").read_text()
    assert "6 pairs, 24 scores of 2 raters" in page and "held out, member 2" in page

    killed = judging(tmp_path / "killed", tiny_model)
    killed.kill_once_it_has("1-reward.pt")
    killed.train()
    assert digests(killed) == files and not (killed.out / "checkpoints").exists()


def test_judgements_that_teach_or_measure_nothing_and_models_below_the_bar(
    tmp_path: Path, tiny_model: Path, trainer_python: Path
) -> None:
    below = judging(
        tmp_path / "below", tiny_model, method=REWARD | {"members": 1, "max_steps": 1},
        gate={"min_rank_correlation": 0.999},
    )  # fmt: skip
    both = judging(tmp_path / "both", tiny_model, [pair(0, CLOSING, ""), pair(6, CLOSING, "")])
    flat = judging(tmp_path / "flat", tiny_model, [score(0, "", 2, "a"), score(1, "", 2, "b")])
    pairs = judging(tmp_path / "pairs", tiny_model, [pair(0, CLOSING, "")])
    said = train_all(trainer_python, *((run, "--dry-run") for run in (below, both, flat, pairs)), (below,))
    assert [code for code, _ in said] == [0, 2, 2, 2, 1]
    assert "6 pairs, 24 scores of 2 raters" in said[0][1]
    assert "held_out.jsonl:1: also in train.jsonl:2" in said[1][1]
    assert "train.jsonl: every score is 2" in said[2][1]
    assert "held_out.jsonl:2: a score, but there are none to learn from" in said[3][1]
    assert "below gate.min_rank_correlation 0.999" in said[4][1]
    assert not (below.out / "reward" / CARD).exists() and not both.out.exists()
