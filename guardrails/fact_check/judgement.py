"""What the fact check says about one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from guardrails.values.value import Value


class Label(StrEnum):
    """The three answers of a fact check."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing of a sentence that was compared. `reason`: value, subject, bound, per, unit, polarity, wording."""

    label: Label
    reason: str
    claimed: Value | None = None
    right: Value | None = None
    statement: str = ""
    citation: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """`corrected` is the sentence with its wrong value put right, where that is unambiguous; else empty."""

    label: Label
    findings: tuple[Finding, ...] = ()
    corrected: str = ""

    @property
    def worst(self) -> Finding | None:
        """The finding that decided."""
        return next((finding for finding in self.findings if finding.label is self.label), None)
