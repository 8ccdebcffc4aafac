"""Our matcher against Python's own, and against patterns made to run for ever."""

import contextlib
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.module_pattern import PatternError, Steps, is_cheap, parse_pattern

PATHS = ("model.layers.0.self_attn.q_proj", "model.layers.11.mlp.up_proj", "lm_head", "a", "")

atoms = st.sampled_from(
    ["a", "q", "_proj", r"\.", ".", r"\d", r"[qkv]", "[^q]", "layers", r"\b", "^", "$", r"\w", "0"]
)
patterns = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "{1,2}", "{2}"])).map(
            lambda p: f"(?:{p[0]}){p[1]}"
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=500)
@given(pattern=patterns, path=st.sampled_from(PATHS) | st.text("aq0._proj", max_size=12))
def test_agrees_with_re(pattern: str, path: str) -> None:
    try:
        parsed = parse_pattern(pattern)
    except PatternError:
        with pytest.raises(re.error):
            re.compile(pattern)
        return
    assert parsed.covers(path, Steps()) == (re.fullmatch(pattern, path) is not None)
    assert parsed.ends(path, Steps()) == (re.match(rf"(.*\.)?({pattern})$", path) is not None)


@given(text=st.text(max_size=30), path=st.sampled_from(PATHS))
def test_random_text_raises_only_its_error(text: str, path: str) -> None:
    with contextlib.suppress(PatternError):
        parse_pattern(text).covers(path, Steps())


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+b",
        "(a|a)*b",
        "(.|.)" * 50 + "x",
        "(((.*)*)*)*x",
        ".*" * 40 + "x",
        "(?:(?:(?:.?){1000}){1000}){1000}x",
    ],
)
def test_hostile_patterns(pattern: str) -> None:
    started = time.process_time()
    parsed = parse_pattern(pattern)
    assert not is_cheap(parsed)
    try:
        assert not parsed.covers("a" * 200, Steps())
    except PatternError as error:
        assert "too long" in str(error)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "pattern", ["q_proj", r"model\.layers\.0\.self_attn\.q_proj", r".*\.layers\.[0-3]\..*_proj"]
)
def test_usual_patterns_are_cheap(pattern: str) -> None:
    assert is_cheap(parse_pattern(pattern))


@pytest.mark.parametrize("pattern", ["[", "(?i)a", "(?=a)", r"(a)\1", "x{1,4294967296}", "a" * 1025, "(?>a)"])
def test_unsupported(pattern: str) -> None:
    with pytest.raises(PatternError):
        parse_pattern(pattern)
