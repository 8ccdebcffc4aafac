"""Of several versions of a document only the one in force is used: on the day itself, before it and after it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.knowledge.document import Block, Document, Validity
from guardrails.knowledge.ingest import read_knowledge
from guardrails.knowledge.versions import in_force

OLD, NEW = "A transfer costs 2 euros.", "A transfer costs 3 euros."
TODAY = date(2026, 11, 25)

PAIRS = {
    "dates of both": (
        ("fees-1.md", "---\nid: F-1\neffective_from: 2024-01-01\neffective_to: 2026-03-31\n---\n\n" + OLD),
        ("fees-2.md", "---\nid: F-2\neffective_from: 2026-04-01\neffective_to: null\n---\n\n" + NEW),
    ),
    "one id": (
        ("a/fees.md", "---\nid: F\neffective_from: 2024-01-01\n---\n\n" + OLD),
        ("b/fees.md", "---\nid: F\neffective_from: 2026-04-01\n---\n\n" + NEW),
    ),
    "one title but for the year": (
        ("fees2024.md", "---\nid: F-1\ntitle: 收费标准（2024年版）\neffective_from: 2024-01-01\n---\n\n" + OLD),
        ("fees2026.md", "---\nid: F-2\ntitle: 收费标准（2026年版）\neffective_from: 2026-04-01\n---\n\n" + NEW),
    ),
    "supersedes": (
        ("tariff.md", "---\nid: T-7\neffective_from: 2024-01-01\n---\n\n" + OLD),
        ("fees.md", "---\nid: F-2\nsupersedes: T-7\neffective_from: 2026-04-01\n---\n\n" + NEW),
    ),
    "superseded by": (
        ("tariff.md", "---\nid: T-7\nsuperseded_by: F-2\neffective_from: 2024-01-01\n---\n\n" + OLD),
        ("fees.md", "---\nid: F-2\neffective_from: 2026-04-01\n---\n\n" + NEW),
    ),
    "said in the text": (
        ("old.txt", f"收费标准\n本标准自2024年1月1日起施行，于2026年3月31日废止。\n\n{OLD}"),
        ("new.txt", f"资费说明\n本标准自2026年4月1日起施行。\n\n{NEW}"),
    ),
    "said in English": (
        ("old.txt", f"Tariff\nEffective from 1 January 2024\nValid until 31 March 2026\n\n{OLD}"),
        ("new.html", f'<meta name="valid_from" content="April 1, 2026"><title>Fees</title><p>{NEW}</p>'),
    ),
}  # fmt: skip


def statements(folder: Path, today: date) -> set[str]:
    found, _ = read_knowledge(folder, today)
    assert not found.problems
    return {fact.statement for fact in found.facts} & {OLD, NEW}


@pytest.mark.parametrize("name", PAIRS)
def test_only_the_version_in_force_is_used(name: str, tmp_path: Path) -> None:
    for path, text in PAIRS[name]:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    assert statements(tmp_path, TODAY) == {NEW}
    assert statements(tmp_path, date(2026, 4, 1)) == {NEW}
    assert statements(tmp_path, date(2026, 3, 31)) == {OLD}
    assert statements(tmp_path, date(2025, 6, 1)) == {OLD}
    assert statements(tmp_path, date(2023, 12, 31)) == set()


@pytest.mark.parametrize(
    ("path", "head"),
    [
        ("fees.md", "status: superseded"),
        ("fees.md", "status: 草稿"),
        ("fees.md", "title: Fees (archived)"),
        ("fees-已废止.md", "title: 收费标准"),
        ("archive/fees.md", "title: Fees"),
    ],
)
def test_a_document_that_says_it_no_longer_holds_is_not_used(path: str, head: str, tmp_path: Path) -> None:
    file = tmp_path / path
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"---\nid: F\n{head}\n---\n\n{OLD}", encoding="utf-8")
    assert statements(tmp_path, TODAY) == set()


def test_an_entry_of_a_faq_may_have_days_of_its_own(tmp_path: Path) -> None:
    rows = f"question,answer,valid_from,valid_until\na?,{OLD},2024-01-01,2026-03-31\nb?,{NEW},2026-04-01,\n"
    (tmp_path / "faq.csv").write_text(rows, encoding="utf-8")
    assert statements(tmp_path, date(2026, 3, 31)) == {OLD}
    assert statements(tmp_path, TODAY) == {NEW}


def test_two_documents_with_one_name_and_nothing_to_tell_them_apart_both_hold(tmp_path: Path) -> None:
    for name, text in (("north/faq.md", OLD), ("south/faq-south.md", NEW)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(f"# FAQ\n\n{text}", encoding="utf-8")
    assert statements(tmp_path, TODAY) == {OLD, NEW}


DAYS = st.dates(date(2020, 1, 1), date(2030, 12, 31))
VERSIONS = st.lists(st.tuples(DAYS, st.none() | DAYS), min_size=1, max_size=6, unique_by=lambda one: one[0])


@settings(max_examples=120, deadline=None)
@given(VERSIONS, DAYS)
def test_of_one_id_at_most_the_newest_of_those_in_force_is_used(
    versions: list[tuple[date, date | None]], today: date
) -> None:
    documents = {
        f"{at}.md": Document("F", "Fees", "", "", f"{at}.md", "", (Block("paragraph", "x"),), Validity(*days))
        for at, days in enumerate(versions)
    }
    alive = [name for name, one in documents.items() if one.validity.holds_on(today)]
    newest = max(alive, key=lambda name: documents[name].validity.effective_from or date.min, default=None)
    assert in_force(documents, today) == ([newest] if newest else [])
