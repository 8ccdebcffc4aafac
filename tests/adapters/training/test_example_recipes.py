"""The shipped recipes: each is read, checked against rows made as its comments say, and planned."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from adapters.training.data.convert import convert
from adapters.training.data.shapes import Shape
from app.cli import app
from tests.adapters.training.runs import Trainer
from tests.engine_process import ROOT

RECIPES = sorted((ROOT / "examples/recipes").glob("*.yaml"))
MODEL = "qwen2.5-0.5b-bf16"
POLICY = str(ROOT / "examples/bank/policy")


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipes in a tree like the repository's, with the rows their comments ask for."""
    tree = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "examples/recipes", tree / "examples/recipes")
    (tree / "var/models").mkdir(parents=True)
    bank = tree / "var/bank"
    commands = [
        ["--out", bank / "train.jsonl", "--held-out", bank / "unseen.jsonl", "--pairs", bank / "pairs.jsonl",
         "--pairs-held-out", bank / "pairs_unseen.jsonl", "--seed", "1"],
        ["--out", bank / "plain.jsonl", "--held-out", bank / "plain_unseen.jsonl", "--grounded", "0", "--seed", "2"],
        ["--out", bank / "gold_rows.jsonl", "--pairs", bank / "gold.jsonl", "--pairs-held-out",
         bank / "gold_unseen.jsonl", "--held-out", bank / "gold_rows_unseen.jsonl", "--seed", "3"],
    ]  # fmt: skip
    for command in commands:
        words = ["data", "synthesise", "--policy", POLICY, "--count", "400", *map(str, command)]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
    lines = (bank / "plain.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    single = [line for line in lines if '"kind":"follow_up"' not in line]
    (bank / "single.jsonl").write_text("".join(single), encoding="utf-8")
    convert(bank / "single.jsonl", bank / "triples.jsonl", Shape.TRIPLES)
    return tree


def test_every_method_has_a_recipe_and_every_recipe_says_what_it_is_for() -> None:
    kinds = [yaml.safe_load(path.read_text(encoding="utf-8"))["method"]["kind"] for path in RECIPES]
    assert {"lora", "full", "dpo", "private", "distil", "quantise", "reward", "ppo", "continual"} <= set(
        kinds
    )
    for path in RECIPES:
        assert path.read_text(encoding="utf-8").startswith("# ")
        assert path.name in (ROOT / "docs/training.md").read_text(encoding="utf-8")


@pytest.mark.default_model
def test_every_recipe_passes_its_dry_run(copied: Path, trainer: Trainer, tiny_model: Path) -> None:
    prepared = ROOT / "var/models" / MODEL
    if not (prepared / "config.json").exists():
        reason = f"{prepared} is not there: make model"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    (copied / "var/models" / MODEL).symlink_to(prepared.resolve())
    teacher = copied / "var/runs/full/model"
    teacher.parent.mkdir(parents=True)
    teacher.symlink_to(tiny_model)
    recipes = [str(copied / "examples/recipes" / path.name) for path in RECIPES]
    done = trainer.run("tests.adapters.training.dry_runs", *recipes)
    assert done.returncode == 0, done.stderr[-3000:]
    said = done.stderr
    for recipe in recipes:
        lines, said = re.split(rf"^{re.escape(recipe)} ", said, maxsplit=1, flags=re.MULTILINE)
        # A machine may be too small for one of them, and is told so: then everything else was in order. One that
        # builds on what another makes is refused until that is there.
        if not (
            said.startswith("2\n") and re.search(r"of (memory|disk) are needed|runs/\S+ is not there", lines)
        ):
            assert said.startswith("0\n"), lines
            assert re.search(r"rows .*held out", lines)
        said = said.partition("\n")[2]
    assert [path.name for path in copied.glob("var/runs/*")] == ["full"]
