"""The folded form: the same for the same words, and every character's place in the original."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from guardrails.patterns.folding import fold, original_spans, origins
from tests.guardrails.labelled import disguises, hostile, texts

ALL = [text for name in ("fraud/victims", "handoff/wishes", "attack/attacks") for text in texts(name)]


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("ＡＢＣ", "abc"),
        ("轉 人 工", "转人工"),
        ("套\u200b现", "套现"),
        ("转👉人工", "转人工"),
        ("i g n o r e all", "ignore all"),
        ("plan a b", "plan a b"),
        ("а\u0301gent".replace("\u0301", ""), "agent"),
        ("，", ","),
        ("\ud800", "?"),
    ],
)
def test_the_same_words_fold_to_one_form(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(disguises(ALL))
@settings(max_examples=100, deadline=None)
def test_a_disguise_changes_nothing(pair: tuple[str, str]) -> None:
    assert fold(pair[1]) == fold(pair[0])


@given(hostile)
@settings(max_examples=200, deadline=None)
def test_spans_lie_in_the_original(text: str) -> None:
    folded = fold(text)
    for span in original_spans(text, folded, [(at, at + 1) for at in range(len(folded))]):
        assert 0 <= span.start < span.end <= len(text)


@given(disguises(ALL))
@settings(max_examples=50, deadline=None)
def test_every_folded_character_comes_from_where_it_is_said_to(pair: tuple[str, str]) -> None:
    text = pair[1]
    folded, places = fold(text), origins(text)
    assert len(places) == len(folded) + 1
    assert places == sorted(places)
    for char, place in zip(folded, places, strict=False):
        assert char in fold(text[place]) or char in fold(text[place : place + 2])
