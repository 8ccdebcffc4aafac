"""Near duplicates: what is found is near, what is near is found, whatever the text."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.training.data.minhash import SIMILAR, NearTexts, folded, shingles, similarity

TEXTS = st.lists(st.text("abcd 年费多少？", max_size=30), max_size=12)


def jaccard(one: str, other: str) -> float:
    def parts(text: str) -> set[str]:
        text = folded(text)
        return {text[at : at + 3] for at in range(max(1, len(text) - 2))}

    return len(parts(one) & parts(other)) / len(parts(one) | parts(other))


@settings(max_examples=80, deadline=None)
@given(TEXTS, st.text("abcd 年费多少？", max_size=30))
def test_similarity_is_jaccard_and_what_is_found_is_near(texts: list[str], asked: str) -> None:
    index = NearTexts()
    for text in texts:
        index.add(text)
        assert abs(similarity(shingles(text), shingles(asked)) - jaccard(text, asked)) < 1e-9
    found = index.find(asked)
    if found is not None:
        assert jaccard(texts[found], asked) >= SIMILAR
    if any(folded(text) == folded(asked) for text in texts):
        assert found is not None, "the same text is always found"


def test_nearly_every_near_text_is_found() -> None:
    rng = Random(5)
    missed = near = 0
    for _ in range(300):
        text = "".join(rng.choices("abcdefghijklmnop", k=80))
        at = rng.randrange(80)
        other = text[:at] + "z" + text[at + 1 :]
        if jaccard(text, other) < SIMILAR:
            continue
        near += 1
        index = NearTexts()
        index.add(text)
        missed += index.find(other) is None
    assert near > 250
    assert missed <= 3


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=20))
def test_any_text_is_near_itself(text: str) -> None:
    index = NearTexts()
    assert index.is_new(text)
    assert not index.is_new(text)
    assert len(index) == 1


def test_hostile_texts_end() -> None:
    for text in ("a" * 1_000_000, "\u200b" * 10_000, "\ud800" * 50, "", "《》" * 500_000):
        assert not (index := NearTexts()).add(text)
        assert index.find(text) == 0
