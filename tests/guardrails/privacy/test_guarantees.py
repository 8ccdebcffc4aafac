"""What holds for every text: nothing private is left, however it was cut, and nothing else is touched."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.privacy.check import PrivacyCheck
from guardrails.privacy.rules import PrivacyFile
from tests.guardrails.privacy import samples
from tests.guardrails.privacy.finder import pieces, private_numbers

CHECK = PrivacyCheck(PrivacyFile())
KINDS = "id card mobile landline account code email address passport secret".split()
LABELLED = PrivacyCheck(PrivacyFile.model_validate(
    {"kinds": {kind: {"style": "label", "label": "〔隐私〕"} for kind in KINDS}}
))  # fmt: skip

NUMBERS = st.one_of(
    st.randoms(use_true_random=False).map(samples.card),
    st.randoms(use_true_random=False).map(samples.resident_id),
    st.randoms(use_true_random=False).map(samples.mobile),
    st.sampled_from(
        ["4111 1111 1111 1111", "110101900307851", "010-62781234", "６２２２", "卡", "1", "138 0000", "0000"]
    ),
)
FRAGMENTS = st.one_of(
    NUMBERS,
    st.text("0123456789", max_size=24),
    st.text("0123456789Xx -.\u200b*", max_size=24),
    st.text("零一二三四五六七八九①②③１２３ 0123", max_size=14),
    st.sampled_from((Path(__file__).parent / "data" / "fragments.txt").read_text(encoding="utf-8").split()),
    st.sampled_from(
        ["\ud800", "\u200b", "\u200b\u200b", "\ufe0f\u20e3", " ", "\n", " is my verification code"]
    ),
    st.sampled_from(
        ["-----BEGIN PRIVATE KEY-----\nMIIEvQ\n", "-----END PRIVATE KEY-----", "12 Green Park Road"]
    ),
    st.text(max_size=6),
)
PLACES = st.lists(
    st.sampled_from(
        [
            "区 市 路 街 大道 号 号楼 栋 单元 室 弄 段 A 1 23 ２ 三 - 广场 大厦 建国 的 住在".split(),
            ["503", "Park", "Road", "线", " "],
        ]
    ).flatmap(st.sampled_from),
    max_size=16,
).map("".join)
SECRETS = st.lists(
    st.sampled_from(
        [
            "密码 是 : password = is key token sk- abc123 A 1 # @ . , x.com b64/".split(),
            ["-----BEGIN", "PRIVATE", "KEY-----", "-----END", "\n", " "],
        ]
    ).flatmap(st.sampled_from),
    max_size=14,
).map("".join)
TEXTS = st.lists(FRAGMENTS, max_size=9).map("".join)


def streamed(check: PrivacyCheck, parts: list[str]) -> str:
    stream = check.open()
    return "".join([stream.feed(part) for part in parts]) + stream.finish()


@settings(max_examples=400, deadline=None)
@given(st.one_of(TEXTS, PLACES, SECRETS), st.lists(st.integers(1, 7), min_size=1, max_size=6))
def test_a_streamed_text_is_masked_like_a_whole_one(text: str, sizes: list[int]) -> None:
    for check in (CHECK, LABELLED):
        assert streamed(check, pieces(text, sizes)) == check.mask(text)[0]


@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_no_valid_card_or_id_is_left(text: str) -> None:
    assert private_numbers(CHECK.mask(text)[0]) == []
    assert private_numbers(LABELLED.mask(text)[0]) == []


@settings(max_examples=400, deadline=None)
@given(st.one_of(TEXTS, PLACES, SECRETS))
def test_a_masked_text_stays_as_it_is(text: str) -> None:
    once = CHECK.mask(text)[0]
    assert CHECK.mask(once)[0] == once


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.lists(st.integers(1, 7), min_size=1, max_size=6))
def test_spans_are_what_was_replaced(text: str, sizes: list[int]) -> None:
    """Everything outside the spans is in the masked text, unchanged and in order; so also in a stream."""
    masked, verdict = CHECK.mask(text)
    at = found = 0
    for span in verdict.spans:
        assert at <= span.start < span.end <= len(text)
        kept = text[at : span.start]
        found = masked.index(kept, found) + len(kept)
        at = span.end
    assert masked.endswith(text[at:])
    stream = CHECK.open()
    for piece in pieces(text, sizes):
        stream.feed(piece)
    stream.finish()
    assert [found.spans for found in stream.verdicts()] == ([verdict.spans] if verdict.spans else [])


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(), max_size=200))
def test_no_text_is_too_strange(text: str) -> None:
    masked, _ = CHECK.mask(text)
    assert streamed(CHECK, list(text)) == masked
