"""Files that cannot be read: each is a problem with its place, none stops the others, none costs much time."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import date
from pathlib import Path

import pytest

from guardrails.knowledge.document import MAX_DOCUMENT_BYTES
from guardrails.knowledge.ingest import read_knowledge
from guardrails.knowledge.read import read_document
from guardrails.knowledge.word import MAX_UNPACKED
from tests.guardrails.knowledge.files import pdf_file, word_file


def packed(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as parts:
        for name, content in files.items():
            parts.writestr(name, content)
    return out.getvalue()


def bomb() -> bytes:
    """A few hundred kilobytes that unpack to more than any document holds."""
    return packed({f"word/{number}.xml": bytes(MAX_UNPACKED // 4) for number in range(5)})


BROKEN = {
    "front.md": (b"---\nid: [a\n---\n\nText.", "line 2: the front matter is not YAML"),
    "list.md": (b"---\n- a\n---\n\nText.", "line 1: the front matter must be"),
    "date.md": (
        b"---\nid: a\neffective_to: 2026-02-30\n---\n\nText.",
        "line 3: `effective_to`: day is out of range",
    ),
    "empty.md": (b"---\nid: a\n---\n\n \n", "the document is empty"),
    "empty.txt": (b"", "the document is empty"),
    "damaged.txt": (
        "一行好的文字\n".encode() * 3 + "第四行".encode()[:-1] + b"\n" + "尾".encode(),
        "line 4: broken UTF-8",
    ),
    "binary.txt": (b"\x00\x01\x02\xff" * 20, "zero bytes"),
    "no_answers.jsonl": (
        b'{"question": "a?", "answer": "b"}\n{"question": "c?"}\n',
        "line 2: an object with",
    ),
    "broken.jsonl": (b'{"question": "a?", "answer": "b"}\n\n{"question": \n', "line 3: not JSON"),
    "deep.jsonl": (b"[" * 100_000, "line 1: not JSON"),
    "numbers.jsonl": (b'{"question": "a?", "answer": 7}', "line 1: question and answer must be text"),
    "half.csv": (b"question,answer\na?,b\nc?,\n", "line 3: a question and an answer are needed"),
    "wide.csv": (b"question,answer\na?,b,c\n", "line 2: 3 cells under 2 columns"),
    "open.csv": (b'question,answer\na?,"b\n', "not CSV"),
    "text.docx": (b"this is no zip file", "not a DOCX file"),
    "old.docx": (b"\xd0\xcf\x11\xe0" + bytes(600), "an old .doc or a password-protected file"),
    "other.docx": (packed({"a.txt": b"a"}), "not a readable DOCX file"),
    "bomb.docx": (bomb(), "too much for a document"),
    "cut.docx": (word_file()[:3000], "not a DOCX file"),
    "text.pdf": (b"this is no PDF file", "not a readable PDF file"),
    "cut.pdf": (pdf_file([[(60, 700, 10, "Text.")]])[:200], "not a readable PDF file"),
    "locked.pdf": (pdf_file([[(60, 700, 10, "Text.")]], password="secret"), "protected by a password"),
    "scan.pdf": (pdf_file([[]]), "no text layer"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_told_with_its_place(name: str) -> None:
    content, said = BROKEN[name]
    with pytest.raises(ValueError, match=r".") as told:
        read_document(content, name)
    assert said in str(told.value)


def test_a_broken_page_of_a_pdf_is_told_with_its_number() -> None:
    good = pdf_file([[(60, 700, 10, "Text.")], [(60, 700, 10, "More.")]])
    broken = good.replace(b"(More.) Tj", b"(More.) [[[")
    assert broken != good
    with pytest.raises(ValueError, match="page 2") as told:
        read_document(broken, "a.pdf")
    assert "not a readable PDF file" in str(told.value)


def test_a_file_too_large_to_read_is_refused_unread() -> None:
    with pytest.raises(ValueError, match="Split the document"):
        read_document(bytes(MAX_DOCUMENT_BYTES + 1), "a.txt")


def test_one_broken_file_leaves_the_others(tmp_path: Path) -> None:
    for name, (content, _) in BROKEN.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "good.md").write_text("# Rules\n\nKeys stay here.", encoding="utf-8")
    (tmp_path / ".hidden.md").write_text("# Rules\n\nNobody reads this.", encoding="utf-8")
    (tmp_path / "~$good.docx").write_bytes(b"an editor's leftover")
    (tmp_path / "picture.png").write_bytes(b"no document")
    found, _ = read_knowledge(tmp_path, date(2026, 11, 25))
    assert [fact.statement for fact in found.facts] == ["Keys stay here."]
    assert len(found.problems) == len(BROKEN)
    for problem in found.problems:
        assert problem.path.parent == tmp_path and problem.message
    assert {problem.line for problem in found.problems} >= {1, 2, 3, 4, None}


@pytest.mark.parametrize(
    "text",
    [
        "# " * 60_000,
        "|" * 100_000,
        "| a " * 20_000 + "\n" + "|---" * 20_000,
        "[" * 30_000,
        "_" * 100_000 + ": x",
        "\u200b" * 10_000 + "：",
        "> " * 5_000 + "deep",
        "- " * 5_000 + "deep",
        "<div>" * 20_000,
        "一、" * 200_000,
        "本办法" * 200_000,
        "if " * 200_000,
        "2026年" * 100_000,
        " \n" * 100_000,
    ],
    ids=lambda text: repr(text[:8]),
)
@pytest.mark.parametrize("name", ["a.md", "a.txt", "a.html"])
def test_hostile_text_is_read_or_refused(text: str, name: str) -> None:
    try:
        document = read_document(text.encode(), name)
    except ValueError as error:
        assert str(error)
    else:
        assert document.blocks


def test_a_table_that_spans_without_end_stays_small() -> None:
    page = "<table>" + "<tr><td colspan=99999 rowspan=99999>a</td></tr>" * 20 + "</table>"
    (table,) = read_document(page.encode(), "a.html").blocks
    assert sum(map(len, table.rows)) < 100_000


def test_json_that_builds_up_is_read_as_text() -> None:
    row = json.dumps({"question": "a\ud800?", "answer": "b\udfff\x00"})
    (block,) = read_document(row.encode(), "a.jsonl").blocks
    assert "".join(block.rows[0]).encode("utf-8")
