"""Prompts: whatever row begins with one is read, every bad line is found, none that is held out is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.training.conversation import BadRows
from adapters.training.prompts import check_unseen, prompts_digest, read_prompts
from tests.adapters.training.runs import write_rows

ASKED = [{"role": "user", "content": "q"}]


def test_a_prompt_is_read_from_any_row(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "q"},
        {"prompt": ASKED},
        {"prompt": "q", "response": "a"},
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"messages": [*ASKED, {"role": "assistant", "content": "a"}]},
    ]
    prompts = read_prompts(write_rows(tmp_path / "prompts.jsonl", rows), "of the recipe")
    assert {prompt.turns for prompt in prompts} == {(("system", "of the recipe"), ("user", "q"))}
    assert [prompt.line for prompt in prompts] == [1, 2, 3, 4, 5]
    assert prompts_digest(prompts) != prompts_digest(prompts[:4])


def test_every_bad_line_is_told_at_once(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "q"},
        {"prompt": " "},
        {"prompt": [{"role": "assistant", "content": "a"}]},
        {"question": "q"},
    ]
    with pytest.raises(BadRows) as refused:
        read_prompts(write_rows(tmp_path / "prompts.jsonl", rows))
    lines = str(refused.value).splitlines()
    assert [line.split(":")[1] for line in lines] == ["2", "3", "4"]
    assert "prompt is empty" in lines[0] and "its fields are question" in lines[2]
    with pytest.raises(BadRows, match="no rows"):
        read_prompts(write_rows(tmp_path / "empty.jsonl", []))


def test_held_out_prompts_are_not_trained_on(tmp_path: Path) -> None:
    train = read_prompts(write_rows(tmp_path / "train.jsonl", [{"prompt": "a"}, {"prompt": "b"}]))
    held_out = read_prompts(write_rows(tmp_path / "held.jsonl", [{"prompt": "c"}, {"prompt": "b"}]))
    check_unseen(train, "train.jsonl", held_out[:1], "held.jsonl")
    with pytest.raises(BadRows, match=r"held.jsonl:2: asks what train.jsonl:2 asks"):
        check_unseen(train, "train.jsonl", held_out, "held.jsonl")
