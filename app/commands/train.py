"""`atelier train`: run a recipe in the trainer's own environment, then push what it made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import orjson
import typer

from adapters.training.recipe import Recipe, read_recipe
from app.commands import adapters
from app.commands.client import fail
from guardrails.problem import PolicyProblem

TRAINER = Path(".venv-trainer/bin/python")
NAMED_BY = "ATELIER_TRAINER_PYTHON"
WRONG = 2
"""The status for wrong input, as the trainer's own; 1 is a result below its bars."""


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(train)


def train(
    recipe: Path = typer.Argument(..., help="A recipe, see docs/training.md."),
    dry_run: bool = typer.Option(False, help="Check everything, say what it would take, and stop."),
    push: bool = typer.Option(True, help="Push the adapter where the recipe says (package.push_to)."),
) -> None:
    """Train what a recipe says: check the data, train, hold the result to its bars, pack, sign, push."""
    try:
        read = read_recipe(recipe)
    except PolicyProblem as problem:
        fail(str(problem), WRONG)
    python = Path(os.environ.get(NAMED_BY, str(TRAINER)))
    if not python.is_file():
        fail(
            f"{python} is not there: run `make trainer` in Atelier's folder, or name its Python in {NAMED_BY}.",
            WRONG,
        )
    command = [str(python), "-m", "adapters.training", str(recipe)] + (["--dry-run"] if dry_run else [])
    code = subprocess.run(command, check=False).returncode
    if code != 0:
        sys.exit(code if code > 0 else WRONG)
    if push and not dry_run and read.package.push_to is not None:
        _push(read)


def _push(recipe: Recipe) -> None:
    result = orjson.loads((recipe.out / "result.json").read_bytes())
    assert recipe.package.push_to is not None and recipe.package.key_file is not None
    key = recipe.package.key_file.read_text(encoding="ascii").strip()
    adapters.push(
        Path(result["folder"]),
        name=recipe.name,
        wait=True,
        timeout=300.0,
        url=recipe.package.push_to,
        key=key,
    )
