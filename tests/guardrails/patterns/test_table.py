"""The pattern table: two passes say what one would, and what is wrong is refused."""

from __future__ import annotations

import pickle

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.patterns.literals import alternatives
from guardrails.patterns.table import PatternSource, PatternTable, WrongPattern, whole_words

SOURCE = PatternSource(
    words={"pay": "pay|转账", "who": "bank|银行"},
    parts={"gap": ".{0,5}"},
    signals={
        "both": ["{pay}{gap}{who}"],
        "word": ["{pay}"],
        "alone": ["x+y"],
        "either": ["{pay}z", "{who}z"],
        "many": ["z{gap}{pay}{gap}{who}{gap}xy"],
    },
)


@given(
    st.lists(
        st.sampled_from(["pay", "转账", "bank", "银行", "z", "x", "y", " ", "payer", "abcdef"]), max_size=12
    ).map("".join)
)
@settings(max_examples=200, deadline=None)
def test_two_passes_find_what_each_pattern_alone_would(text: str) -> None:
    pay, who = whole_words("pay|转账"), whole_words("bank|银行")
    alone = {
        "both": f"{pay}.{{0,5}}{who}",
        "word": pay,
        "alone": "x+y",
        "either": f"{pay}z|{who}z",
        "many": f"z.{{0,5}}{pay}.{{0,5}}{who}.{{0,5}}xy",
    }
    table = PatternTable(SOURCE)
    expected = {name for name, pattern in alone.items() if re2.search(pattern, text)}
    assert table.found(text) == expected
    assert expected <= table.names(table.look(text).hinted)
    assert {name for name in SOURCE.signals if table.spans(name, text)} == expected
    assert table.names(table.look(text).found(table.mask(["word"]))) == expected & {"word"}


@given(
    st.lists(st.sampled_from(["pay", "转账", "bank", "银行", "z", "xy", " "]), max_size=12).map("".join),
    st.integers(0, 30),
    st.integers(0, 30),
)
@settings(max_examples=200, deadline=None)
def test_a_stretch_is_looked_at_as_a_text_of_its_own(text: str, start: int, end: int) -> None:
    table = PatternTable(SOURCE)
    look = table.scan(text).look(start, max(start, end))
    alone = table.look(text[start : max(start, end)])
    assert look.hinted == alone.hinted
    assert look.found(look.hinted) == alone.found(alone.hinted)


def test_a_table_survives_pickling() -> None:
    table = pickle.loads(pickle.dumps(PatternTable(SOURCE)))
    assert table.found("pay the bank") == {"both", "word"}


def test_latin_words_are_whole_and_chinese_ones_are_not() -> None:
    table = PatternTable(SOURCE)
    assert table.found("payment") == frozenset()
    assert table.found("我转账了") == {"word"}
    assert alternatives("a|b(c|d)|[|]e| ") == ["a", "b(c|d)", "[|]e"]


@pytest.mark.parametrize(
    ("source", "section"),
    [
        (PatternSource(signals={"a": ["("]}), "signals"),
        (PatternSource(signals={"a": [r"(a)\1"]}), "signals"),
        (PatternSource(signals={"a": ["x*"]}), "signals"),
        (PatternSource(signals={"a": ["{nobody} x"]}), "signals"),
        (PatternSource(words={"w": "["}), "words"),
        (PatternSource(parts={"p": "a{9999}"}), "parts"),
        (PatternSource(signals={"a": ["(((a{100}){100}){100})"]}), "signals"),
        (PatternSource(signals={"a": ["a" * 50_000]}), "signals"),
    ],
)
def test_wrong_patterns_are_refused(source: PatternSource, section: str) -> None:
    with pytest.raises(WrongPattern) as wrong:
        PatternTable(source)
    assert wrong.value.section == section


def test_too_many_patterns_are_refused() -> None:
    with pytest.raises(WrongPattern):
        PatternTable(PatternSource(signals={"a": [f"x{n}" for n in range(4001)]}))


def test_patterns_that_would_take_forever_elsewhere_are_harmless() -> None:
    table = PatternTable(PatternSource(signals={"a": ["(a+)+b", "(a|aa)+$c"]}))
    assert table.found("a" * 1_000_000) == frozenset()
