"""Answers from the documents of companies the code has never heard of."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardrails.answers.answers import APPROVED, GROUNDED, OUT_OF_DOMAIN, UNKNOWN, Answers, Draft
from guardrails.language import detect
from guardrails.message import Message

TALK = st.lists(st.text(max_size=60), min_size=1, max_size=3)
PIECES = st.lists(
    st.sampled_from(
        [
            "和风卡",
            "月费",
            "多少",
            "长风卡",
            "5年",
            "三万元",
            "Barista One",
            "price",
            "how much",
            "？",
            "，",
            "那",
            "呢",
            "退",
            "\ud800",
            "\u200b",
        ]
    ),
    max_size=12,
).map("".join)
QUIET = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def ask(answers: Answers, *asked: str) -> Draft:
    messages = tuple(Message("user", text) for text in asked)
    return answers.respond(messages, detect(asked[-1]))


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("和风卡的月费是多少？", "49元"),
        ("岚光1000宽带包年多少钱？", "1200元"),
        ("移机费", "120元"),
        ("御風卡的合約期是多久？", "12个月"),
        ("轻风卡套外用了4GB流量要多少钱？", "12元"),
        ("What is the monthly fee of the 长风卡 plan?", "89"),
        ("What does it cost to move broadband within the same city?", "120"),
        ("How much is a Day Pass in the United Kingdom?", "RMB 30"),
    ],
)
def test_a_telecom_operator(telecom: Answers, question: str, value: str) -> None:
    draft = ask(telecom, question)
    assert draft.kind == APPROVED
    assert value in draft.text
    assert draft.citations


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("How much does the Barista One cost?", "€449"),
        ("What is the monthly rent for an Office Max?", "€69"),
        ("Barista Duo的价格是多少？", "€899"),
        ("Piccolo保修几年？", "2 years"),
        ("How much for 3 kg of the house blend?", "€48"),
    ],
)
def test_a_shop_with_english_documents(shop: Answers, question: str, value: str) -> None:
    draft = ask(shop, question)
    assert draft.kind == APPROVED
    assert value in draft.text


def test_the_later_product_takes_the_earlier_ones_place(telecom: Answers) -> None:
    draft = ask(telecom, "和风卡多少钱一个月", "长风卡呢？")
    assert "89元" in draft.text.splitlines()[0]


@pytest.mark.parametrize(
    "question", ["帮我写一首情诗", "What's the weather in Rome?", "我名下有几个号码", "岚光2000宽带多少钱"]
)
def test_what_the_documents_do_not_say(telecom: Answers, question: str) -> None:
    draft = ask(telecom, question)
    assert draft.kind in {UNKNOWN, OUT_OF_DOMAIN}
    assert not draft.facts


def test_superseded_documents_are_never_cited(telecom: Answers) -> None:
    assert telecom.knowledge.superseded
    old = {fact.source.path for fact in telecom.knowledge.superseded}
    for question in ("和风卡的月费是多少？", "轻风卡国内流量多少", "2024年的和风卡月费"):
        assert old.isdisjoint(fact.source.path for fact in ask(telecom, question).facts)


@QUIET
@given(talk=TALK)
def test_any_text_is_answered_or_not_but_never_raises(shop: Answers, talk: list[str]) -> None:
    draft = ask(shop, *talk)
    assert draft.kind in {APPROVED, GROUNDED, UNKNOWN, OUT_OF_DOMAIN}
    assert bool(draft.text) == (draft.kind in {APPROVED, GROUNDED})


@QUIET
@given(text=PIECES)
def test_the_same_question_has_the_same_answer(telecom: Answers, text: str) -> None:
    assert ask(telecom, text) == ask(telecom, text)


def test_hostile_length(shop: Answers) -> None:
    for text in ("一" * 4000, "9" * 4000, "\u200b" * 4000, "a b " * 1000, "每1元积1分" * 500):
        assert ask(shop, text[:4000]).kind


def test_a_pickled_index_answers_the_same(shop: Answers) -> None:
    again = pickle.loads(pickle.dumps(shop))
    assert ask(again, "How much does the Piccolo cost?") == ask(shop, "How much does the Piccolo cost?")
