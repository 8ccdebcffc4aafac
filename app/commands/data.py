"""`atelier data`: the data room, where raw material becomes rows to train on."""

from __future__ import annotations

from pathlib import Path

import typer

from adapters.training.data.convert import BETTER, GOOD
from adapters.training.data.convert import convert as convert_rows
from adapters.training.data.lines import BadRows
from adapters.training.data.shapes import Shape
from app.commands.client import fail, out

app = typer.Typer(no_args_is_help=True, help="Training data: converted, read, checked, made.")


@app.command()
def convert(
    source: Path = typer.Argument(..., metavar="IN", help="JSON lines in any of the shapes."),
    target: Path = typer.Argument(..., metavar="OUT"),
    to: Shape = typer.Option(..., help="The shape to write."),
    good: float = typer.Option(GOOD, help="Scores to dialogues: the lowest score to learn from."),
    better: float = typer.Option(BETTER, help="Scores to preferences: the smallest gap that is one."),
) -> None:
    """Rewrite training rows in another shape; a broken row is named with its line and nothing is written."""
    try:
        done = convert_rows(source, target, to, good=good, better=better)
    except (BadRows, OSError) as error:
        fail(str(error))
    left = f", {done.left_out} left out" if done.left_out else ""
    out.print(f"{done.read} rows read, {done.written} written{left}", highlight=False)
    out.print(f"sha256 {done.digest}", highlight=False)
