"""Questions told apart by whether the facts that are looked up for them were in the rows a model learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from adapters.training.conversation import read_each
from adapters.training.data.lines import writing
from adapters.training.data.shapes import Row, Shape
from adapters.training.evaluation.grounded_questions import Prompter
from adapters.training.evaluation.question_file import QuestionFile


@dataclass(frozen=True, slots=True)
class SeenFacts:
    """Questions written to each file."""

    unseen: int
    seen: int


def tell_apart(
    questions: QuestionFile,
    train: Path,
    policy: Path,
    today: date,
    unseen: Path,
    seen: Path,
    cache: Path | None = None,
) -> SeenFacts:
    """Questions that expect an answer: to `unseen` where facts are found and no row of `train` has one of them.

    The others go to `seen`.

    `train`: rows that name the facts they show in `shown`. Raises BadRows, ValueError, and as
    `Prompter.of`.
    """
    learnt = {fact for shown in read_each(train, _shown, "grounded dialogues") for fact in shown}
    if not learnt:
        raise ValueError(f"{train.name}: no row says which facts it shows; `atelier data ground` makes them")
    prompter = Prompter.of(policy, today, cache)
    with writing(unseen) as new, writing(seen) as old:
        for at, row in enumerate(questions.rows):
            if row["expect"] == "answer":
                ids = {fact.id for fact in prompter.prompt(questions.messages(at)).facts}
                kept = {name: value for name, value in row.items() if name != "line"}
                (new if ids and not ids & learnt else old).write(kept)
    return SeenFacts(new.rows, old.rows)


def _shown(line: int, row: Row, shape: Shape) -> tuple[str, ...]:
    return tuple(row.rest.get("shown") or ())
