"""Dialogues made by rule: reproducible, never contradicting themselves, their answers the documents' own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from adapters.training.data.askable import CELL, Askable, askables, closed
from adapters.training.data.checked_rows import read_checked
from adapters.training.data.minhash import NearTexts
from adapters.training.data.noise import noisy, slipped
from adapters.training.data.shapes import Dialogue, Preference, read_row
from adapters.training.data.synthesis import Card, card_path, synthesise
from adapters.training.data.synthetic import is_held_out
from adapters.training.data.wordings import SHIPPED, read_wordings
from app.cli import app
from guardrails.fact_check.check import check_sentence
from guardrails.fact_check.judgement import Label
from guardrails.knowledge.ingest import read_knowledge
from guardrails.problem import PolicyProblem
from guardrails.values.compare import same_value
from guardrails.values.parse import parse_values

DAY = date(2026, 11, 25)
TELECOM = Path("tests/guardrails/second_company/policy")


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def make(policy: Path, target: Path, count: int = 300, **more: Any) -> Card:
    return synthesise(policy, target, count=count, **({"seed": 3, "today": DAY} | more))


def digest_of_file(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def asked(folder: Path) -> tuple[Askable, ...]:
    return askables(read_knowledge(folder / "knowledge", DAY)[0].facts, read_wordings())


def test_a_seed_gives_the_same_bytes_in_another_process_and_another_seed_others(
    policy: Path, tmp_path: Path
) -> None:
    first = make(policy, tmp_path / "a.jsonl")
    command = [
        sys.executable,
        "-m",
        "app.cli",
        "data",
        "synthesise",
        "--policy",
        str(policy),
        "--count",
        "300",
    ]
    command += ["--out", str(tmp_path / "b.jsonl"), "--seed", "3", "--today", DAY.isoformat()]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PYTHONHASHSEED": "77"})
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert card_path(tmp_path / "a.jsonl").read_bytes() == card_path(tmp_path / "b.jsonl").read_bytes()
    assert make(policy, tmp_path / "c.jsonl", seed=4).sha256 != first.sha256
    few = make(policy, tmp_path / "d.jsonl", count=100)
    assert (tmp_path / "a.jsonl").read_bytes().startswith((tmp_path / "d.jsonl").read_bytes())
    assert few.rows == 100


@pytest.mark.parametrize("folder", [TELECOM, None])
def test_no_question_twice_and_every_row_a_dialogue(
    folder: Path | None, policy: Path, tmp_path: Path
) -> None:
    card = make(folder or policy, tmp_path / "a.jsonl", count=800)
    found = rows(tmp_path / "a.jsonl")
    assert len(found) == card.rows
    questions = [json.dumps(row["messages"][:-1]) for row in found]
    assert len(set(questions)) == len(questions)
    assert all(isinstance(read_row(row), Dialogue) for row in found)
    assert len({row["id"] for row in found}) == len(found)
    assert {"cell", "confirm", "follow_up", "unknown", "out_of_scope"} <= card.kinds.keys()
    assert card.languages.keys() == {"zh", "en"}


@pytest.mark.parametrize("folder", [TELECOM, None])
def test_answers_are_the_documents_own_values(folder: Path | None, policy: Path) -> None:
    for one in asked(folder or policy):
        own = parse_values("\n".join(f"{fact.statement}\n{fact.row}\n{fact.value}" for fact in one.facts))
        for value in parse_values(one.answer):
            assert any(same_value(value, known) for known in own), (value, one.answer)
        if one.answer != "\n".join(dict.fromkeys(closed(fact.statement, one.lang) for fact in one.facts)):
            assert check_sentence(one.answer, one.facts).label is Label.SUPPORTED, one.answer


def test_cells_are_asked_as_a_customer_would_name_them(policy: Path) -> None:
    cells = {(one.subject, one.attribute): one for one in asked(policy) if one.kind == CELL}
    one = cells["山地车", "押金"]
    assert (one.value, set(one.rivals), one.within) == ("500元", {"200元", "800元"}, False)
    assert "500元" in one.answer
    assert cells["Harbour shop", "Opens"].lang == "en"


def test_what_nobody_can_know_is_answered_by_the_policys_reply(policy: Path, tmp_path: Path) -> None:
    make(policy, tmp_path / "a.jsonl", count=600)
    unknown = [row for row in rows(tmp_path / "a.jsonl") if row["kind"] in {"unknown", "out_of_scope"}]
    assert unknown
    for row in unknown:
        assert row["facts"] == []
        assert "555-0199" in row["messages"][-1]["content"]


def test_a_confirmed_value_is_right_and_a_denied_one_is_not(policy: Path, tmp_path: Path) -> None:
    make(policy, tmp_path / "a.jsonl", count=800, grounded=0.0)
    by_id = {fact.id: fact for fact in read_knowledge(policy / "knowledge", DAY)[0].facts}
    seen = set()
    for row in rows(tmp_path / "a.jsonl"):
        if row["kind"] != "confirm":
            continue
        question, answer = (message["content"] for message in row["messages"])
        (fact,) = (by_id[name] for name in row["facts"])
        agrees = answer.startswith(("是", "对", "Yes", "That is right"))
        seen.add(agrees)
        if fact.value in question or not agrees:
            assert agrees == (fact.value in question), (question, answer)
    assert seen == {True, False}


def test_grounded_rows_show_the_facts_they_answer_from(policy: Path, tmp_path: Path) -> None:
    make(policy, tmp_path / "a.jsonl", grounded=1.0)
    by_id = {fact.id: fact for fact in read_knowledge(policy / "knowledge", DAY)[0].facts}
    for row in rows(tmp_path / "a.jsonl"):
        prompt = row["messages"]
        assert [message["role"] for message in prompt] == ["system", "user", "assistant"]
        answer = by_id[row["facts"][-1]].statement if row["facts"] else ""
        assert answer in prompt[1]["content"]


def test_facts_held_out_are_nowhere_in_training(tmp_path: Path) -> None:
    card = make(TELECOM, tmp_path / "a.jsonl", 1500, held_out=tmp_path / "held.jsonl", held_out_share=0.2)
    train, held = rows(tmp_path / "a.jsonl"), rows(tmp_path / "held.jsonl")
    assert (len(train), len(held)) == (card.rows, card.held_out_rows)
    facts = {fact.id: fact.statement for fact in read_knowledge(TELECOM / "knowledge", DAY)[0].facts}
    kept = {name for name in facts if is_held_out(name, 0.2)}
    assert kept
    assert not any(kept & set(row["facts"]) for row in train)
    assert all(kept & set(row["facts"]) for row in held if row["facts"])
    checked = [read_checked(tmp_path / name).rows for name in ("a.jsonl", "held.jsonl")]
    learnt = NearTexts()
    for row in checked[0]:
        learnt.add(row.question)
    assert [row.question for row in checked[1] if learnt.find(row.question) is not None] == []
    text = (tmp_path / "a.jsonl").read_text(encoding="utf-8")
    others = {statement for name, statement in facts.items() if name not in kept}
    own = {facts[name] for name in kept if not any(facts[name] in other for other in others)}
    assert own
    assert [statement for statement in own if json.dumps(statement, ensure_ascii=False)[1:-1] in text] == []


@pytest.mark.parametrize("folder", [TELECOM, None])
def test_pairs_prefer_the_documents_value_to_a_neighbours(
    folder: Path | None, policy: Path, tmp_path: Path
) -> None:
    files = {"pairs": tmp_path / "pairs.jsonl", "pairs_held_out": tmp_path / "kept.jsonl"}
    make(
        folder or policy,
        tmp_path / "a.jsonl",
        1500,
        held_out=tmp_path / "h.jsonl",
        held_out_share=0.3,
        **files,
    )
    alone = make(
        folder or policy, tmp_path / "b.jsonl", 1500, held_out=tmp_path / "c.jsonl", held_out_share=0.3
    )
    assert digest_of_file(tmp_path / "a.jsonl") == alone.sha256  # pairs change nothing
    facts = {fact.id: fact for fact in read_knowledge((folder or policy) / "knowledge", DAY)[0].facts}
    for dialogues, pairs in (("a.jsonl", "pairs.jsonl"), ("h.jsonl", "kept.jsonl")):
        answered = {row["id"]: row for row in rows(tmp_path / dialogues)}
        found = rows(tmp_path / pairs)
        assert found
        for row in found:
            whole = answered[row["id"]]
            assert whole["messages"] == [*row["prompt"], {"role": "assistant", "content": row["chosen"]}]
            assert row["rejected"] != row["chosen"] and isinstance(read_row(row), Preference)
            own = [facts[name] for name in whole["facts"]]
            assert check_sentence(row["rejected"], own).label is not Label.SUPPORTED, row


def test_small_documents_give_what_they_can_and_none_give_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "policy" / "knowledge"
    folder.mkdir(parents=True)
    with pytest.raises(ValueError, match="no fact"):
        make(tmp_path / "policy", tmp_path / "a.jsonl")
    assert not (tmp_path / "a.jsonl").exists()
    (folder / "one.csv").write_text("question,answer\nOpen on Sundays?,Yes until noon.\n", encoding="utf-8")
    assert 0 < make(tmp_path / "policy", tmp_path / "a.jsonl", count=100_000).rows < 100_000


def test_wrong_wordings_are_named_and_nothing_is_written(policy: Path, tmp_path: Path) -> None:
    own = tmp_path / "wordings.yaml"
    own.write_text(SHIPPED.read_text(encoding="utf-8").replace("  unknown: 12", "  unknown: some"), "utf-8")
    with pytest.raises(PolicyProblem, match=r"wordings\.yaml:\d+"):
        make(policy, tmp_path / "a.jsonl", wordings=own)
    assert not (tmp_path / "a.jsonl").exists()


@settings(max_examples=80, deadline=None)
@given(st.text("白金卡年费多少abc 12%，？", min_size=1, max_size=40), st.integers(0, 10**6))
def test_noise_keeps_digits_and_what_must_be_kept(text: str, seed: int) -> None:
    kept = ["金卡", "ab"]
    changed = slipped(text, kept, Random(seed))
    assert abs(len(changed) - len(text)) <= 1
    for part in kept:
        assert changed.count(part) >= text.count(part)
    for lang in ("zh", "en"):
        digits = [char for char in noisy(text, kept, lang, Random(seed)) if char.isdigit()]
        assert digits == [char for char in text if char.isdigit()]


def test_the_command_says_what_it_made(policy: Path, tmp_path: Path) -> None:
    command = ["data", "synthesise", "--policy", str(policy), "--out", str(tmp_path / "a.jsonl")]
    done = CliRunner().invoke(app, [*command, "--count", "50", "--held-out", str(tmp_path / "h.jsonl")])
    assert done.exit_code == 0, done.output
    assert "50 dialogues" in done.output
    assert "held out" in done.output
    assert CliRunner().invoke(app, ["data", "synthesise", "--policy", "nowhere", "--out", "x"]).exit_code == 1
