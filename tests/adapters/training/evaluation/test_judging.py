"""Answers against the documents and fixed replies of a policy nobody wrote code for."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from adapters.training.data.policy_source import PolicySource, read_policy
from adapters.training.evaluation.comparison import Part, compare
from adapters.training.evaluation.fixed_replies import ENDS, FixedReplies
from adapters.training.evaluation.judging import Answer, Judge, Judged
from adapters.training.evaluation.page import page
from adapters.training.evaluation.question_file import QuestionFile, read_questions
from adapters.training.evaluation.scores import difference_of, scores_of
from app.cli import app
from guardrails.policy.replies import LANGUAGES

TELECOM = Path("tests/guardrails/second_company/policy")


@pytest.fixture(scope="module")
def source() -> PolicySource:
    return read_policy(TELECOM, date(2026, 11, 25))


@pytest.fixture(scope="module")
def judge(source: PolicySource) -> Judge:
    return Judge(source)


def row(question: str, *wanted: str, expect: str = "answer", **more: Any) -> dict[str, Any]:
    asked = {"messages": [{"role": "user", "content": question}], "expect": expect}
    return asked | {"must_include": [[one] for one in wanted]} | more


def test_values_are_held_to_the_documents(judge: Judge) -> None:
    asked = row("和风卡的月费是多少？", "49元")
    right = judge.judged(asked, Answer("和风卡的月费是49元。"))
    assert (right.right, right.contradicted, right.unproved) == (True, False, False)
    wrong = judge.judged(asked, Answer("和风卡的月费是79元。"))
    assert (wrong.right, wrong.contradicted) == (False, True) and "49元" in wrong.against
    # The same without documents: only what the question itself forbids is known to be wrong.
    bare = Judge(None)
    assert not bare.judged(asked, Answer("和风卡的月费是79元。")).contradicted
    assert bare.judged(asked | {"must_not_include": ["79元"]}, Answer("月费79元")).contradicted


def test_a_fixed_reply_counts_as_the_end_it_is(source: PolicySource) -> None:
    replies = FixedReplies(source.replies)
    for name, verdict in ENDS.items():
        for lang in LANGUAGES:
            text = source.replies.text(name, lang, nearest=["x？", "y？"], topics=["z"], question="q？")
            assert replies.verdict(text) == verdict, name
    assert replies.verdict("和风卡的月费是49元。") == ""


def test_what_a_model_says_by_itself_and_what_a_server_says(source: PolicySource, judge: Judge) -> None:
    unknown = row("你们卖飞机票吗？", expect="fallback")
    said = source.replies.text("unknown", "zh")
    assert judge.judged(unknown, Answer(said)).right
    assert not judge.judged(unknown, Answer("卖，每张500元。")).right
    assert judge.judged(unknown, Answer("随便什么", verdict="handoff")).verdict == "handoff"
    # A server that blocks is believed, whatever its text; an answer that did not come is nothing at all.
    assert judge.judged(row("x", expect="refuse"), Answer("好的", verdict="block")).right
    lost = judge.judged(row("x", expect="fallback"), Answer("", error="late"))
    assert not lost.right and lost.verdict == "" and not lost.came


def judged(right: bool, verdict: str = "allow", came: bool = True) -> Judged:
    answer = Answer("x", seconds=1.0, error="" if came else "late")
    return Judged("", "k", "en", "answer", right and came, (), verdict, False, False, "", answer)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_scores_and_differences_count_what_happened(pairs: list[tuple[bool, bool, bool]]) -> None:
    one = [judged(first, came=came) for first, _, came in pairs]
    two = [judged(second) for _, second, _ in pairs]
    scores = scores_of(one, documents=False)
    assert scores.accuracy.count == sum(first and came for first, _, came in pairs)
    assert scores.accuracy.of == len(pairs) and scores.errors == sum(not came for *_, came in pairs)
    assert scores.accuracy.low - 1e-4 <= scores.accuracy.count / len(pairs) <= scores.accuracy.high + 1e-4
    assert sum(kind.of for kind in scores.kinds.values()) == len(pairs)
    found = difference_of("a", one, "b", two)
    gained = scores_of(two, documents=False).accuracy.count - scores.accuracy.count
    assert found.only_second - found.only_first == gained
    assert found.difference == pytest.approx(gained / len(pairs))
    turned = difference_of("b", two, "a", one)
    assert (turned.difference, turned.p) == (-found.difference, found.p)


def test_the_page_holds_no_foreign_markup(judge: Judge) -> None:
    evil = "<script>alert(1)</script>"
    asked = QuestionFile(evil, (row(evil, "49元", id=evil, type=evil, lang=evil),), "0")
    part: Part = compare(
        asked, {evil: [Answer(evil)], "b": [Answer(evil, error=evil)]}, judge, documents=True
    )
    shown = page(evil, [part], [(evil, evil)], answers=True, verdict=[evil])
    assert "<script" not in shown and "&lt;script" in shown
    assert "questions that not all got right" in shown
    assert "questions that not all got right" not in page("t", [part], [], answers=False)


def test_questions_bring_the_facts_a_gateway_would_look_up(tmp_path: Path) -> None:
    asked, target = tmp_path / "asked.jsonl", tmp_path / "grounded.jsonl"
    rows = [
        row("和风卡的月费是多少？", "49元", id="fee"),
        row("我要转人工", expect="handoff", id="person"),
        row("长风卡的月费是多少？", "89元", id="other"),
    ]
    asked.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows), encoding="utf-8")
    (tmp_path / "policy/knowledge").mkdir(parents=True)
    (tmp_path / "policy/knowledge/fees.md").write_text(
        "# 套餐资费\n\n| 套餐名称 | 月费 |\n|---|---|\n| 和风卡 | 49元 |\n| 长风卡 | 89元 |\n",
        encoding="utf-8",
    )
    words = ["--policy", str(tmp_path / "policy"), "--out", str(target), "--today", "2026-11-25"]
    shown = CliRunner().invoke(app, ["data", "ground", str(asked), *words])
    assert shown.exit_code == 0, shown.output
    assert "2 questions" in shown.output and "handoff 1" in shown.output
    grounded = read_questions(target)
    assert [one["id"] for one in grounded.rows] == ["fee", "other"]
    for at, value in enumerate(("49元", "89元")):
        system, user = grounded.messages(at)
        assert system["role"] == "system" and value in user["content"]
        assert grounded.rows[at]["must_include"] == [[value]]
