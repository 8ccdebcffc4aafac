"""Preference pairs: every bad line is found, and the figures say what they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.training.conversation import BadRows
from adapters.training.encoding import IGNORED, Encoded
from adapters.training.figures import preference_figures
from adapters.training.preferences import EncodedPair, pairs_digest, read_pairs
from tests.adapters.training.runs import write_rows

LOG_LIKELIHOOD = st.floats(-1000, -0.001)
TWO = st.tuples(LOG_LIKELIHOOD, LOG_LIKELIHOOD)
PAIR = EncodedPair(1, Encoded((1, 2, 3), (IGNORED, 2, 3)), Encoded((1, 4), (IGNORED, 4)))


def pair(prompt: str, chosen: str, rejected: str) -> dict[str, str]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def test_every_bad_line_is_told_at_once(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        pair("q", "a", "b"),
        pair("q", "a", "a"),
        {"prompt": "q", "response": "a"},
        pair("q", "b", "a"),
        {"prompt": [{"role": "assistant", "content": "a"}], "chosen": "a", "rejected": "b"},
    ]
    with pytest.raises(BadRows) as refused:
        read_pairs(write_rows(tmp_path / "pairs.jsonl", rows))
    lines = str(refused.value).splitlines()
    assert [line.split(":")[1] for line in lines] == ["2", "3", "4", "5"]
    assert "the same text" in lines[0] and "not preferences" in lines[1]
    assert "prefers what line 1 rejects" in lines[2]


def test_a_prompt_of_its_own_system_message_keeps_it(tmp_path: Path) -> None:
    own = [{"role": "system", "content": "own"}, {"role": "user", "content": "q"}]
    file = write_rows(
        tmp_path / "pairs.jsonl", [pair("q", "a", "b"), {"prompt": own, "chosen": "a", "rejected": "b"}]
    )
    plain, kept = read_pairs(file, "of the recipe")
    assert plain.prompt == (("system", "of the recipe"), ("user", "q"))
    assert kept.prompt == (("system", "own"), ("user", "q"))


def test_the_digest_tells_pairs_apart(tmp_path: Path) -> None:
    digests = {
        pairs_digest(read_pairs(write_rows(tmp_path / "pairs.jsonl", [row])))
        for row in (pair("q", "a", "b"), pair("q", "b", "a"), pair("p", "a", "b"), pair("q", "a", "c"))
    }
    assert len(digests) == 4


@settings(deadline=None)
@given(st.lists(st.tuples(TWO, TWO), min_size=1, max_size=8), st.floats(0.01, 10))
def test_figures_compare_with_the_reference(
    seen: list[tuple[tuple[float, float], tuple[float, float]]], beta: float
) -> None:
    before, after = [one for one, _ in seen], [one for _, one in seen]
    pairs = [PAIR] * len(seen)
    same = preference_figures(pairs, before, before, beta)
    assert (same["preference_accuracy"], same["reward_margin"]) == (0, 0)
    assert same["held_out_loss"] == same["base_held_out_loss"]
    figures = preference_figures(pairs, before, after, beta)
    back = preference_figures(pairs, after, before, beta)
    assert figures["reward_margin"] == pytest.approx(-back["reward_margin"])
    assert figures["preference_accuracy"] + back["preference_accuracy"] <= 1
    assert figures["chosen_likelier"] == back["base_chosen_likelier"]
    # Two learnt tokens in each chosen answer.
    assert figures["held_out_loss"] == pytest.approx(-sum(chosen for chosen, _ in after) / len(after) / 2)
