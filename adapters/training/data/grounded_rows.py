"""Dialogues as an engine is asked them: each with the facts that the gateway looks up for its question.

An answer is only taught where the facts it rests on were found, so that what is learnt is to read them. Where a share
of the facts is held out, no row to train on shows one of them: questions on these are what reading is measured by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

from adapters.training.conversation import read_each
from adapters.training.data.lines import Writer, writing
from adapters.training.data.shapes import Dialogue, Row, Shape
from adapters.training.data.synthetic import is_held_out
from adapters.training.evaluation.grounded_questions import Prompter
from guardrails.knowledge.fact import Fact


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is chosen of the dialogues, drawn by `seed` until there are enough.

    `count`, `held_out_count`: rows to train on, and rows on facts that are held out. Shares of these that are not
    passed: `one_fact`, rows with a single fact, which can be copied without being read; `unanswered`, questions that
    the facts found do not answer. `held_out_share`: of the documents' facts.
    """

    count: int
    seed: int = 0
    one_fact: float = 0.3
    unanswered: float = 0.1
    held_out_count: int = 0
    held_out_share: float = 0.0


@dataclass(frozen=True, slots=True)
class GroundedRows:
    """`left_out`: dialogues looked at and not written, by their reason. `shown`: facts in the rows to train on."""

    rows: int
    held_out_rows: int
    digest: str
    left_out: Mapping[str, int]
    shown: int


def ground_rows(
    dialogues: Path,
    policy: Path,
    today: date,
    target: Path,
    wanted: Wanted,
    held_out: Path | None = None,
    cache: Path | None = None,
) -> GroundedRows:
    """Write rows of messages to `target`, to `held_out` those on such facts. Raises BadRows, and as `Prompter.of`.

    A row names the facts it shows in `shown`, besides what it had. Rows that the gateway would answer by itself, and
    those whose facts it does not find, are left out.
    """
    rows = read_each(dialogues, _taken, "dialogues")
    prompter = Prompter.of(policy, today, cache)
    left_out: Counter[str] = Counter()
    shown: set[str] = set()
    with ExitStack() as files:
        train = _Side(files.enter_context(writing(target)), wanted.count, wanted)
        kept = (
            _Side(files.enter_context(writing(held_out)), wanted.held_out_count, wanted) if held_out else None
        )
        for row in _drawn(rows, wanted.seed):
            if train.full and (kept is None or kept.full):
                break
            messages = [{"role": role, "content": text} for role, text in row.turns]
            asked = prompter.prompt(messages[:-1])
            reason = asked.reason or _unfit(row, asked.facts, asked.lang)
            side = _side(asked.facts, train, kept, wanted.held_out_share)
            if reason or side is None:
                left_out[reason or "facts of both sides"] += 1
                continue
            ids = [fact.id for fact in asked.facts]
            if not side.add({**row.rest, "messages": [*asked.messages, messages[-1]], "shown": ids}):
                left_out["enough of these"] += 1
            elif side is train:
                shown.update(ids)
    return GroundedRows(
        train.writer.rows,
        kept.writer.rows if kept else 0,
        train.writer.digest,
        dict(sorted(left_out.items())),
        len(shown),
    )


class _Side:
    """One of the files: takes rows until it has enough, and of the two kinds with a share no more than that."""

    def __init__(self, writer: Writer, count: int, wanted: Wanted) -> None:
        self.writer = writer
        self._count = count
        self._one_fact = round(count * wanted.one_fact)
        self._unanswered = round(count * wanted.unanswered)

    @property
    def full(self) -> bool:
        """Whether there are enough."""
        return self.writer.rows >= self._count

    def add(self, row: Mapping[str, Any]) -> bool:
        """Write `row`, if it is wanted."""
        single, unanswered = len(row["shown"]) < 2, row.get("facts") == []
        if self.full or (single and not self._one_fact) or (unanswered and not self._unanswered):
            return False
        self._one_fact -= single
        self._unanswered -= unanswered
        self.writer.write(row)
        return True


def _taken(line: int, row: Row, shape: Shape) -> Dialogue:
    if not isinstance(row, Dialogue):
        raise ValueError(f"{shape.value}, not a dialogue; `atelier data convert` makes them")
    if any(role == "system" for role, _ in row.turns):
        raise ValueError("has a system message: make it with `--grounded 0`, the facts are looked up here")
    return row


def _drawn(rows: tuple[Dialogue, ...], seed: int) -> Iterator[Dialogue]:
    order = list(range(len(rows)))
    Random(seed).shuffle(order)
    return (rows[at] for at in order)


def _unfit(row: Dialogue, shown: tuple[Fact, ...], lang: str) -> str:
    """Why the answer cannot be taught from what is shown; empty where it can."""
    if row.rest.get("lang", lang) != lang:
        return "taken for another language"
    needed, found = row.rest.get("facts") or (), {fact.id for fact in shown}
    # Of a second question the row names the first one's facts too; its own come last.
    last = needed[-1:] if row.rest.get("kind") == "follow_up" else needed
    return "" if found.issuperset(last) else "facts not found"


def _side(shown: tuple[Fact, ...], train: _Side, kept: _Side | None, share: float) -> _Side | None:
    """Where a row that shows these facts belongs; nowhere where some are held out and some are not."""
    held = [is_held_out(fact.id, share) for fact in shown]
    if not any(held):
        return train
    return kept if all(held) else None
