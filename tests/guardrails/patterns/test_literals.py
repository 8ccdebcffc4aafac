"""What a pattern cannot do without."""

from __future__ import annotations

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.patterns.literals import alternatives, requirements


@pytest.mark.parametrize(
    ("pattern", "pieces"),
    [
        ("abc", [{"abc"}]),
        ("ab?c", [{"a"}, {"c"}]),
        ("a(?:bc|d).{0,3}ef", [{"a"}, {"bc", "d"}, {"ef"}]),
        ("a(?:bc|d)?e", [{"a"}, {"e"}]),
        (r"\bpay\b.*(?:x|[0-9])", [{"pay"}]),
        ("转(?:账|钱)", [{"转"}, {"账", "钱"}]),
        ("(?:a|)b", [{"b"}]),
        (r"[a-c]\pP+", []),
        ("a{2,3}b", [{"b"}]),
    ],
)
def test_pieces(pattern: str, pieces: list[set[str]]) -> None:
    assert requirements(pattern) == [frozenset(piece) for piece in pieces]


def test_alternatives_are_cut_outside_brackets_alone() -> None:
    assert alternatives(r"a|b(c|d)|[|]e|\||f") == ["a", "b(c|d)", "[|]e", r"\|", "f"]


ATOMS = [
    "a",
    "b",
    "c",
    "(?:a|bc)",
    "(?:ab|c)?",
    "[ab]",
    ".{0,2}",
    "a?",
    "b*",
    "(?:a(?:b|c)|d)+",
    r"\b",
    "c{0,2}",
]


@given(st.lists(st.sampled_from(ATOMS), min_size=1, max_size=6).map("".join), st.text("abcd ", max_size=14))
@settings(max_examples=400, deadline=None)
def test_every_match_holds_every_piece(pattern: str, text: str) -> None:
    match = re2.search(pattern, text)
    if match is not None:
        for piece in requirements(pattern):
            assert any(literal in match[0] for literal in piece), (pattern, piece)
