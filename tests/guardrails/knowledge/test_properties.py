"""Whatever text a file holds: it is read without an error of the program's own, and every line is the right one."""

from __future__ import annotations

import re
from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.knowledge.dates import read_day
from guardrails.knowledge.document import FAQ, PARAGRAPH, Document
from guardrails.knowledge.extract import LONGEST_SENTENCE, clause_sentences, document_facts
from guardrails.knowledge.faq import csv_blocks
from guardrails.knowledge.markdown import front_matter, markdown_blocks
from guardrails.knowledge.plain import text_blocks
from guardrails.knowledge.read import read_document
from guardrails.knowledge.table import table_cells

PIECES = st.sampled_from(
    "# |## |- |1. |2.1 |---\n|| |\n|\n\n|```\n|<table>|<td colspan=3>|</table>|**|[a](b)|年费|100元|免费|：|。|；|"
    "If you|, then|5%|\t|    |> |\\|&amp;|【热线】|第三条（停机）|同上|例如|\ud800|\u200b|\x00".split("|")
)
TEXT = st.lists(PIECES | st.text(max_size=6), max_size=60).map("".join)


def document(text: str, name: str = "a.md") -> Document | None:
    """The document, or None where the text is refused."""
    try:
        return read_document(text.encode("utf-8", "surrogatepass"), name)
    except ValueError as error:
        assert str(error)
        return None


@settings(max_examples=120, deadline=None)
@given(TEXT, st.sampled_from(["a.md", "a.txt", "a.html", "a.csv", "a.jsonl"]))
def test_any_text_is_read_or_refused(text: str, name: str) -> None:
    found = document(text, name)
    if found is None:
        return
    facts = document_facts(found)
    assert document_facts(found) == facts
    for fact in facts:
        assert fact.statement.strip() and fact.value in fact.statement
        fact.statement.encode("utf-8")
        assert len(fact.statement) <= len(text) + 2_000


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=400),
    st.sampled_from(["a.docx", "a.pdf", "a.txt", "a.html", "a.csv", "a.jsonl", "a.md"]),
)
def test_any_bytes_are_read_or_refused(raw: bytes, name: str) -> None:
    try:
        found = read_document(raw, name)
    except ValueError as error:
        assert str(error)
    else:
        assert document_facts(found) is not None


WORDS = st.text(alphabet="abcdefgh费年卡", min_size=1, max_size=8)
LINES = st.lists(
    st.tuples(st.sampled_from(["# {}", "## {}", "{}", "- {}", "> {}"]), WORDS, st.integers(0, 3)), max_size=12
)


@settings(max_examples=120, deadline=None)
@given(LINES, st.booleans())
def test_a_block_of_markdown_stands_on_its_line(lines: list[tuple[str, str, int]], headed: bool) -> None:
    head = "---\nid: a\n---\n" if headed else ""
    text = head + "".join(form.format(word) + "\n" * (2 + gap) for form, word, gap in lines)
    _, body, before = front_matter(text)
    for block in markdown_blocks(body, before):
        assert block.text in text.split("\n")[block.line - 1]


@settings(max_examples=120, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=10), st.integers(0, 3))
def test_a_block_of_plain_text_stands_on_its_line(words: list[str], gap: int) -> None:
    text = ("\n" * (1 + gap)).join(f"{word}。" for word in words)
    blocks = text_blocks(text)
    assert [block.text for block in blocks] == [f"{word}。" for word in words]
    for block in blocks:
        assert text.split("\n")[block.line - 1] == block.text


@settings(max_examples=120, deadline=None)
@given(TEXT)
def test_no_word_is_lost_between_a_clause_and_its_sentences(text: str) -> None:
    pieces = clause_sentences(text)
    assert re.sub(r"\s", "", "".join(pieces)) == re.sub(r"\s", "", text)
    assert all(len(piece) <= LONGEST_SENTENCE for piece in pieces)


CELLS = st.lists(st.lists(st.sampled_from(["", "a", "b", "1", "同上", "无", "-"]), max_size=4), max_size=6)


@settings(max_examples=120, deadline=None)
@given(CELLS, st.integers(0, 3))
def test_every_cell_of_any_table_is_one_of_its_own(rows: list[list[str]], head: int) -> None:
    written = {cell for row in rows for cell in row}
    for cell in table_cells(rows, head):
        assert cell.value in written and cell.value


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=8))
def test_an_entry_of_a_csv_stands_on_its_line(pairs: list[tuple[str, str]]) -> None:
    text = "question,answer\n" + "".join(f"{asked},{said}\n" for asked, said in pairs)
    blocks = csv_blocks(text)
    assert [(block.kind, block.rows, block.line) for block in blocks] == [
        (FAQ, (pair,), line) for line, pair in enumerate(pairs, 2)
    ]


FORMS = (
    "{0:%Y-%m-%d}",
    "{0.year}年{0.month}月{0.day}日",
    "{0.day} {0:%B} {0.year}",
    "{0:%b} {0.day}, {0.year}",
    "{0:%Y%m%d}",
    "{0.year}/{0.month}/{0.day}",
)


@settings(max_examples=120, deadline=None)
@given(st.dates(date(2000, 1, 1), date(2099, 12, 31)), st.sampled_from(FORMS))
def test_a_day_is_read_in_every_form(day: date, form: str) -> None:
    assert read_day(form.format(day)) == day


def test_paragraphs_of_wrapped_chinese_have_no_space_between_lines() -> None:
    (block,) = markdown_blocks("年费为每年\n一百元。")
    assert (block.kind, block.text) == (PARAGRAPH, "年费为每年一百元。")
