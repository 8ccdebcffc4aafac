"""The same kind of document in every format: headings, clauses and tables come out as the same kind of facts."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardrails.knowledge.document import HEADING, ITEM, TABLE, Document
from guardrails.knowledge.extract import document_facts
from guardrails.knowledge.fact import Fact
from guardrails.knowledge.read import read_document
from tests.guardrails.knowledge.files import chinese_pdf_file, pdf_file, word_file


def read(text: str | bytes, name: str) -> Document:
    return read_document(text.encode() if isinstance(text, str) else text, name)


def facts(text: str | bytes, name: str) -> tuple[Fact, ...]:
    return document_facts(read(text, name))


def cells(found: tuple[Fact, ...]) -> set[tuple[str, str, str]]:
    return {(fact.row, fact.column, fact.value) for fact in found if fact.kind == "table"}


PRICES = {
    ("North", "Hour", "2 euros"),
    ("North", "Day", "12 euros"),
    ("South", "Hour", "3 euros"),
    ("South", "Day", "18 euros"),
}

MARKDOWN = """---
id: P-1
title: Parking Rules
effective_from: 2026-03-01
---

# Parking Rules

## Prices

| Zone | Hour | Day |
|---|---|---|
| North | 2 euros | 12 euros |
| South | 3 euros | 18 euros |

These are free of charge:

- motorcycles, for one day
- bicycles
"""

TEXT = """PARKING RULES

1. Prices

Zone     Hour      Day
North    2 euros   12 euros
South    3 euros   18 euros

2. Lost tickets
   A lost ticket costs 30 euros, which is paid at the desk in the entrance hall before the car leaves
   the building.
