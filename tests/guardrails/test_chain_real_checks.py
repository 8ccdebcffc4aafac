"""The chain with the checks as a policy folder builds them: words, fraud, privacy, attack, the wish for a person."""

from __future__ import annotations

import pickle
from itertools import zip_longest
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardrails.chain import Chain, InputOutcome
from guardrails.message import Message
from guardrails.output import Channel, Output
from guardrails.policy.load import load_policy
from guardrails.verdict import Decision, strongest
from tests.guardrails.privacy.finder import pieces, private_numbers

CARD, MOBILE, ID = "6222021234567894", "13812345678", "11010519491231002X"
DENIED = ("代开发票", "蓝鲸计划", "moonshine")
HOTLINE = "021-6000-0789"
CONTENT, REASONING, SECOND = Channel(0), Channel(0, "reasoning"), Channel(1)

FRAGMENTS = st.one_of(
    st.sampled_from(
        [
            *DENIED,
            "代开",
            "发票",
            "moon",
            "蓝 鲸",
            CARD,
            "6222 0212 3456 7894",
            "622202",
            MOBILE,
            "138-1234-",
            "5678",
            ID,
            HOTLINE,
        ]
    ),
    st.sampled_from(
        [
            "年费2000元，",
            "住在建国路88号",
            "密码是",
            "abc12345",
            "zhang@example.com",
            " the card ",
            "\n",
            "。",
            "\u200b",
            "\ud800",
            "**",
        ]
    ),
    st.text(max_size=5),
)
TEXTS = st.lists(FRAGMENTS, max_size=8).map("".join)
SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    (folder / "words").mkdir()
    (folder / "words" / "deny.txt").write_text("\n".join(DENIED) + "\n", encoding="utf-8")
    (folder / "policy.yaml").write_text(f"hotline: {HOTLINE}\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def chain(folder: Path) -> Chain:
    # As the gateway gets it: built elsewhere, sent as bytes.
    return Chain(pickle.loads(pickle.dumps(load_policy(folder))))


def denied(text: str) -> list[str]:
    """Terms in a text. The English one is left out: whether it stands as a word is for its own tests to say."""
    return [term for term in DENIED if not term.isascii() and term in text]


def ask(chain: Chain, *texts: str) -> InputOutcome:
    return chain.check_input([Message(("user", "assistant")[at % 2], text) for at, text in enumerate(texts)])


def answer(output: Output, channel: Channel, parts: list[str]) -> str:
    return "".join([output.feed(channel, part) for part in parts]) + output.finish(channel)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS, SIZES)
def test_streamed_is_unstreamed_and_nothing_leaks(chain: Chain, text: str, sizes: list[int]) -> None:
    outcome = ask(chain, "你好")
    output = chain.open_output(outcome)
    said = answer(output, CONTENT, pieces(text, sizes))
    assert said == answer(chain.open_output(outcome), CONTENT, [text])
    assert private_numbers(said) == []
    assert not denied(said)
    assert not [verdict for verdict in output.verdicts() if verdict.failed]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS, TEXTS, SIZES)
def test_choices_and_reasoning_are_guarded_apart(
    chain: Chain, first: str, second: str, sizes: list[int]
) -> None:
    """What two choices say does not depend on how their pieces come mixed."""
    outcome = ask(chain, "你好")
    output = chain.open_output(outcome)
    said = {CONTENT: "", SECOND: ""}
    for one, two in zip_longest(pieces(first, sizes), pieces(second, sizes[::-1]), fillvalue=""):
        said[CONTENT] += output.feed(CONTENT, one)
        said[SECOND] += output.feed(SECOND, two)
    for channel in said:
        said[channel] += output.finish(channel)
    assert said[CONTENT] == answer(chain.open_output(outcome), CONTENT, [first])
    assert said[SECOND] == answer(chain.open_output(outcome), SECOND, [second])
    reasoning = answer(chain.open_output(outcome), REASONING, pieces(first, sizes))
    assert private_numbers(reasoning) == []
    assert not denied(reasoning)


