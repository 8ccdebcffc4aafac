"""A recipe says everything a run needs, and a wrong one is refused with file, line and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.training.recipe import Lora, read_recipe
from guardrails.problem import PolicyProblem

GOOD = """\
name: fees
base: base
out: out
data:
  train: train.jsonl
method:
  kind: lora
  rank: 8
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text("{}")
    (tmp_path / "train.jsonl").write_text("{}\n")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    return folder / "recipe.yaml"


def test_paths_are_from_the_recipes_folder(folder: Path) -> None:
    recipe = read_recipe(write(folder, GOOD))
    assert recipe.data.train == folder / "train.jsonl"
    assert (recipe.base, recipe.out) == (folder / "base", folder / "out")
    assert isinstance(recipe.method, Lora) and recipe.method.rank == 8


@pytest.mark.parametrize(
    ("change", "line", "says"),
    [
        (("rank: 8", "rank: 12"), 7, "rank 12: vLLM serves 1, 8, 16"),
        (("rank: 8", "use_dora: true"), 8, "Extra inputs"),
        (("kind: lora", "kind: prefix"), 7, "does not match any of the expected tags"),
        (("name: fees", "name: Fees!"), None, "lower-case letters"),
        (("train: train.jsonl", "train: missing.jsonl"), 5, "is not there"),
        (("base: base", "base: elsewhere"), 2, "holds no config.json"),
        (("rank: 8", "targets: [lm_head]"), 8, "Input should be 'q_proj'"),
        (("rank: 8", "patience: 2"), None, "needs data.held_out"),
        (("  rank: 8\n", "package: {push_to: 'http://127.0.0.1:1'}\n"), 8, "needs key_file"),
        (("rank: 8", "learning_rate: -1"), 8, "greater than 0"),
        (("lora\n  rank: 8", "dpo\n  start_from: gone"), 8, "is not there"),
        (("lora\n  rank: 8", "dpo\n  rank: 8\n  start_from: gone"), None, "rank: comes with the adapter"),
        (("lora\n  rank: 8", "dpo\n  dropout: 0.1"), 8, "less than or equal to 0"),
        (("  rank: 8\n", "gate: {min_reward_margin: 1}\n"), None, "the gate needs data.held_out"),
        (("lora\n  rank: 8", "reward\n  patience: 1"), None, "a reward model runs its steps"),
        (("lora\n  rank: 8\n", "reward\npackage: {sign_with: key}\n"), None, "nothing serves it"),
        (("lora\n  rank: 8", "ppo\n  reward: gone\n  gold: gone"), None, "ppo needs data.held_out"),
        (
            ("lora\n  rank: 8", "ppo\n  reward: r\n  gold: g\n  algorithm: rloo\n  samples: 1"),
            None,
            "rloo compares",
        ),
        (
            ("lora\n  rank: 8", "ppo\n  reward: r\n  gold: g\n  kl_target: 30"),
            None,
            "must lie below kl_ceiling",
        ),
        (("rank: 8", "rank: [8"), 9, "expected ',' or ']'"),
    ],
)
def test_a_wrong_recipe_is_refused_with_its_line(
    folder: Path, change: tuple[str, str], line: int | None, says: str
) -> None:
    with pytest.raises(PolicyProblem) as refused:
        read_recipe(write(folder, GOOD.replace(*change)))
    assert says in str(refused.value)
    if line is not None:
        assert refused.value.line == line


def test_the_digest_tells_what_shapes_the_result(folder: Path) -> None:
    digest = read_recipe(write(folder, GOOD)).digest()
    assert read_recipe(write(folder, GOOD.replace("out: out", "out: other"))).digest() == digest
    assert read_recipe(write(folder, GOOD + "gate: {min_gain: 0}\n")).digest() == digest
    assert read_recipe(write(folder, GOOD.replace("rank: 8", "rank: 16"))).digest() != digest
    assert read_recipe(write(folder, GOOD + "seed: 1\n")).digest() != digest
