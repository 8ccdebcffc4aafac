"""The 3C report of a data file: completeness, consistency, correctness, each held to its bars."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from adapters.training.data.askable import askables
from adapters.training.data.checked_rows import read_checked
from adapters.training.data.completeness import completeness
from adapters.training.data.consistency import consistency
from adapters.training.data.correctness import Doubt, correctness
from adapters.training.data.lines import beside, writing
from adapters.training.data.measure import Bars, Measure
from adapters.training.data.policy_source import PolicySource
from adapters.training.data.three_c_page import page
from adapters.training.data.wordings import read_wordings


@dataclass(frozen=True, slots=True)
class Report:
    """All measures of one file."""

    file: str
    rows: int
    policy: str
    today: str
    against: str
    measures: tuple[Measure, ...]
    doubts: tuple[Doubt, ...]

    @property
    def passed(self) -> bool:
        """Whether every measure keeps to its bar."""
        return all(measure.passed for measure in self.measures)

    def record(self) -> dict[str, Any]:
        """As it is written to JSON."""
        measures = [asdict(measure) | {"passed": measure.passed} for measure in self.measures]
        return {
            "file": self.file, "rows": self.rows, "policy": self.policy, "today": self.today, "against": self.against,
            "passed": self.passed, "measures": measures, "review_rows": len(self.doubts),
        }  # fmt: skip


def check_data(path: Path, source: PolicySource, bars: Bars, against: Path | None = None) -> Report:
    """Measure a file. Raises BadRows where it has no row at all, PolicyProblem, OSError.

    `against`: the training file, where `path` is what will be measured on.
    """
    file = read_checked(path)
    other = read_checked(against).rows if against is not None else None
    asked = askables(source.knowledge.facts, read_wordings())
    right = correctness(file.rows, source, bars, other)
    measures = (
        *completeness(file, source, asked, bars),
        *consistency(file.rows, source, bars),
        *right.measures,
    )
    name = against.name if against is not None else ""
    return Report(
        path.name,
        len(file.rows),
        source.folder.name,
        source.today.isoformat(),
        name,
        measures,
        right.doubts,
    )


def write_json(report: Report, path: Path) -> None:
    """Raises OSError."""
    with beside(path) as draft:
        draft.write_bytes(
            orjson.dumps(report.record(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        )


def write_html(report: Report, path: Path) -> None:
    """One page that needs nothing else. Raises OSError."""
    with beside(path) as draft:
        draft.write_text(page(report.record(), [doubt.row() for doubt in report.doubts]), encoding="utf-8")


def write_review(report: Report, path: Path) -> None:
    """JSON lines for people to fill in, one a row in doubt. Raises OSError."""
    with writing(path) as writer:
        for doubt in report.doubts:
            writer.write(doubt.row())
