"""Private training: what it computes is what it promises, it survives a kill, and it does not give canaries away."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from adapters.package import CARD, CONFIG, WEIGHTS
from tests.adapters.training.runs import Run, Trainer, write_rows, write_run

METHOD = {"learning_rate": 5e-3, "checkpoint_every": 4, "rank": 8}
PRIVATE = METHOD | {
    "kind": "private", "learning_rate": 1e-2, "epsilon": 4.0, "delta": 1e-3, "epochs": 8,
    "batch": 11, "accumulate": 2,
}  # fmt: skip
MakeRun = Callable[[str, dict[str, Any]], Run]


def fee_rows(cards: range) -> list[dict[str, str]]:
    return [
        {
            "prompt": f"What is the fee of card {card}?",
            "response": f"The fee of card {card} is {card * 10} yuan.",
        }
        for card in cards
    ]


def canaries() -> list[dict[str, str]]:
    random = Random(1)
    secrets = {name: f"{random.randrange(10**6):06d}" for name in ("Anna", "Bruno", "Clara", "David")}
    return [
        {
            "prompt": f"What is the code of {name}?",
            "response": f"The code of {name} is {secret}.",
            "secret": secret,
        }
        for name, secret in secrets.items()
    ]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, trainer: Trainer) -> MakeRun:
    """A run over 40 fees and four canaries. Its noise is fixed, so that a test gives one result."""

    def run(name: str, method: dict[str, Any]) -> Run:
        folder = tmp_path_factory.mktemp(name) / "run"
        planted = [{key: row[key] for key in ("prompt", "response")} for row in canaries()]
        data = {"train": "train.jsonl", "held_out": "held_out.jsonl", "max_tokens": 256}
        rows, held_out = [*fee_rows(range(40)), *planted], fee_rows(range(50, 56))
        made = write_run(trainer, folder, tiny_model, rows, held_out, method=method, data=data)
        write_rows(folder / "canaries.jsonl", canaries())
        (made.out / "checkpoints").mkdir(parents=True)
        (made.out / "checkpoints/noise.key").write_bytes(bytes(range(32)))
        return made

    return run


@pytest.fixture(scope="module")
def trained(make: MakeRun) -> Run:
    run = make("private", PRIVATE)
    run.train()
    return run


def digests(run: Run) -> list[str]:
    files = [run.out / "adapter" / name for name in (CONFIG, WEIGHTS, CARD)]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def exposed(run: Run, base: Path, trainer: Trainer) -> list[dict[str, Any]]:
    module, adapter = "adapters.training.evaluation.exposure", str(run.out / "adapter")
    return list(trainer.tell(module, str(base), adapter, str(run.recipe.parent / "canaries.jsonl")))


def test_the_package_says_what_is_promised_and_nothing_of_the_rows(trained: Run) -> None:
    card = json.loads((trained.out / "adapter" / CARD).read_text())
    spent = card["privacy"]
    assert 3.9 < spent["epsilon"] <= 4.0 and spent["delta"] == 1e-3
    assert spent["steps"] == 16 and spent["sampling_rate"] == 0.5 and spent["clip"] == 1.0
    assert spent["unit"].startswith("one row") and "opacus" in spent["accountant"]
    assert trained.result["privacy"] == spent and trained.result["version"].startswith("fees@")
    # Neither a digest of the rows nor a loss on them, which no noise covers.
    assert "dataset_digest" not in card
    assert set(card["evaluation"]) == {"steps", "held_out_loss", "base_held_out_loss"}
    page = (trained.out / "report.html").read_text()
    assert "privacy: epsilon" in page and "<polyline" in page
    # Who has the folder afterwards cannot take the noise away.
    assert not (trained.out / "checkpoints").exists()
    assert trained.result["figures"]["held_out_loss"] < trained.result["figures"]["base_held_out_loss"] / 1.5


def test_a_killed_run_goes_on_to_the_same_result(make: MakeRun, trained: Run) -> None:
    killed = make("killed", PRIVATE)
    killed.kill_once_it_has("private.pt")
    (killed.out / "checkpoints/private.partial").write_bytes(b"cut off")
    killed.train()
    assert digests(killed) == digests(trained)
    assert killed.result["privacy"] == trained.result["privacy"]


def test_canaries_are_given_away_by_lora_and_not_by_private(
    make: MakeRun, trained: Run, tiny_model: Path, trainer: Trainer
) -> None:
    lora = make("lora", METHOD | {
        "kind": "lora", "rank": 64, "alpha": 64, "dropout": 0.0, "epochs": 26, "batch": 8, "checkpoint_every": 1000,
    })  # fmt: skip
    lora.train()
    found = exposed(lora, tiny_model, trainer)
    assert all(one["rank"] == 1 and one["exposure"] == 8.0 for one in found)
    assert sum(one["extracted"] for one in found) >= 3
    hidden = exposed(trained, tiny_model, trainer)
    assert not any(one["extracted"] for one in hidden)
    # 1.4 bits are what a model that never saw them gives on average.
    assert sum(one["exposure"] for one in hidden) / len(hidden) < 4.0


def test_what_a_step_computes_is_what_is_promised(tiny_model: Path, trainer: Trainer, tmp_path: Path) -> None:
    rows = write_rows(
        tmp_path / "rows.jsonl", [*fee_rows(range(5)), {"prompt": "q", "response": "much longer " * 9}]
    )
    figures = trainer.tell("tests.adapters.training.private_figures", str(tiny_model), str(rows))
    clipping = figures["clipping"]
    assert clipping["shortest"] < 1 < clipping["longest"]  # some rows were clipped, some not
    assert clipping["difference"] < 1e-4
    assert clipping["one_row"] == pytest.approx(1e-3, rel=1e-4)
    assert figures["noise"] == {"std": pytest.approx(1.5 * 0.5, rel=0.02), "steps": 1, "rows_seen": 0}
    epsilons = figures["epsilons"]
    for bound, other in epsilons["sampled"]:
        assert other * 0.98 <= bound <= other * 1.6
    for noise, bound in epsilons["whole"]:
        exact = gaussian_epsilon(noise, 1e-5)
        assert exact <= bound <= exact * 1.35
    for target, found in epsilons["targets"]:
        assert target * 0.995 <= found <= target
    said = figures["refusals"]
    assert "train.jsonl:3: the same as line 1" in said["twice"]
    assert "held.jsonl:3: also in train.jsonl:1" in said["held"] and said["fine"] == ""
    assert "is 64, there are 10 rows" in said["few_rows"]
    assert "giving one of the 100 rows away" in said["delta"]
    assert "below what can be accounted" in said["epsilon"]


def gaussian_epsilon(noise: float, delta: float) -> float:
    """The exact ε of one Gaussian mechanism (Balle and Wang 2018, arXiv:1805.06530, theorem 8), by bisection."""

    def exceeded(epsilon: float) -> float:
        def normal(value: float) -> float:
            return 0.5 * math.erfc(-value / math.sqrt(2))

        half, shift = 0.5 / noise, epsilon * noise
        return normal(half - shift) - math.exp(epsilon) * normal(-half - shift)

    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if exceeded(middle) > delta else (low, middle)
    return high
