"""`packing: true`: rows in one sequence are learnt as they are alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.adapters.training.runs import Run, Trainer, card_rows, write_rows

EQUAL = 2e-5
"""Of single precision: the loss in nats, the gradients relative to their length."""


def test_a_packed_batch_has_the_loss_and_the_gradients_of_its_rows(
    tiny_model: Path, trainer: Trainer, tmp_path: Path
) -> None:
    rows = card_rows(4, 1)
    rows[1]["prompt"] += " Please answer in one sentence, as briefly as you can." * 3
    rows[2]["response"] += " 年费在扣款日收取。" * 4
    file = write_rows(tmp_path / "rows.jsonl", list(rows))
    module = "tests.adapters.training.packed_losses"
    for kind, found in trainer.tell(module, str(tiny_model), str(file), str(tmp_path / "run")).items():
        assert found["sequences"] == 1 and found["loss"] > 1, kind
        for apart in ("loss_apart", "gradients_apart", "single_loss_apart", "single_gradients_apart"):
            assert found[apart] < EQUAL, (kind, apart, found)
        # Were positions not to begin again, rows would see each other: the comparison would notice.
        assert found["seeing_each_other"] > 1000 * EQUAL, (kind, found)


def test_a_packed_recipe_learns_what_it_learns_filled_up(make_run: Callable[..., Run]) -> None:
    method = {
        "kind": "lora", "rank": 8, "dropout": 0, "batch": 4, "checkpoint_every": 10, "learning_rate": 1e-3,
    }  # fmt: skip
    filled = make_run("filled", method=method)
    packed = make_run("packed", method=method | {"packing": True})
    filled.train()
    packed.train()
    one, other = filled.result["figures"], packed.result["figures"]
    assert one["steps"] == other["steps"] and one["held_out_loss"] < one["base_held_out_loss"] / 2
    for figure in ("base_held_out_loss", "held_out_loss", "train_loss"):
        # The base is in bfloat16, which rounds otherwise where shapes differ.
        assert other[figure] == pytest.approx(one[figure], rel=0.02), figure