def test_the_engine_sees_no_number(chain: Chain) -> None:
    messages = [
        Message("system", "be kind"),
        Message("user", f"我的卡号{CARD}"),
        Message("assistant", "好的"),
        Message("tool", f"phone {MOBILE}"),
        Message("user", f"身份证{ID}，请问年费多少"),
    ]
    outcome = chain.check_input(messages, others=[f'{{"card": "{CARD}"}}'])
    assert outcome.reply is None
    seen = " ".join([message.content for message in outcome.messages] + list(outcome.others))
    assert private_numbers(seen) == []
    assert MOBILE not in seen
    assert "6222********7894" in seen
    assert strongest(outcome.verdicts) is Decision.MASK
    assert CARD not in repr((outcome.verdicts, outcome.trace))


@pytest.mark.parametrize(
    ("text", "decision", "check"),
    [
        ("哪里可以代开发票", Decision.BLOCK, "words"),
        ("代 开 发 票怎么弄", Decision.BLOCK, "words"),
        ("有人冒充公安局说我涉嫌洗钱，让我把钱转到安全账户", Decision.WARN, "fraud"),
        (f"转人工，我的手机{MOBILE}", Decision.HANDOFF, "handoff"),
        ("我想了解一下年费", Decision.ALLOW, ""),
    ],
)
def test_each_check_has_its_say(chain: Chain, text: str, decision: Decision, check: str) -> None:
    outcome = ask(chain, text)
    assert strongest(outcome.verdicts) is decision
    assert (outcome.reply is None) is (decision is Decision.ALLOW)
    if check:
        assert any(verdict.check == check and verdict.decision is decision for verdict in outcome.verdicts)
    assert [entry.check for entry in outcome.trace] == ["words", "fraud", "privacy", "attack", "handoff"]
    assert not any(entry.result == "failed" for entry in outcome.trace)
    assert not any(term in repr(outcome.trace) for term in DENIED)
    if outcome.ticket is not None:
        assert MOBILE not in outcome.ticket.summary


def test_the_hotline_may_be_said(chain: Chain) -> None:
    outcome = ask(chain, "你们的电话是多少")
    said = answer(chain.open_output(outcome), CONTENT, list(f"请拨打{HOTLINE}，不要拨打021-6000-0788"))
    assert said == f"请拨打{HOTLINE}，不要拨打*******0788"


@pytest.mark.parametrize(
    "text", ["Some moonshine, please.", "这里有代开发票", "代\u200b开发票", "a 蓝 鲸 计 划"]
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_denied_term_ends_the_answer(chain: Chain, text: str, size: int) -> None:
    output = chain.open_output(ask(chain, "你好"))
    said = answer(output, CONTENT, pieces(f"{text} and more", [size]))
    assert output.blocked(0)
    assert not any(term in said for term in (*DENIED, "and more"))


def test_a_tool_s_arguments_are_checked_whole(chain: Chain) -> None:
    output = chain.open_output(ask(chain, "你好"))
    assert output.check_whole(0, f"card {CARD}") == "card 6222********7894"
    assert output.check_whole(0, "我要代开发票") is None
    assert output.blocked(0)


@pytest.mark.parametrize("check", ["words", "privacy"])
def test_shadow_changes_nothing_and_tells_all(folder: Path, tmp_path: Path, check: str) -> None:
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "deny.txt").write_text("\n".join(DENIED) + "\n", encoding="utf-8")
    (tmp_path / "policy.yaml").write_text(f"checks: {{{check}: {{mode: shadow}}}}\n", encoding="utf-8")
    text = {"words": "这里讲蓝鲸计划", "privacy": f"卡号{CARD}"}[check]
    shadowed = Chain(load_policy(tmp_path))
    outcome = ask(shadowed, text)
    assert outcome.reply is None
    assert outcome.messages[0].content == text
    output = shadowed.open_output(outcome)
    assert answer(output, CONTENT, list(text)) == text
    for trace in (outcome.trace, output.trace()):
        entry = next(entry for entry in trace if entry.check == check)
        assert (entry.mode, entry.result) == ("shadow", {"words": "block", "privacy": "mask"}[check])


@pytest.mark.parametrize(
    "text",
    ["\ud800" * 50_000, "\u200b" * 10_000, "1 " * 20_000, f"{CARD} " * 4_000, "a@" * 50_000, "代" * 100_000],
)
def test_hard_texts_break_no_check(chain: Chain, text: str) -> None:
    outcome = ask(chain, text)
    assert not any(entry.result == "failed" for entry in outcome.trace)
    assert private_numbers("".join(message.content for message in outcome.messages)) == []
