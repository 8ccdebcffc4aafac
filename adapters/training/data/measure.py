"""One figure of a report, the bar it is held to, and examples of what is behind it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from guardrails.policy.yaml_source import read_yaml

COMPLETENESS, CONSISTENCY, CORRECTNESS = "completeness", "consistency", "correctness"
MAX_EXAMPLES = 50
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Bars(BaseModel):
    """What data must reach before anything is trained on it. Shares from 0 to 1, counts of rows or values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    readable: Share = 0.999
    """At least: rows with all required fields, none of them empty."""
    wordings: Annotated[int, Field(ge=1)] = 5
    """How many different questions make a product's attribute covered."""
    coverage: Share = 0.95
    """At least: covered pairs of product and attribute in the documents' tables."""
    documents: Share = 0.95
    """At least: documents with an answered fact."""
    long_tail: Share = 0.2
    """At least: questions on what is not among the most asked fifth."""
    unanswerable: Share = 0.05
    """At least: rows that say they cannot know, so that not knowing is learnt."""
    exact_duplicates: Share = 0.001
    truncated: Share = 0.005
    conflicting_answers: Count = 0
    """Questions with different answers. A field `variant` in the rows tells meant ones apart."""
    conflicting_labels: Count = 0
    foreign_terms: Share = 0.01
    """Answers with a word for which the documents have another."""
    wrong_values: Count = 0
    """Amounts, rates, dates and the like that the documents contradict."""
    unproved_values: Share = 0.005
    """Of all values in answers, those the documents do not have."""
    leaked: Count = 0
    """Rows whose question is, nearly, one of the other file."""
    private: Count = 0
    """Rows with personal data."""


@dataclass(frozen=True, slots=True)
class Measure:
    """`value` is a share or a count; without a `bar` it is only told."""

    name: str
    group: str
    value: float
    bar: float | None = None
    at_least: bool = False
    is_share: bool = False
    note: str = ""
    examples: tuple[str, ...] = ()
    """The first of them."""

    @property
    def passed(self) -> bool:
        """Whether it keeps to the bar."""
        if self.bar is None:
            return True
        return self.value >= self.bar if self.at_least else self.value <= self.bar


def read_bars(path: Path | None) -> Bars:
    """The bars of a file over the usual ones. Raises PolicyProblem."""
    return read_yaml(path).parse(Bars) if path is not None else Bars()


def share(part: int, whole: int) -> float:
    """Rounded to six places; 0 of nothing."""
    return round(part / whole, 6) if whole else 0.0
