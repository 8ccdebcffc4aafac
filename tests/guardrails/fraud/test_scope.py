"""Scopes: every place of a text is in one, short texts are one, and they stay small and few."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.fraud.scope import SHORT, STORY, ask, scopes

MIXED = st.text(st.sampled_from("ab。!? .,\n我吗多少"), max_size=900)


@given(MIXED)
@settings(max_examples=150, deadline=None)
def test_scopes_cover_a_text_in_order(text: str) -> None:
    found = scopes(text)
    covered = 0
    for start, end in found:
        assert start <= covered
        assert start < end or not text
        covered = max(covered, end)
    assert covered == len(text)
    assert len(set(found)) == len(found)
    assert [start for start, _ in found] == sorted(start for start, _ in found)
    if len(text.encode()) > SHORT:
        assert max(end - start for start, end in found) <= STORY
        assert len(found) <= 2 * len(text)


@given(MIXED)
@settings(max_examples=100, deadline=None)
def test_a_short_text_is_one_scope_and_its_subjects(text: str) -> None:
    text = text[: SHORT // 3]
    assert scopes(text)[0] == (0, len(text))


@given(MIXED)
@settings(max_examples=100, deadline=None)
def test_asking_changes_no_length(text: str) -> None:
    asked = ask(text)
    assert len(asked) == len(text)
    assert all(now == was or (now == "?" and was.isspace()) for now, was in zip(asked, text, strict=True))


def test_a_question_closes_its_subject() -> None:
    questions = ["白金卡的年费每年到底是多少钱可以减免吗", "跨行转账到账一般需要等多长时间才行呢"] * 6
    for mark in ("?", "? ", "。"):
        text = mark.join(questions)
        parts = [text[start:end].strip(mark) for start, end in scopes(text)]
        assert parts == questions
    asked = ask(" ".join(questions))
    assert [asked[start:end].strip("?") for start, end in scopes(asked)] == questions


def test_a_story_is_looked_at_in_overlapping_runs() -> None:
    text = "".join(f"他说了第{number}句话，然后我听了。" for number in range(40))
    found = scopes(text)
    assert len(found) > 3
    assert all(later[0] < earlier[1] for earlier, later in pairwise(found))
