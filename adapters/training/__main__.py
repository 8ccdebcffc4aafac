"""The trainer's command: python -m adapters.training RECIPE [--dry-run]. `atelier train` calls it."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from adapters.training.recipe import Recipe, read_recipe
from guardrails.problem import PolicyProblem

console = Console(stderr=True)
_SHOWN = ("loss", "proxy", "gold", "kl")


class Bar:
    """A progress bar for one method's steps."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task
        self._shown = ""

    def step(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """See `adapters.training.method.Progress`."""
        named = [f"{name} {figures[name]:.3f}" for name in _SHOWN if name in figures]
        self._shown = ", ".join(named) or self._shown
        if "answered" in figures:
            self._shown = "answering questions"
        self._progress.update(self._task, completed=done, total=total, figures=self._shown)


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0 done, 1 below the gate's bars, 2 wrong input."""
    parser = argparse.ArgumentParser(prog="atelier train", description="Train what a recipe says.")
    parser.add_argument("recipe", type=Path)
    parser.add_argument(
        "--dry-run", action="store_true", help="check everything, say what it would take, stop"
    )
    options = parser.parse_args(arguments)
    try:
        recipe = read_recipe(options.recipe)
    except PolicyProblem as problem:
        return _refuse(str(problem))
    # Before anything of Hugging Face is imported: it reads these once. Nothing here may reach out.
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TRANSFORMERS_VERBOSITY="error")
    os.environ["TQDM_DISABLE"] = "1"  # there is one bar here, and it is the run's
    warnings.simplefilter(
        "ignore", FutureWarning
    )  # the libraries' words to each other, not to a recipe's writer
    return _train(recipe, options.recipe, dry_run=options.dry_run)


def _train(recipe: Recipe, path: Path, *, dry_run: bool) -> int:
    from transformers.utils.logging import disable_progress_bar  # noqa: PLC0415

    from adapters.training.conversation import BadRows  # noqa: PLC0415
    from adapters.training.plan import TooLittle  # noqa: PLC0415
    from adapters.training.run import RunRefused, prepare, run  # noqa: PLC0415 - loads torch
    from adapters.training.servable import NotServable  # noqa: PLC0415

    disable_progress_bar()
    try:
        prepared = prepare(recipe)
        _show(f"{recipe.name}: {recipe.method.kind} on {recipe.base.name}", prepared.plan.lines())
        if dry_run:
            return 0
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, TextColumn("{task.fields[figures]}"), console=console) as progress:
            bar = Bar(progress, progress.add_task("training", total=prepared.plan.steps, figures=""))
            result = run(prepared, path.read_text(encoding="utf-8"), bar)
    except (BadRows, TooLittle, RunRefused, NotServable, ValueError) as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"{error}: the last whole checkpoint is kept; make room and run it again")
    _show("result", [(name, f"{value:.4g}") for name, value in sorted(result["figures"].items())])
    console.print(f"report: {recipe.out / 'report.html'}", soft_wrap=True, highlight=False)
    for bar in result.get("bars", ()):
        if bar["passed"]:
            console.print(bar["text"], highlight=False, soft_wrap=True)
    if not result["passed"]:
        for line in result["below"]:
            console.print(f"not packaged: {line}", highlight=False)
        return 1
    console.print(result.get("version") or result["folder"], soft_wrap=True, highlight=False)
    return 0


def _show(title: str, rows: list[tuple[str, str]]) -> None:
    table = Table("", title, title_justify="left")
    for name, text in rows:
        table.add_row(name, text)
    console.print(table)


def _refuse(message: str) -> int:
    console.print(f"error: {message}", style="red", highlight=False, soft_wrap=True, markup=False)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
