"""Earlier rows that are learnt again: a small uniform sample of all rows so far, and what is drawn from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import TypeVar

import orjson

from adapters.training.conversation import Conversation

REPLAY = "replay.jsonl"
"""In a run's folder, beside the package and not in it: rows of customers do not travel to a gateway."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Reservoir:
    """`lines`: JSONL. `seen`: of how many rows they were drawn."""

    lines: bytes
    rows: int
    seen: int

    def card(self) -> dict[str, int | str]:
        """How a card binds it."""
        return {"sha256": sha256(self.lines).hexdigest(), "rows": self.rows, "seen": self.seen}

    def write(self, folder: Path) -> None:
        """Raises OSError."""
        aside = folder / f".{REPLAY}.partial"
        aside.write_bytes(self.lines)
        aside.replace(folder / REPLAY)


def kept_for_next(
    earlier: Sequence[Conversation], seen: int, new: Sequence[Conversation], size: int, seed: int
) -> Reservoir:
    """A uniform sample of the `seen` rows, of which `earlier` are one, and the `new` ones; seeded."""
    rows = sampled(earlier, seen, new, size, Random(f"{seed}/keep"))
    lines = b"".join(orjson.dumps({"messages": row.messages()}) + b"\n" for row in rows)
    return Reservoir(lines, len(rows), seen + len(new))


def sampled(earlier: Sequence[Item], seen: int, new: Sequence[Item], size: int, rng: Random) -> list[Item]:
    """Reservoir sampling gone on with (Vitter 1985, algorithm R): every row so far is kept with the same chance.

    A sample that was smaller than what it was drawn from can not grow and stay uniform, so it does not grow.
    """
    kept = list(earlier)
    if len(kept) < seen:
        size = min(size, len(kept))
    if len(kept) > size:
        kept = rng.sample(kept, size)
    for number, row in enumerate(new, start=seen + 1):
        if len(kept) < size:
            kept.append(row)
        elif (place := rng.randrange(number)) < size:
            kept[place] = row
    return kept


def drawn(earlier: Sequence[Item], new: int, share: float, seed: int) -> list[Item]:
    """So many of `earlier` that they are `share` of what is learnt with `new` others; each as often as any other,
    give or take one. At least one where the share is more than nothing.
    """
    wanted = max(1, round(new * share / (1 - share))) if share else 0
    rng = Random(f"{seed}/replay")
    chosen: list[Item] = []
    while len(chosen) < wanted:
        chosen += rng.sample(list(earlier), min(len(earlier), wanted - len(chosen)))
    return chosen
