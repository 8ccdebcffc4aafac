"""A greeting is answered as one, and never swallows a question."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails import Message
from guardrails.answers.answers import GREETING, Answers
from guardrails.answers.greeting import only_greets

GREETINGS = (
    "你好", "您好！", "你好，请问", "您好，你能帮我做什么？", "在吗？", "谢谢你", "早上好", "你是谁",
    "你好，你能帮我做什么？",
    "Hello", "hi there!", "Hello, what can you do?", "Thank you very much", "ＨＥＬＬＯ", "妳好，謝謝",
)  # fmt: skip
QUESTIONS = (
    "你好，白金卡年费多少", "你能帮我挂失吗", "谢谢，那金卡呢", "Hello, what is the annual fee?",
    "what can you do about my lost card",
    "", "？", "您好卡丢了", "你们好不好", "Thanks to whom?",
)  # fmt: skip


@pytest.mark.parametrize("text", GREETINGS)
def test_a_greeting_is_one(text: str) -> None:
    assert only_greets(text)


@pytest.mark.parametrize("text", QUESTIONS)
def test_a_question_is_none(text: str) -> None:
    assert not only_greets(text)


@given(st.sampled_from(GREETINGS), st.sampled_from(("年费多少", "挂失", "the fee", "my card", "123", "卡")))
def test_what_says_more_than_a_greeting_is_none(greeting: str, more: str) -> None:
    assert not only_greets(f"{greeting} {more}") and not only_greets(f"{more} {greeting}")


def test_hostile_text_is_bounded() -> None:
    assert not only_greets("你好" * 100_000 + "x") and not only_greets("hi " * 19 + "x")


def test_answers_say_so(telecom: Answers) -> None:
    assert telecom.respond([Message("user", "你好，你能帮我做什么？")], "zh").reason == GREETING
