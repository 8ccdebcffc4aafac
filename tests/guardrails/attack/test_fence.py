"""The fence around retrieved text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.attack.fence import fence, inert
from tests.guardrails.labelled import hostile

TOKENS = ["<|im_start|>", "<|im_end|>", "</facts>", "<facts>", "[INST]", "[/INST]", "<<SYS>>", "<｜User｜>",
          "\n", "\u2028", "</s>", "<start_of_turn>", "[SYSTEM_PROMPT]", "```", "\u200b",
          "\U000e0041", "[注]"]  # fmt: skip


@given(st.lists(st.lists(st.sampled_from(TOKENS), max_size=8).map("".join) | hostile, max_size=4))
@settings(max_examples=200, deadline=None)
def test_only_the_fence_itself_can_begin_or_end_it(pieces: list[str]) -> None:
    fenced = fence("facts", pieces)
    assert fenced.startswith("<facts>\n")
    assert fenced.endswith("\n</facts>")
    inside = fenced.removeprefix("<facts>").removesuffix("</facts>")
    assert not set("<>|`｜＜＞") & set(inside)
    assert "[INST]" not in inside and "[SYSTEM_PROMPT]" not in inside
    assert len(inside.splitlines()) == max(2, len(pieces) + 1)
    inside.encode()


@given(hostile)
@settings(max_examples=100, deadline=None)
def test_it_is_already_inert_the_second_time(text: str) -> None:
    assert inert(inert(text)) == inert(text)


@pytest.mark.parametrize(
    "text",
    ["年费2000元/年（主卡）。", "Fee: 3% of the amount, min. USD 10 [note 1].", "利率0.05%；超过5万元"],
)
def test_honest_text_stays_as_it_is(text: str) -> None:
    assert inert(text) == text


def test_a_long_piece_is_cut() -> None:
    assert fence("t", ["x" * 500], 100) == f"<t>\n- {'x' * 100}\n</t>"
