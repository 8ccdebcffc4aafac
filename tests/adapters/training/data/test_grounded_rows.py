"""Rows to train on as the gateway asks its engine, and the questions that tell whether reading was learnt."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from adapters.training.data.grounded_rows import GroundedRows, Wanted, ground_rows
from adapters.training.data.lines import BadRows
from adapters.training.data.synthesis import synthesise
from adapters.training.data.synthetic import is_held_out
from adapters.training.evaluation.question_file import read_questions
from adapters.training.evaluation.seen_facts import tell_apart
from guardrails.chain import Chain
from guardrails.message import Message
from guardrails.policy.load import load_policy
from guardrails.session import Session

DAY = date(2026, 11, 25)
TELECOM = Path("tests/guardrails/second_company")
POLICY = TELECOM / "policy"
WANTED = Wanted(count=16, seed=4, one_fact=0.5, unanswered=0.1, held_out_count=2, held_out_share=0.4)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grounded")
    synthesise(POLICY, folder / "dialogues.jsonl", count=400, seed=3, today=DAY, grounded=0.0)
    return folder


@pytest.fixture(scope="module")
def made(folder: Path) -> GroundedRows:
    return ground_rows(
        folder / "dialogues.jsonl", POLICY, DAY, folder / "train.jsonl", WANTED, folder / "held_out.jsonl", folder
    )  # fmt: skip


def test_no_row_to_train_on_shows_a_fact_that_is_held_out(made: GroundedRows, folder: Path) -> None:
    train, held_out = rows(folder / "train.jsonl"), rows(folder / "held_out.jsonl")
    assert (made.rows, made.held_out_rows) == (len(train), len(held_out)) == (16, 2)
    shown = {fact for row in train for fact in row["shown"]}
    assert len(shown) == made.shown
    assert not any(is_held_out(fact, WANTED.held_out_share) for fact in shown)
    assert all(is_held_out(fact, WANTED.held_out_share) for row in held_out for fact in row["shown"])


def test_an_answer_is_taught_only_where_its_facts_are_shown(made: GroundedRows, folder: Path) -> None:
    for row in rows(folder / "train.jsonl"):
        own = row["facts"][-1:] if row["kind"] == "follow_up" else row["facts"]
        assert set(own) <= set(row["shown"])
        assert [message["role"] for message in row["messages"]] == ["system", "user", "assistant"]


def test_no_more_rows_than_their_share_could_be_copied_or_have_no_answer(
    made: GroundedRows, folder: Path
) -> None:
    train = rows(folder / "train.jsonl")
    assert sum(len(row["shown"]) == 1 for row in train) <= 8
    assert sum(not row["facts"] for row in train) <= 2
    assert made.left_out["enough of these"] > 0


def test_the_prompt_is_the_one_the_chain_writes_for_the_engine(made: GroundedRows, folder: Path) -> None:
    policy = load_policy(POLICY, today=DAY, cache_dir=folder)
    assert policy.answers is not None
    policy.answers._approved = "off"  # type: ignore[attr-defined]  # the engine writes, as in the assistant that is trained for
    chain = Chain(policy)
    dialogues = {row["id"]: row["messages"] for row in rows(folder / "dialogues.jsonl")}
    for row in rows(folder / "train.jsonl")[:6]:
        said = [Message(one["role"], one["content"]) for one in dialogues[row["id"]][:-1]]
        outcome = chain.check_input(said, session=Session())
        assert outcome.grounded is not None
        assert [(one.role, one.content) for one in outcome.grounded] == [
            (one["role"], one["content"]) for one in row["messages"][:-1]
        ]


def test_questions_are_told_apart_by_the_facts_that_training_showed(made: GroundedRows, folder: Path) -> None:
    asked = read_questions(TELECOM / "questions.jsonl")
    told = tell_apart(
        asked, folder / "train.jsonl", POLICY, DAY, folder / "unseen.jsonl", folder / "seen.jsonl", folder
    )
    ids = [{row["id"] for row in rows(folder / f"{name}.jsonl")} for name in ("unseen", "seen")]
    assert (told.unseen, told.seen) == (len(ids[0]), len(ids[1]))
    assert told.unseen > 0
    assert told.seen > 0
    assert ids[0].isdisjoint(ids[1])
    assert ids[0] | ids[1] == {row["id"] for row in asked.rows if row["expect"] == "answer"}


def test_rows_that_show_facts_already_are_refused_by_line(folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "grounded.jsonl"
    told = [{"role": role, "content": role} for role in ("system", "user", "assistant")]
    bad.write_text(json.dumps({"messages": told[1:]}) + "\n" + json.dumps({"messages": told}) + "\n")
    with pytest.raises(BadRows, match=r"grounded.jsonl:2: .*--grounded 0"):
        ground_rows(bad, POLICY, DAY, tmp_path / "out.jsonl", WANTED, cache=folder)
    assert not (tmp_path / "out.jsonl").exists()


def test_rows_that_name_no_shown_facts_cannot_tell_questions_apart(folder: Path, tmp_path: Path) -> None:
    asked = read_questions(TELECOM / "questions.jsonl")
    with pytest.raises(ValueError, match="atelier data ground"):
        tell_apart(
            asked, folder / "dialogues.jsonl", POLICY, DAY, tmp_path / "a.jsonl", tmp_path / "b.jsonl", folder
        )
