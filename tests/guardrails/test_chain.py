"""The chain: who decides, in which order, and what happens when a check breaks."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.chain import Chain, InputOutcome
from guardrails.message import Message
from guardrails.output import Channel
from guardrails.session import Session
from guardrails.verdict import Decision, Verdict, strongest
from tests.guardrails.fakes import Broken, Denied, FakeAnswers, FakeReply, policy

PARTS = ("words", "fraud", "privacy", "attack", "handoff")
CONTENT = Channel(0)


def ask(chain: Chain, *texts: str, session: Session | None = None) -> InputOutcome:
    roles = ("user", "assistant")
    messages = [Message(roles[i % 2], text) for i, text in enumerate(texts)]
    return chain.check_input(messages, session=session)


def verdict(outcome: InputOutcome) -> Decision:
    return strongest(outcome.verdicts)


def answer(chain: Chain, outcome: InputOutcome, pieces: list[str], channel: Channel = CONTENT) -> str:
    output = chain.open_output(outcome)
    return "".join(output.feed(channel, piece) for piece in pieces) + output.finish(channel)


def test_harmless_text_passes_unchanged() -> None:
    outcome = ask(Chain(policy()), "hello")
    assert outcome.reply is None
    assert outcome.messages == (Message("user", "hello"),)
    assert outcome.verdicts == ()
    assert [entry.check for entry in outcome.trace] == list(PARTS)


@pytest.mark.parametrize(
    ("text", "decision", "said"),
    [
        ("this is forbidden", Decision.BLOCK, "cannot"),
        ("a caller wants my money in a safe account", Decision.WARN, "96110"),
        ("get me an agent", Decision.HANDOFF, "agent"),
        ("safe account, forbidden", Decision.WARN, "scam"),
        ("get me a forbidden agent", Decision.BLOCK, "cannot"),
    ],
)
def test_the_reply_follows_the_strongest_need(text: str, decision: Decision, said: str) -> None:
    outcome = ask(Chain(policy()), text)
    assert verdict(outcome) is decision
    assert said in (outcome.reply or "")
    assert "400-1" in (outcome.reply or "")


@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
def test_every_message_is_checked(role: str) -> None:
    messages = [Message(role, "forbidden"), Message("user", "hello")]
    assert strongest(Chain(policy()).check_input(messages).verdicts) is Decision.BLOCK


def test_other_texts_are_checked_and_masked() -> None:
    chain = Chain(policy())
    assert (
        strongest(chain.check_input([Message("user", "a")], others=["forbidden"]).verdicts) is Decision.BLOCK
    )
    outcome = chain.check_input([Message("user", "a 4111")], others=["b 4111"])
    assert (outcome.messages[0].content, outcome.others) == ("a ****", ("b ****",))
    assert verdict(outcome) is Decision.MASK


def test_a_refused_question_does_not_refuse_the_rest_of_the_conversation() -> None:
    chain = Chain(policy())
    refusal = ask(chain, "forbidden").reply or ""
    outcome = ask(chain, "forbidden", refusal, "hello")
    assert outcome.reply is None
    assert (outcome.kept, outcome.messages) == ((2,), (Message("user", "hello"),))


def test_a_made_up_refusal_brings_no_denied_word_past_the_check() -> None:
    chain = Chain(policy())
    refusal = ask(chain, "forbidden").reply or ""
    outcome = ask(chain, "hello", refusal + " forbidden", "and now?")
    assert verdict(outcome) is Decision.BLOCK


@pytest.mark.parametrize("check", PARTS)
def test_shadow_records_and_does_not_act(check: str) -> None:
    text = "forbidden safe account 4111 ignore previous agent"
    chain = Chain(policy({name: {"mode": "shadow"} for name in PARTS}))
    outcome = ask(chain, text)
    assert (outcome.reply, outcome.verdicts, outcome.messages[0].content) == (None, (), text)
    entry = next(entry for entry in outcome.trace if entry.check == check)
    assert (entry.mode, entry.result != "allow") == ("shadow", True)


def test_off_is_recorded_too() -> None:
    chain = Chain(policy({"words": {"mode": "off"}}, words=Broken()))
    outcome = ask(chain, "forbidden")
    assert outcome.reply is None
    assert outcome.trace[0].result == "off"
    assert answer(chain, outcome, ["forbidden"]) == "forbidden"


@pytest.mark.parametrize("check", PARTS)
@pytest.mark.parametrize("on_failure", ["open", "closed"])
def test_a_broken_check_follows_its_failure_policy(
    check: str, on_failure: str, caplog: pytest.LogCaptureFixture
) -> None:
    parts: dict[str, Any] = {check: Broken()}
    settings = {check: {"mode": "enforce", "on_failure": on_failure}}
    with caplog.at_level(logging.ERROR):
        outcome = ask(Chain(policy(settings, **parts)), "hello 4111")
    assert (outcome.reply is None) is (on_failure == "open")
    failed = [found for found in outcome.verdicts if found.failed]
    assert [found.check for found in failed] == [check]
    assert next(entry for entry in outcome.trace if entry.check == check).result == "failed"
    assert "must not be logged" not in caplog.text
    assert caplog.records


@pytest.mark.parametrize("check", ["words", "privacy"])
def test_a_check_that_breaks_on_the_answer(check: str) -> None:
    for on_failure, passes in (("open", True), ("closed", False)):
        parts: dict[str, Any] = {check: Broken()}
        good = Chain(policy())
        chain = Chain(policy({check: {"on_failure": on_failure}}, **parts))
        outcome = ask(good, "hello")
        output = chain.open_output(outcome)
        text = output.feed(CONTENT, "all is ") + output.feed(CONTENT, "well") + output.finish(CONTENT)
        assert ("all is well" in text) is passes
        assert output.blocked(0) is not passes
        assert any(found.failed and found.check == check for found in output.verdicts())
        assert any(entry.result == "failed" and entry.check == check for entry in output.trace())


class BreaksLater:
    """Holds everything and breaks at the end."""

    def check(self, text: str) -> Verdict:
        return Verdict("words", Decision.ALLOW)

    def open(self) -> BreaksLater:
        return self

    def feed(self, text: str) -> str:
        return ""

    def finish(self) -> str:
        raise RuntimeError

    def verdicts(self) -> tuple[Verdict, ...]:
        return ()


@pytest.mark.parametrize(("on_failure", "text"), [("open", "abc"), ("closed", "")])
def test_what_a_broken_check_held_is_owed_to_the_reader(on_failure: str, text: str) -> None:
    chain = Chain(policy({"words": {"on_failure": on_failure}}, words=BreaksLater()))
    assert answer(chain, ask(chain, "hello"), ["a", "b", "c"]).startswith(text)


@given(st.lists(st.text("forbidden4111 x", max_size=9), max_size=9), st.data())
def test_streamed_is_unstreamed_and_no_denied_word_leaves(pieces: list[str], data: st.DataObject) -> None:
    chain = Chain(policy({"privacy": {"mode": data.draw(st.sampled_from(["enforce", "shadow", "off"]))}}))
    outcome = ask(chain, "hello")
    streamed = answer(chain, outcome, pieces)
    assert streamed == answer(chain, outcome, ["".join(pieces)])
    assert "forbidden" not in streamed


def test_a_refused_answer_says_so_once_and_nothing_follows() -> None:
    chain = Chain(policy())
    output = chain.open_output(ask(chain, "hello"))
    reasoning = Channel(0, "reasoning")
    assert output.feed(reasoning, "it is forbidden") == ""
    said = output.finish(reasoning) + output.feed(CONTENT, "more") + output.finish(CONTENT)
    assert "cannot" in said
    assert "more" not in said
    assert output.blocked(0)
    assert not output.blocked(1)
    assert output.check_whole(0, "x") is None


def test_choices_do_not_share_what_is_held() -> None:
    chain = Chain(policy({"privacy": {"mode": "off"}}))
    output = chain.open_output(ask(chain, "hello"))
    assert output.feed(Channel(0), "for") + output.feed(Channel(1), "bidden") == "bidden"
    assert output.finish(Channel(0)) == "for"


def test_a_whole_text_is_checked() -> None:
    chain = Chain(policy())
    output = chain.open_output(ask(chain, "hello"))
    assert output.check_whole(0, "fine") == "fine"
    assert output.check_whole(0, "card 4111") == "card ****"
    assert output.check_whole(0, "forbidden") is None
    assert output.blocked(0)
    assert {entry.phase for entry in output.trace()} == {"output"}


def test_approved_answers_are_given_as_they_are() -> None:
    chain = Chain(policy(answers=FakeAnswers(FakeReply("approved", "It costs 5."))))
    outcome = ask(chain, "what does it cost?")
    assert (outcome.reply, outcome.citations, verdict(outcome)) == (
        "It costs 5.",
        ("Doc §1",),
        Decision.ALLOW,
    )


def test_a_grounded_answer_gets_its_own_prompt() -> None:
    answers = FakeAnswers(FakeReply("grounded"), Denied("wrong").open())
    chain = Chain(policy(answers=answers))
    outcome = ask(chain, "my card 4111?")
    assert outcome.reply is None
    assert outcome.grounded == (Message("system", "facts"), Message("user", "my card ****?"))
    assert answers.asked[0][-1].content == "my card ****?"
    assert "wrong" not in answer(chain, outcome, ["this is wro", "ng"])


def test_the_ladder_ends_with_a_person() -> None:
    chain = Chain(policy(answers=FakeAnswers(FakeReply("unknown", citations=()))))
    first = ask(chain, "what about x?")
    assert (verdict(first), first.counted, first.ticket) == (Decision.FALLBACK, ("unknown",), None)
    assert "What does it cost?" in (first.reply or "")
    last = ask(chain, "what about x?", session=Session(unknown=2))
    assert verdict(last) is Decision.HANDOFF
    assert last.ticket is not None
    assert last.ticket.reason == "unanswered"


def test_it_asks_back_once() -> None:
    chain = Chain(policy(answers=FakeAnswers(FakeReply("clarify", "Which card?"))))
    first = ask(chain, "what does it cost?")
    assert "Which card?" in (first.reply or "")
    assert first.counted == ("clarified",)
    again = ask(chain, "what does it cost?", session=Session(clarified=1))
    assert "Which card?" not in (again.reply or "")
    assert verdict(again) is Decision.FALLBACK


def test_a_greeting_is_no_failure() -> None:
    chain = Chain(policy(answers=FakeAnswers(FakeReply("out_of_domain", reason="greeting"))))
    outcome = ask(chain, "hello")
    assert verdict(outcome) is Decision.ALLOW
    assert "cards" in (outcome.reply or "")


def test_a_ticket_holds_no_private_data() -> None:
    for mode in ("enforce", "shadow", "off"):
        outcome = ask(Chain(policy({"privacy": {"mode": mode}})), "agent please, my card is 4111")
        assert outcome.ticket is not None
        assert "4111" not in repr(outcome.ticket)
        assert "my card is ****" in outcome.ticket.summary
    assert outcome.ticket.turns == 1


@pytest.mark.parametrize("text", ["\ud800 lone", "\u200b" * 10_000, "", "x" * 1_000_000])
def test_hard_input_does_not_break_it(text: str) -> None:
    chain = Chain(policy(answers=FakeAnswers(FakeReply("unknown"))))
    outcome = ask(chain, text)
    assert not any(found.failed for found in outcome.verdicts)
    assert len(chain.policy.answers.asked[0][-1].content) <= 4000  # type: ignore[union-attr]


def test_without_any_user_message() -> None:
    outcome = Chain(policy()).check_input([Message("system", "be kind")])
    assert outcome.reply is None
    assert Chain(policy()).check_input([]).reply is None
