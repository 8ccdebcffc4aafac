"""Rows from one shape into another: nothing lost on the way and back, nothing half-written, every bad line named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from adapters.training.conversation import read_conversations
from adapters.training.data.convert import convert, converted, levelled, preferences
from adapters.training.data.lines import MAX_LINE_BYTES, BadRows
from adapters.training.data.shapes import Dialogue, Preference, Score, Shape, read_row, write_row
from app.cli import app

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(str.strip)
REST = st.dictionaries(st.sampled_from(["id", "tags"]), st.integers(0, 9), max_size=2)


@st.composite
def dialogues(draw: st.DrawFn) -> Dialogue:
    system = [("system", draw(TEXT))] if draw(st.booleans()) else []
    said = [("user", draw(TEXT)), ("assistant", draw(TEXT))] * draw(st.integers(1, 3))
    return Dialogue((*system, *said), draw(REST))


@st.composite
def preference_rows(draw: st.DrawFn) -> Preference:
    chosen = draw(TEXT)
    rejected = draw(TEXT.filter(lambda text: text != chosen))
    return Preference((("user", draw(TEXT)),), chosen, rejected, draw(REST))


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@settings(max_examples=60, deadline=None)
@given(dialogues())
def test_a_dialogue_survives_every_shape_that_holds_it(row: Dialogue) -> None:
    for shape in (Shape.MESSAGES, Shape.PAIRS, Shape.TRIPLES):
        if shape is Shape.MESSAGES or len(row.turns) == 2:
            assert read_row(write_row(row, shape)) == row
        else:
            with pytest.raises(ValueError, match="one question and its answer"):
                write_row(row, shape)


@settings(max_examples=60, deadline=None)
@given(preference_rows())
def test_preferences_become_scores_and_the_same_preferences_again(row: Preference) -> None:
    assert read_row(write_row(row, Shape.PREFERENCES)) == row
    scores = [one for one in converted(row, Shape.SCORES) if isinstance(one, Score)]
    assert [read_row(write_row(one, Shape.SCORES)) for one in scores] == scores
    (back,) = preferences(scores)
    assert (back.prompt, back.chosen, back.rejected) == (row.prompt, row.chosen, row.rejected)
    (dialogue,) = converted(row, Shape.MESSAGES)
    assert dialogue == Dialogue((*row.prompt, ("assistant", row.chosen)), row.rest)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("pqr"), st.floats(0, 5)), max_size=8))
def test_no_preference_goes_against_the_scores(given_scores: list[tuple[str, str, float]]) -> None:
    rows = [Score((("user", prompt),), response, score, "r") for prompt, response, score in given_scores]
    for pair in preferences(rows, better=0.5):
        assert pair.rest["margin"] >= 0.5
        better = [row.score for row in rows if (row.prompt, row.response) == (pair.prompt, pair.chosen)]
        worse = [row.score for row in rows if (row.prompt, row.response) == (pair.prompt, pair.rejected)]
        assert sum(better) / len(better) > sum(worse) / len(worse)


def test_a_mild_rater_and_a_strict_one_count_alike() -> None:
    prompt = (("user", "q"),)
    strict = [Score(prompt, name, score, "strict") for name, score in (("a", 2.0), ("b", 1.0), ("c", 0.0))]
    mild = [Score(prompt, name, score, "mild") for name, score in (("a", 5.0), ("b", 4.0), ("c", 3.0))]
    levels = levelled((*strict, *mild))
    assert levels[:3] == pytest.approx(levels[3:])
    assert levels[0] > levels[1] > levels[2]


def test_files_either_way(tmp_path: Path) -> None:
    source = write(
        tmp_path / "in.jsonl",
        {"prompt": "q1", "response": "a1", "id": 1},
        {"instruction": "do", "input": "this", "output": "done"},
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]},
    )
    target = tmp_path / "deep" / "out.jsonl"
    done = convert(source, target, Shape.MESSAGES)
    assert (done.read, done.written, done.left_out) == (3, 3, 0)
    assert [row["messages"][0]["content"] for row in lines(target)] == ["q1", "do\nthis", "hi"]
    assert lines(target)[0]["id"] == 1
    assert convert(target, target, Shape.PAIRS).written == 3, "a file may be rewritten in place"
    assert lines(target)[1] == {"prompt": "do\nthis", "response": "done"}
    assert convert(target, tmp_path / "again.jsonl", Shape.MESSAGES).digest == done.digest


def test_only_good_answers_are_learnt_from(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "response": f"a{score}", "score": score, "rater": "x"} for score in range(6)]
    done = convert(write(tmp_path / "in", *rows), tmp_path / "out", Shape.PAIRS)
    assert (done.written, done.left_out) == (2, 4)
    assert [row["response"] for row in lines(tmp_path / "out")] == ["a4", "a5"]


BROKEN = [
    (b'{"prompt": "q"}\n', "its fields are prompt"),
    (b'{"prompt": "q", "response": "  "}\n', "response is empty"),
    (b'{"prompt": "q", "response": 3}\n', "response is not a text"),
    (b'{"prompt": "q", "response": "\xff"}\n', "not UTF-8"),
    (b'{"prompt": "q", "response": "\\ud800"}\n', "not JSON"),
    (b'{"prompt": "q", "response":\n', "not JSON"),
    (b"[\n", "one JSON object a line"),
    (b"7\n", "not an object"),
    (b"[" * 5000 + b"\n", "not JSON"),
    (b'"' + b"x" * (MAX_LINE_BYTES + 5) + b'"\n', "longer than 4 MiB"),
    (b'{"messages": [{"role": "user", "content": "x"}]}\n', "last message must be the assistant"),
    (b'{"messages": [{"role": "tool", "content": "x"}]}\n', "role 'tool'"),
    (b'{"messages": [{"role":"user","content":"x"},{"role":"user","content":"y"}]}\n', "assistant's turn"),
    (b'{"messages": [{"role":"user","content":[1]}]}\n', "not a text"),
    (b'{"prompt": "q", "response": "a", "score": 6}\n', "score is 6"),
    (b'{"prompt": "q", "response": "a", "score": true}\n', "score is not a number"),
    (b'{"prompt": "q", "chosen": "a", "rejected": "a"}\n', "same text"),
]


@pytest.mark.parametrize(("line", "message"), BROKEN)
def test_a_broken_line_is_named_and_nothing_written(line: bytes, message: str, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    target.write_bytes(b"what was there")
    good = b'{"prompt": "q", "response": "a"}\n'
    source.write_bytes(good + b"\n" + line + good)
    with pytest.raises(BadRows, match=r"in\.jsonl:3: ") as caught:
        convert(source, target, Shape.MESSAGES)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value), "only the broken line is complained of"
    assert target.read_bytes() == b"what was there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_many_broken_lines_are_counted_and_an_empty_file_is_no_data(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(b"no\n" * 50)
    with pytest.raises(BadRows, match="and 30 more"):
        convert(source, tmp_path / "out", Shape.PAIRS)
    source.write_bytes(b"\n\n")
    with pytest.raises(BadRows, match="no rows"):
        convert(source, tmp_path / "out", Shape.PAIRS)


def test_a_plain_dialogue_is_no_judgement(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", {"prompt": "q", "response": "a"})
    for shape in (Shape.PREFERENCES, Shape.SCORES):
        with pytest.raises(BadRows, match="no judgement"):
            convert(source, tmp_path / "out", shape)


def test_training_takes_dialogues_only(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "response": "a"}, {"prompt": "q", "chosen": "a", "rejected": "b"}]
    with pytest.raises(BadRows, match=r"in\.jsonl:2: preferences, not a dialogue"):
        read_conversations(write(tmp_path / "in.jsonl", *rows))


def test_a_field_that_would_be_overwritten_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", {"instruction": "q", "output": "a", "prompt": "other"})
    with pytest.raises(BadRows, match="also called prompt"):
        convert(source, tmp_path / "out", Shape.PAIRS)


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", {"prompt": "q", "response": "a"})
    target = str(tmp_path / "out.jsonl")
    done = CliRunner().invoke(app, ["data", "convert", str(source), target, "--to", "triples"])
    assert done.exit_code == 0, done.output
    assert "1 rows read, 1 written" in done.output
    assert lines(tmp_path / "out.jsonl") == [{"instruction": "q", "input": "", "output": "a"}]
    source.write_bytes(b"{}\n")
    assert CliRunner().invoke(app, ["data", "convert", str(source), target, "--to", "pairs"]).exit_code == 1
