"""Rows in any of the usual shapes are the same conversation; broken lines are all found at once."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.training.conversation import BadRows, digest_of, read_conversations

REASONS = (
    "not JSON", "not an object", "its fields are question", "is empty",
    "not a text", "not UTF-8", "last message", "'robot'",
)  # fmt: skip
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda text: text.strip()
)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5))
def test_every_shape_reads_the_same(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    shapes = {
        "chat": [
            {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]}
            for asked, said in pairs
        ],
        "pairs": [{"prompt": asked, "response": said} for asked, said in pairs],
        "triples": [{"instruction": asked, "input": "", "output": said} for asked, said in pairs],
    }
    digests = set()
    for name, rows in shapes.items():
        file = folder / f"{name}.jsonl"
        file.write_bytes(b"\n".join(orjson.dumps(row) for row in rows) + b"\n")
        digests.add(digest_of(read_conversations(file)))
    assert len(digests) == 1


def test_a_system_message_is_added_where_there_is_none(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    turns = [("system", "own"), ("user", "q"), ("assistant", "a")]
    own = {"messages": [{"role": role, "content": content} for role, content in turns]}
    file.write_bytes(orjson.dumps({"prompt": "q", "response": "a"}) + b"\n\n" + orjson.dumps(own))
    first, second = read_conversations(file, "given")
    assert first.turns[0] == ("system", "given") and second.turns[0] == ("system", "own")
    assert (first.line, second.line) == (1, 3)


def test_every_broken_line_is_named(tmp_path: Path) -> None:
    lines = [
        b'{"prompt": "q", "response": "a"}',
        b"{not json",
        b"[1, 2]",
        b'{"question": "q"}',
        b'{"prompt": "q", "response": "  "}',
        b'{"prompt": "q", "response": 5}',
        '{"prompt": "年费", "response": "免"}'.encode("gb18030"),
        b'{"messages": [{"role": "user", "content": "q"}]}',
        b'{"messages": [{"role": "robot", "content": "q"}, {"role": "assistant", "content": "a"}]}',
    ]
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(lines))
    with pytest.raises(BadRows) as refused:
        read_conversations(tmp_path / "rows.jsonl")
    said = str(refused.value).splitlines()
    assert [line.split(":")[1] for line in said] == [str(number) for number in range(2, 10)]
    for part in REASONS:
        assert any(part in line for line in said), part


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_no_rows(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rows.jsonl").write_bytes(content)
    with pytest.raises(BadRows, match="no rows"):
        read_conversations(tmp_path / "rows.jsonl")
