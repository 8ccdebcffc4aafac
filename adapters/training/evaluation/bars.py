"""What a recipe asks of a result before it is packaged: questions, and the bars their answers have to reach."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal, Self

import orjson
from pydantic import Field, model_validator

from adapters.training.schedule import Strict

Fraction = Annotated[float, Field(ge=0, le=1)]


class Bars(Strict):
    """A bar that is not named is not held. All are shares from 0 to 1."""

    accuracy: Fraction | None = None
    """The least share of right answers."""
    fact_failures: Fraction | None = None
    """The largest share of answers with a value that the documents contradict."""
    handed_over: Fraction | None = None
    """The largest share of questions with an answer that end in a fallback, a person, a refusal or a warning."""
    forgetting: Fraction | None = None
    """The most that the share of right answers to the general questions may fall from the base model's."""
    better_than: Literal["base"] | None = None
    """More right answers than the base model, by McNemar's exact test at 5 %."""


class Evaluate(Strict):
    """The result and the base model are asked the same questions, greedily, before anything is packaged."""

    questions: Path
    general: Path | None = None
    """Questions of general knowledge, for `forgetting`."""
    policy: Path | None = None
    """Policy folder: its documents for `fact_failures`, its fixed replies to tell a refusal by."""
    today: date | None = None
    """The day whose documents are in force; without it the day of the run."""
    system: str | None = None
    """Before questions that bring no system message; without it `data.system`."""
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 128
    """Longest answer."""
    proven: bool = False
    """The 95 % interval's worse end has to reach the bars, not only what was seen."""
    bars: Bars = Bars()

    @model_validator(mode="after")
    def _measurable(self) -> Self:
        if self.bars.forgetting is not None and self.general is None:
            raise ValueError("bars.forgetting needs evaluate.general, a file of general questions")
        if self.bars.fact_failures is not None and self.policy is None:
            raise ValueError("bars.fact_failures needs evaluate.policy, the folder with the documents")
        return self

    def moved(self, whole: Callable[[Path | None], Path | None]) -> Evaluate:
        """With its paths made absolute."""
        paths = {name: whole(getattr(self, name)) for name in ("questions", "general", "policy")}
        return self.model_copy(update=paths)

    def digest(self) -> str:
        """sha256 (hex) of what is asked and how, not of where the files are."""
        asked = self.model_dump(mode="json", exclude={"questions", "general", "policy"})
        return sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()
