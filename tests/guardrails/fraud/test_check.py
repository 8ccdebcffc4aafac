"""The shipped fraud rules: customers in danger, customers who probe, and everybody else."""

from __future__ import annotations

import pickle
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.fraud.check import FraudCheck
from guardrails.fraud.scope import SHORT, ask, scopes
from guardrails.fraud.source import load_fraud
from guardrails.patterns.folding import fold
from guardrails.verdict import Decision
from tests.guardrails.labelled import disguises, hostile, rows, texts

EVERYTHING = [text for name in ("victims", "probes", "harmless") for text in texts(f"fraud/{name}")]


@cache
def check() -> FraudCheck:
    return load_fraud(Path("no such file"))


HARMLESS = [row["text"] for row in rows("fraud/harmless") if row["split"] == "dev"]


def tuned(name: str) -> list[str]:
    return [row["text"] for row in rows(f"fraud/{name}") if row["split"] == "dev"]


@pytest.mark.parametrize("text", tuned("victims"))
def test_a_customer_in_danger_is_warned(text: str) -> None:
    verdict = check().check(text)
    assert verdict.decision is Decision.WARN
    assert verdict.reason and verdict.evidence and verdict.spans


@pytest.mark.parametrize("text", tuned("probes"))
def test_a_probe_is_refused(text: str) -> None:
    verdict = check().check(text)
    assert verdict.decision is Decision.BLOCK
    assert verdict.reason and verdict.evidence and verdict.spans


@pytest.mark.parametrize("text", tuned("harmless"))
def test_an_ordinary_question_passes(text: str) -> None:
    assert check().check(text).decision is Decision.ALLOW


@pytest.mark.parametrize(
    ("earlier", "text"),
    [
        (["有个自称警察的人给我打电话，说我涉嫌洗钱"], "还让我转账"),
        (["我在网上认识了一个女朋友", "我们聊了两个月"], "还让我一起投资"),
        (["A man says he is from the police"], "and told me to transfer my savings"),
    ],
)
def test_what_was_said_before_completes_a_signal(earlier: list[str], text: str) -> None:
    assert check().check(text).decision is Decision.ALLOW
    assert check().check(text, earlier).decision is Decision.WARN


def test_an_old_danger_does_not_colour_every_later_question() -> None:
    told = "公安打来说我涉案，要我把钱都转到一个安全账户里"
    assert check().check("白金卡年费多少钱", [told]).decision is Decision.ALLOW
    assert check().check("转账手续费多少", [told]).decision is Decision.ALLOW


@given(disguises(EVERYTHING))
@settings(max_examples=80, deadline=None)
def test_a_disguise_changes_nothing(pair: tuple[str, str]) -> None:
    plain, disguised = check().check(pair[0]), check().check(pair[1])
    assert (disguised.decision, disguised.reason) == (plain.decision, plain.reason)


@given(hostile, st.lists(hostile, max_size=3))
@settings(max_examples=120, deadline=None)
def test_any_text_gets_a_verdict_with_spans_inside_it(text: str, history: list[str]) -> None:
    verdict = check().check(text, history)
    assert all(0 <= span.start < span.end <= len(text) for span in verdict.spans)
    assert (verdict.decision is Decision.ALLOW) == (verdict.reason == "")


@given(
    st.lists(
        st.tuples(st.sampled_from(EVERYTHING), st.sampled_from(["。", "？", " ", "，", "\n", ""])),
        min_size=1,
        max_size=8,
    ).map(lambda parts: "".join(text + mark for text, mark in parts))
)
@settings(max_examples=80, deadline=None)
def test_hints_leave_no_rule_out(text: str) -> None:
    """The shortcuts decide what trying every pattern on every scope would."""
    check_ = check()
    folded = fold(ask(text))
    holding = {
        rule.id
        for start, end in scopes(folded)
        for rule in check_._rules.applies(check_._table.found(folded[start:end]))[:1]
    }
    expected = next((rule.id for rule in check_.rules if rule.id in holding), None)
    assert check_.check(text).evidence == ((expected,) if expected else ())


@pytest.mark.parametrize("text", tuned("stories"))
def test_a_long_story_is_understood(text: str) -> None:
    verdict = check().check(text)
    assert verdict.decision is Decision.WARN
    assert verdict.spans


@given(st.lists(st.sampled_from(HARMLESS), min_size=4, max_size=25), st.sampled_from(["？", "? ", "？\n"]))
@settings(max_examples=60, deadline=None)
def test_long_questions_are_each_judged_alone(questions: list[str], mark: str) -> None:
    """Who asks several harmless things tells of no fraud."""
    questions = [text.rstrip("？?。.") for text in questions if len(text.encode()) > SHORT // 2]
    assert check().check("".join(text + mark for text in questions)).decision is Decision.ALLOW


@given(
    st.sampled_from(tuned("victims")),
    st.lists(st.sampled_from(HARMLESS), max_size=4),
    st.lists(st.sampled_from(HARMLESS), max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_questions_around_it_hide_no_danger(danger: str, before: list[str], after: list[str]) -> None:
    text = "？".join([*before, danger.rstrip("？?"), *after])
    assert check().check(text).decision is Decision.WARN


def test_a_long_text_is_read_at_both_ends() -> None:
    filler = "账单日是每月五号。" * 100_000
    danger = "公安打来说我涉案，要我把钱都转到一个安全账户里"
    assert check().check(danger + filler).decision is Decision.WARN
    late = check().check(filler + danger)
    assert late.decision is Decision.WARN
    assert late.spans[0].start >= len(filler)
    assert check().check(filler).decision is Decision.ALLOW


def test_the_check_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(check())).check("怎么套现").decision is Decision.BLOCK
