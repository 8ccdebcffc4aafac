"""What a recipe says of continual learning: an adapter takes up new rows and keeps what it knew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from adapters.training.low_rank import LowRank
from adapters.training.schedule import Packable


class Continual(LowRank, Packable):
    """The adapter `start_from` learns the rows, beside a share of earlier ones on which it stays near to itself.

    Rank, alpha, rslora and targets come with the adapter; those that the recipe names have to be its own.
    """

    kind: Literal["continual"]
    start_from: Path
    """A package's folder: the parent."""
    version: str | None = None
    """The parent's version id; otherwise the one in its run's result.json, where that lies beside it."""
    keys: tuple[Path, ...] = ()
    """Public keys, one of which has to have signed the parent."""
    earlier: tuple[Path, ...] = ()
    """Files of earlier rows; otherwise those that the parent's run left (`replay.jsonl` beside the package)."""
    replay: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """The share of earlier rows in all that is learnt."""
    keep_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 500
    """How many rows, drawn from all so far, are left for the next round."""
    strength: Annotated[float, Field(ge=0, le=100)] = 1.0
    """Weight of the distance from the parent on earlier rows; 0: none."""
    old_tasks: tuple[Path, ...] = ()
    """Held-out rows of earlier rounds, a file for each task."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.replay == 0 and self.strength > 0:
            raise ValueError("replay is 0, so there are no rows on which to stay near: set strength: 0 too")
        if self.replay == 0 and self.earlier:
            raise ValueError("replay is 0, so nothing of earlier is learnt; leave it out")
        names = [path.stem for path in self.old_tasks]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"old_tasks: two files are called {', '.join(twice)}, and figures by that")
        return self

    def moved(self, whole: Callable[[Path], Path]) -> Self:
        """With its paths made absolute."""
        lists = ("keys", "earlier", "old_tasks")
        paths = {name: tuple(whole(path) for path in getattr(self, name)) for name in lists}
        return self.model_copy(update={"start_from": whole(self.start_from), **paths})