"""

HTML = """<html><head><title>Parking</title><meta name="effective_from" content="2026-03-01">
<style>p {color: red}</style></head><body><h1>Parking Rules</h1><h2>Prices</h2>
<table><tr><th>Zone</th><th>Hour</th><th>Day</th></tr>
<tr><td>North</td><td>2 euros</td><td>12 euros</td></tr>
<tr><td>South</td><td>3 euros</td><td>18 euros</td></tr></table>
<p>A lost ticket costs 30 euros.</p><script>var price = 99;</script></body></html>"""


@pytest.mark.parametrize(
    ("source", "name"),
    [(MARKDOWN, "a.md"), (TEXT, "a.txt"), (HTML, "a.html"), (word_file(), "a.docx")],
    ids=["markdown", "text", "html", "word"],
)
def test_a_table_reads_the_same_in_every_format(source: str | bytes, name: str) -> None:
    found = facts(source, name)
    assert cells(found) == PRICES
    assert {fact.source.section for fact in found if fact.kind == "table"} <= {"Prices", "1. Prices"}


@pytest.mark.parametrize(("source", "name"), [(MARKDOWN, "a.md"), (HTML, "a.html"), (word_file(), "a.docx")])
def test_the_day_it_comes_into_force_is_read_in_every_format(source: str | bytes, name: str) -> None:
    assert str(read(source, name).validity.effective_from) == "2026-03-01"
    assert read(source, name).title == "Parking Rules"


def test_list_items_carry_the_words_that_lead_to_them() -> None:
    statements = [fact.statement for fact in facts(MARKDOWN, "a.md")]
    assert "These are free of charge: motorcycles, for one day" in statements


def test_wrapped_lines_of_text_are_one_clause() -> None:
    statements = [fact.statement for fact in facts(TEXT, "a.txt")]
    assert (
        "A lost ticket costs 30 euros, which is paid at the desk in the entrance hall before the car leaves "
        "the building." in statements
    )


def test_what_a_page_hides_is_not_read() -> None:
    assert not any("99" in fact.statement or "red" in fact.statement for fact in facts(HTML, "a.html"))


def test_cells_that_reach_over_rows_and_columns_are_written_out() -> None:
    page = (
        "<table><thead><tr><th rowspan=2>Zone</th><th colspan=2>Price</th></tr><tr><th>Hour</th><th>Day</th></tr>"
        "</thead><tr><td rowspan=2>North</td><td>2</td><td>12</td></tr><tr><td>4</td><td>14</td></tr></table>"
    )
    table = next(block for block in read(page, "a.html").blocks if block.kind == TABLE)
    assert table.head == 2
    assert table.rows[2:] == (("North", "2", "12"), ("North", "4", "14"))
    assert {fact.column for fact in facts(page, "a.html")} >= {"Price Day"}


def test_numbers_of_clauses_are_kept_for_the_citation() -> None:
    found = facts(
        "# Rules\n\n## 2 Use\n\n1. Keys stay here.\n2. Dogs may come.\n\n2.1 Cats may not.\n", "a.md"
    )
    assert [(fact.source.clause, fact.statement) for fact in found] == [
        ("1", "Keys stay here."),
        ("2", "Dogs may come."),
        ("2.1", "Cats may not."),
    ]
    assert found[0].source.label == "Rules 2 Use 1"


def test_names_at_the_head_of_a_paragraph_are_headings() -> None:
    found = facts(
        "# 须知\n\n【热线】 电话10012。\n\n**第四条（停机）** 欠费即停机。\n\n1. 交清后复机。\n", "a.md"
    )
    assert [(fact.source.section, fact.statement) for fact in found] == [
        ("热线", "电话10012。"),
        ("第四条（停机）", "欠费即停机。"),
        ("第四条（停机）", "交清后复机。"),
    ]


def test_a_rule_is_told_apart_from_its_example() -> None:
    found = facts(
        "# Rules\n\nLeaving early costs 30% of the rest. For example, of 100 euros 30 are due.", "a.md"
    )
    assert [fact.kind for fact in found] == ["clause", "example"]


def test_a_condition_is_part_of_the_fact() -> None:
    (fact,) = facts("# Rules\n\nIf the ticket was lost, 30 euros are due.", "a.md")
    assert fact.condition == "If the ticket was lost"


def test_a_pdf_gives_headings_paragraphs_and_tables() -> None:
    rows = [("Zone", "Hour", "Day"), ("North", "2 euros", "12 euros"), ("South", "3 euros", "18 euros")]
    table = [
        (60 + 150 * column, 640 - 20 * row, 10, text)
        for row, texts in enumerate(rows)
        for column, text in enumerate(texts)
    ]
    page = [
        (60, 780, 20, "Parking Rules"),
        (60, 740, 10, "Guests who come for a meeting park free of charge in the first hour, if the"),
        (60, 726, 10, "desk knows of it."),
        (60, 690, 14, "Prices"),
        *table,
        (290, 30, 8, "1"),
    ]
    found = facts(pdf_file([page]), "a.pdf")
    assert cells(found) == PRICES
    assert found[0].source.title == "Parking Rules"
    assert found[0].statement == (
        "Guests who come for a meeting park free of charge in the first hour, if the desk knows of it."
    )
    assert {fact.source.section for fact in found if fact.kind == "table"} == {"Prices"}


def test_a_chinese_pdf_reads_as_chinese() -> None:
    found = facts(
        chinese_pdf_file(["停车规则", "一、收费标准", "每小时收费5元。", "遗失停车票的，收取30元。"]), "a.pdf"
    )
    assert [fact.statement for fact in found][-1] == "遗失停车票的，收取30元。"
    assert found[-1].source.section == "一、收费标准"


def test_questions_and_answers_come_from_csv_and_json_lines() -> None:
    wanted = [("怎么退款？", "五天内退回原卡。"), ("When do you open?", "At nine.")]
    csv = "问题,答案\n怎么退款？,五天内退回原卡。\nWhen do you open?,At nine.\n"
    lines = '{"question": "怎么退款？", "answer": "五天内退回原卡。"}\n\n'
    lines += '{"q": "When do you open?", "a": "At nine."}\n'
    for text, name in ((csv, "a.csv"), (lines, "a.jsonl")):
        assert [(fact.attribute, fact.value) for fact in facts(text, name)] == wanted


def test_a_csv_without_questions_is_a_table() -> None:
    found = facts("Zone;Hour;Day\nNorth;2 euros;12 euros\nSouth;3 euros;18 euros\n", "a.csv")
    assert cells(found) == PRICES


def test_lines_count_in_the_file_not_after_its_head() -> None:
    lines = MARKDOWN.split("\n")
    for block in read(MARKDOWN, "a.md").blocks:
        if block.kind in {HEADING, ITEM}:
            assert block.text in lines[block.line - 1]
        elif block.kind == TABLE:
            assert lines[block.line - 1].startswith("| Zone")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_the_usual_encodings_of_chinese_text_are_read(encoding: str) -> None:
    (fact,) = document_facts(read_document("停车规则\n\n遗失停车票的，收取30元。".encode(encoding), "a.txt"))
    assert fact.statement == "遗失停车票的，收取30元。"


def test_western_text_in_an_old_encoding_is_read() -> None:
    (fact,) = document_facts(
        read_document("Café prices\n\nA crème brûlée costs £3.".encode("cp1252"), "a.txt")
    )
    assert fact.statement == "A crème brûlée costs £3."


def test_every_suffix_is_known_in_capitals_too(tmp_path: Path) -> None:
    assert read(MARKDOWN, "A.MD").title == "Parking Rules"
