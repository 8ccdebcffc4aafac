"""Folding, and the way back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.normalise import normalise
from guardrails.words.skeleton import origins, plain, skeleton


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Ｗｏｒｌｄ", "world"),
        ("𝓼𝓮𝔁", "sex"),
        ("pаypаl", "paypal"),
        ("法輪功", "法轮功"),
        ("ａ\u0301é", "ae"),
        ("大\u200b麻", "大麻"),
        ("a\u202eb\u202c", "ab"),
        ("⑥④", "64"),
        ("１２", "12"),
        ("٣३", "33"),
        ("🅰🇧", "ab"),
        ("1\ufe0f\u20e3", "1"),
        ("㎏", "kg"),
        ("⼤⿇", "大麻"),
        ("\ud800", "\ufffd"),
        ("a\u00a0b", "a b"),
        ("ß", "ss"),
        ("大家好，hi!", "大家好,hi!"),
    ],
)
def test_what_reads_alike_becomes_the_same(text: str, plain: str) -> None:
    assert normalise(text).text == plain


def test_the_way_back() -> None:
    text = "大\u200b麻㎏x"
    found = normalise(text)
    assert found.text == "大麻kgx"
    assert [found.span(at, at + 1) for at in range(5)] == [(0, 1), (2, 3), (3, 4), (3, 4), (4, 5)]
    assert (found.span(0, 5), found.span(5, 5), found.span(1, 1)) == ((0, 5), (5, 5), (2, 2))


@settings(deadline=None, max_examples=150)
@given(st.text(), st.text())
def test_every_character_knows_where_it_stood(left: str, right: str) -> None:
    whole, first, second = normalise(left + right), normalise(left), normalise(right)
    assert whole.text == first.text + second.text
    assert list(whole.origins) == [*first.origins, *(at + len(left) for at in second.origins)]
    for at, char in enumerate(whole.text):
        start, end = whole.span(at, at + 1)
        assert end == start + 1
        assert char in normalise((left + right)[start:end]).text
    assert normalise(whole.text).text == whole.text


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=200))
def test_the_skeleton_is_the_same_for_short_and_long_texts(text: str) -> None:
    whole = skeleton(text * 3)
    assert whole == "".join(map(skeleton, text * 3))
    places = origins(text * 3)
    assert len(places) == len(whole)
    for at, place in enumerate(places):
        assert whole[at] in skeleton((text * 3)[place])
        assert len(plain((text * 3)[place])) == len(skeleton((text * 3)[place]))
