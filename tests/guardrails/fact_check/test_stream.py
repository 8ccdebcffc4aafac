"""What leaves a checked stream: the same however it is cut, nothing wrong uncorrected, whatever the text."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.fact_check import Evidence, FactStream, Ground, Label, OnUnknown, check_sentence
from guardrails.verdict import Decision

EVIDENCE = (
    Evidence("普卡主卡年费为100元/年，附属卡50元/年。", "CC-001 二"),
    Evidence("金卡主卡年费为200元/年，消费满6笔免次年年费。", "CC-001 二"),
    Evidence("挂失后24小时内可以撤销挂失。超过24小时的不能撤销。", "CC-007 二"),
    Evidence("在校学生不得申请消费贷款。", "LN-001 二"),
)
GROUND = Ground.read(EVIDENCE)
SENTENCES = (
    "您好，很高兴为您服务。",
    "普卡主卡年费为100元/年。",
    "普卡主卡年费为300元/年。",
    "金卡消费满6笔免次年年费！",
    "金卡消费满5笔免次年年费。\n",
    "挂失后24小时内可以撤销挂失。",
    "- 在校学生可以申请消费贷款。",
    "在校学生不得申请消费贷款。",
    "The Gold card costs RMB 200 a year. ",
    "The Gold card costs RMB 900 a year. ",
    "1. 附属卡年费50元；",
    "还有别的问题吗？",
)


def run(pieces: list[str], **options: object) -> tuple[str, FactStream]:
    stream = FactStream(GROUND, "zh", **options)  # type: ignore[arg-type]
    return "".join([*map(stream.feed, pieces), stream.finish()]), stream


@st.composite
def cut_answers(draw: st.DrawFn) -> tuple[str, list[str]]:
    text = "".join(draw(st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=6)))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=12)) | {0, len(text)})
    return text, [text[a:b] for a, b in pairwise(cuts)]


@given(cut_answers(), st.sampled_from(list(OnUnknown)))
@settings(max_examples=60, deadline=None)
def test_a_stream_is_what_the_whole_text_is(answer: tuple[str, list[str]], unknown: OnUnknown) -> None:
    text, pieces = answer
    whole, one = run([text], unknown=unknown, mark="[?]")
    cut, other = run(pieces, unknown=unknown, mark="[?]")
    assert cut == whole
    assert other.verdicts() == one.verdicts()


@given(st.text(max_size=200), st.lists(st.integers(1, 9), max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_text_in_any_pieces(text: str, sizes: list[int]) -> None:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    pieces.append(text[at:])
    assert run(pieces)[0] == run([text])[0]


@given(cut_answers())
@settings(max_examples=60, deadline=None)
def test_a_contradicted_sentence_never_leaves_as_it_was(answer: tuple[str, list[str]]) -> None:
    out, stream = run(answer[1])
    for wrong in ("300元", "满5笔", "可以申请消费贷款", "RMB 900"):
        assert wrong not in out
        if wrong in answer[0]:
            assert any(one.decision in {Decision.REPLACE, Decision.FALLBACK} for one in stream.verdicts())


@given(st.integers(1, 9_999_999).filter(lambda n: n not in {50, 100, 200}))
@settings(max_examples=60, deadline=None)
def test_a_changed_number_is_never_supported(number: int) -> None:
    for text in (f"普卡主卡年费为{number}元/年。", f"The Classic card's annual fee is RMB {number:,}."):
        assert check_sentence(text, GROUND).label is not Label.SUPPORTED


def test_right_answers_leave_untouched() -> None:
    text = "普卡主卡年费为100元/年，附属卡50元/年。\n金卡主卡年费为200元/年。挂失后24小时内可以撤销挂失。"
    out, stream = run(list(text))
    assert out == text
    assert stream.verdicts() == ()


def test_a_correction_cites_where_it_stands() -> None:
    out, stream = run(["金卡主卡年费为", "300元/年。"])
    assert out == "金卡主卡年费为200元/年。"
    (verdict,) = stream.verdicts()
    assert verdict.decision is Decision.REPLACE
    assert verdict.evidence == ("CC-001 二",)


def test_plain_prose_is_not_held() -> None:
    stream = FactStream(GROUND, "zh")
    assert stream.feed("您好，") == "您好，"
    assert stream.held == 0


@pytest.mark.parametrize("number", ["2%", "45天", "0.3%"])
def test_the_customers_own_values_need_no_evidence(number: str) -> None:
    assert check_sentence(f"您说的是{number}。", GROUND, question=f"是{number}吗").label is Label.SUPPORTED


def test_the_judge_is_asked_where_the_rules_see_nothing_wrong() -> None:
    asked: list[str] = []

    def judge(evidence: str, claim: str) -> Label:
        asked.append(claim)
        return Label.CONTRADICTED

    out, stream = run(["普卡主卡年费为100元/年。"], judge=judge)
    assert asked == ["普卡主卡年费为100元/年。"]
    assert "100元" not in out
    assert [one.reason for one in stream.verdicts()] == ["contradicted:judge"]


def test_hostile_texts_are_bounded() -> None:
    for text in ("年" * 500_000, "100元" * 50_000, "\u200b" * 10_000, "\ud800\udfff" * 10, "不" * 100_000):
        out, stream = run([text])
        assert stream.held == 0
        assert len(out) <= len(text) + 200
    long, stream = run(["普卡主卡年费为100元/年。\n" * 5_000])
    assert len(long) < 80_000
    assert stream.verdicts()[-1].reason == "not_found:length"
    Ground.read(["a：" * 500_000, "|" * 100_000, "；".join(f"k{i}：v" for i in range(5_000))])


def test_evidence_of_any_kind_is_read() -> None:
    assert check_sentence("年费100元。", []).label is Label.NOT_FOUND
    assert check_sentence("", GROUND).label is Label.SUPPORTED
    assert Ground.read(EVIDENCE).mentions[0].value.number == Decimal(100)
