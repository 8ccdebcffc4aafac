"""The wish for a person."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings

from guardrails.handoff.wish import load_handoff
from guardrails.verdict import Decision
from tests.guardrails.labelled import disguises, hostile, rows, texts

TUNED_WISHES = [row["text"] for row in rows("handoff/wishes") if row["split"] == "dev"]
TUNED_OTHERS = [row["text"] for row in rows("handoff/near_misses") if row["split"] == "dev"]


@pytest.mark.parametrize("text", TUNED_WISHES)
def test_a_wish_is_granted_at_the_first_ask(text: str) -> None:
    verdict = load_handoff()(text)
    assert verdict.decision is Decision.HANDOFF
    assert verdict.spans


@pytest.mark.parametrize("text", TUNED_OTHERS)
def test_what_only_speaks_of_people_is_no_wish(text: str) -> None:
    assert load_handoff()(text).decision is Decision.ALLOW


@given(disguises(texts("handoff/wishes") + texts("handoff/near_misses")))
@settings(max_examples=100, deadline=None)
def test_a_disguise_changes_nothing(pair: tuple[str, str]) -> None:
    check = load_handoff()
    assert check(pair[1]).decision is check(pair[0]).decision


@given(hostile)
@settings(max_examples=150, deadline=None)
def test_any_text_gets_a_verdict_with_spans_inside_it(text: str) -> None:
    verdict = load_handoff()(text)
    assert (verdict.decision is Decision.HANDOFF) == bool(verdict.spans)
    assert all(0 <= span.start < span.end <= len(text) for span in verdict.spans)


def test_a_wish_at_either_end_of_a_long_text_is_heard() -> None:
    filler = "这是很长的一段话，讲的是账单。" * 60_000
    check = load_handoff()
    assert check(f"转人工。{filler}").decision is Decision.HANDOFF
    late = check(f"{filler}转人工")
    assert late.decision is Decision.HANDOFF
    assert late.spans[0].start >= len(filler)
    assert check(filler).decision is Decision.ALLOW


def test_the_check_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(load_handoff()))("转人工").decision is Decision.HANDOFF
