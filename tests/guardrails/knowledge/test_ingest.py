"""A folder of documents read: what holds on which day, what is read again, what is said of a broken file."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from guardrails.answers.answers import load_answers
from guardrails.knowledge import ingest
from guardrails.knowledge.fact import Knowledge
from guardrails.knowledge.ingest import read_knowledge
from guardrails.problem import PolicyProblem

BANK = Path(__file__).parents[3] / "examples" / "bank" / "policy" / "knowledge"
TODAY = date(2026, 11, 25)


def knowledge(folder: Path, today: date = TODAY) -> Knowledge:
    found, _ = read_knowledge(folder, today)
    assert not found.problems
    return found


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        (folder / f"{stem}.{suffix}").write_text(text, encoding="utf-8")
    return folder


def test_an_unchanged_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, fees_md="# Fees\n\nA transfer costs 2 euros.", hours_txt="We open at 9:00.")
    parsed: list[str] = []
    genuine = ingest.read_document

    def counted(raw: bytes, path: str) -> object:
        parsed.append(path)
        return genuine(raw, path)

    monkeypatch.setattr(ingest, "read_document", counted)
    _, before = read_knowledge(tmp_path, TODAY)
    assert sorted(parsed) == ["fees.md", "hours.txt"]
    parsed.clear()
    write(tmp_path, fees_md="# Fees\n\nA transfer costs 3 euros.")
    found, after = read_knowledge(tmp_path, TODAY, before)
    assert parsed == ["fees.md"]
    assert after["hours.txt"] is before["hours.txt"]
    assert [fact.statement for fact in found.facts] == ["A transfer costs 3 euros.", "We open at 9:00."]


def test_the_banks_old_fees_hold_only_on_the_days_they_held() -> None:
    def documents(today: date) -> set[str]:
        return {fact.source.doc_id for fact in knowledge(BANK, today).facts}

    assert "XH-CC-001-2026" in documents(TODAY) and "XH-CC-001-2023" not in documents(TODAY)
    past = documents(date(2024, 6, 1))
    assert "XH-CC-001-2023" in past and "XH-CC-001-2026" not in past
    assert "XH-CC-001-2026" in documents(date(2031, 1, 1))
    assert {fact.source.doc_id for fact in knowledge(BANK).superseded} == {"XH-CC-001-2023"}


def test_a_broken_front_matter_is_named_with_its_line(tmp_path: Path) -> None:
    tmp_path = tmp_path / "knowledge"
    tmp_path.mkdir()
    write(tmp_path, fees_md="---\nid: A\neffective_from: soon\n---\n\nA transfer costs 2 euros.")
    found, _ = read_knowledge(tmp_path, TODAY)
    assert [str(problem) for problem in found.problems] == [
        f"{tmp_path / 'fees.md'}:3: `effective_from`: 'soon' is not a date; write 2026-01-31"
    ]
    with pytest.raises(PolicyProblem) as told:
        load_answers(tmp_path.parent, today=TODAY)
    assert told.value.line == 3
