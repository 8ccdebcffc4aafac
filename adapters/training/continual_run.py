"""A continual run, apart from the training itself: parent, earlier rows and old tasks read and checked, its plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adapters.training.continual import Continual
from adapters.training.conversation import BadRows, Conversation, digest_of, read_conversations
from adapters.training.encoding import Encoded, encode_all
from adapters.training.parent import Parent, read_parent
from adapters.training.plan import Plan, make_plan, require
from adapters.training.recipe import Recipe
from adapters.training.replay import Reservoir, drawn, kept_for_next

_TOLD = 20


@dataclass(frozen=True, slots=True)
class Continued:
    """`rows`: new ones, then `replayed` ones. `old_tasks`: by name. `left`: the rows for the next round."""

    parent: Parent
    rows: tuple[Encoded, ...]
    replayed: int
    held_out: tuple[Encoded, ...]
    old_tasks: dict[str, tuple[Encoded, ...]]
    left: Reservoir
    digest: str
    plan: Plan

    def card(self) -> dict[str, Any]:
        """Where it comes from, as the card says it."""
        return {
            "round": len(self.parent.ancestors) + 1,
            "parents": list(self.parent.ancestors),
            "replayed_rows": self.replayed,
            "replay": self.left.card(),
        }


def prepare_continual(recipe: Recipe, settings: Continual, tokenizer: Any) -> Continued:
    """Raises BadRows with everything that is wrong, TooLittle, ValueError, OSError."""
    reader = _Reader(tokenizer, recipe)
    parent, reader.problems = read_parent(settings, recipe.base)
    train, new = reader.read(recipe.data.train, "data.train")
    kept, held_out = reader.read(recipe.data.held_out, "data.held_out") if recipe.data.held_out else ((), ())
    files = settings.earlier or ((parent.kept,) if parent is not None and parent.kept is not None else ())
    pool: list[tuple[Conversation, Encoded]] = []
    # Rows that the parent left go on to the next round even where this one learns none of them again.
    for file in files:
        pool += zip(*reader.read(file, "method.earlier"), strict=False)
    tasks = {path.stem: reader.read(path, "method.old_tasks") for path in settings.old_tasks}
    reader.refuse_learnt([*train, *(row for row, _ in pool)], settings.old_tasks, tasks)
    reader.stop_if_any()
    assert parent is not None
    again = drawn(pool, len(new), settings.replay, recipe.seed)
    rows = (*new, *(encoded for _, encoded in again))
    plan = make_plan(recipe, rows, held_out, parent.start)
    plan = replace(plan, more=_lines(settings, parent, len(again), len(pool), tasks))
    require(plan, recipe.out)
    earlier = [row for row, _ in pool]
    seen = len(earlier) if settings.earlier else max(parent.seen, len(earlier)) if earlier else 0
    left = kept_for_next(earlier, seen, train, settings.keep_rows, recipe.seed)
    read = (*train, *kept, *(row for row, _ in again), *(row for said, _ in tasks.values() for row in said))
    old = {name: encoded for name, (_, encoded) in tasks.items()}
    return Continued(parent, rows, len(again), held_out, old, left, digest_of(read), plan)


class _Reader:
    """Reads row files and collects what is wrong with all of them."""

    def __init__(self, tokenizer: Any, recipe: Recipe) -> None:
        self._tokenizer, self._data = tokenizer, recipe.data
        self.problems: list[str] = []

    def read(self, file: Path, field: str) -> tuple[tuple[Conversation, ...], tuple[Encoded, ...]]:
        """Rows as they are and as token ids; empty where they cannot be had."""
        if not file.is_file():
            self.problems.append(f"{field}: {file} is not there")
            return (), ()
        try:
            rows = read_conversations(file, self._data.system)
            return rows, encode_all(self._tokenizer, rows, self._data.max_tokens, file.name)
        except BadRows as error:
            self.problems += str(error).splitlines()
            return (), ()

    def refuse_learnt(
        self,
        learnt: Sequence[Conversation],
        files: Sequence[Path],
        tasks: dict[str, tuple[tuple[Conversation, ...], tuple[Encoded, ...]]],
    ) -> None:
        """A task's row that is learnt, or may be, measures memory and not what is still known."""
        turns = {row.turns for row in learnt}
        for file in files:
            lines = [row.line for row in tasks[file.stem][0] if row.turns in turns]
            self.problems += [f"{file.name}:{line}: is learnt too; hold out other rows" for line in lines]

    def stop_if_any(self) -> None:
        """Raises BadRows."""
        if self.problems:
            more = len(self.problems) - _TOLD
            told = self.problems[:_TOLD] + ([f"… and {more} more"] if more > 0 else [])
            raise BadRows("\n".join(told))


def _lines(
    settings: Continual, parent: Parent, replayed: int, pool: int, tasks: dict[str, Any]
) -> tuple[tuple[str, str], ...]:
    again = f"{replayed:,} of {pool:,} earlier ones" if replayed else "none"
    return (
        ("parent", f"{parent.start.digest[:12]}, round {len(parent.ancestors)}; {parent.proof}"),
        ("rows learnt again", again),
        ("kept near to the parent", f"strength {settings.strength:g}" if settings.strength else "no"),
        ("old tasks", ", ".join(tasks) or "none measured"),
    )
