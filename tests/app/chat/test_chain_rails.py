"""The chain on the way of a request: every text is read, nothing of a request turns a check off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.chat.assistants import Assistant
from app.chat.chain_rails import INLINE_CHARACTERS, ChainRails
from app.chat.policies import PolicyLibrary
from app.chat.rails import InputResult, Turn
from app.chat.sessions import Sessions, session_of
from app.chat.tickets import TicketQueue
from app.errors import ApiError
from app.state.connection import connect
from app.state.keyspace import Keyspace
from guardrails.chain import Chain
from guardrails.message import Message
from guardrails.policy.policy import Policy
from guardrails.verdict import Decision, strongest
from tests.guardrails.fakes import FakeAnswers, FakeReply, policy
from tests.valkey_process import ValkeyProcess

FOLDER = Path("policy")
UNKNOWN = FakeReply("unknown", citations=())


class OneChain(PolicyLibrary):
    """A library that holds the chain it was given."""

    def __init__(self, chain: Chain | None) -> None:
        super().__init__(lambda: (), None)
        self._one = chain

    def chain(self, folder: Path) -> Chain | None:
        return self._one


class Bench:
    """Rails over one policy and a real state server."""

    def __init__(self, valkey: ValkeyProcess, prefix: str) -> None:
        self.redis = connect(valkey.url)
        self.names = Keyspace(prefix)
        self.queue = TicketQueue(self.redis, self.names)
        self.opened: list[ChainRails] = []

    def rails(self, found: Policy | None) -> ChainRails:
        chain = Chain(found) if found is not None else None
        rails = ChainRails(OneChain(chain), Sessions(self.redis, self.names), self.queue)
        self.opened.append(rails)
        return rails

    async def ask(self, found: Policy | None, guarded: bool = True, **body: Any) -> InputResult:
        assistant = Assistant("bank", "", None, "", {}, None, True, FOLDER if guarded else None)
        return await self.rails(found).check_input(Turn("r1", assistant, {"model": "bank"} | body, "k1"))

    async def chat(self, found: Policy, text: str, **body: Any) -> InputResult:
        return await self.ask(found, messages=[{"role": "user", "content": text}], **body)


@pytest.fixture(scope="module")
def valkey() -> Any:
    with ValkeyProcess() as running:
        yield running


@pytest.fixture
async def bench(valkey: ValkeyProcess, request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    bench = Bench(valkey, f"{request.node.name}:")
    yield bench
    for rails in bench.opened:
        rails.close()
    await bench.redis.aclose()


def decided(result: InputResult) -> Decision:
    return strongest(result.verdicts)


async def test_an_assistant_without_policy_is_not_checked(bench: Bench) -> None:
    result = await bench.ask(None, guarded=False, messages=[{"role": "user", "content": "forbidden"}])
    assert (result.answer, result.open_output()) == (None, None)


async def test_an_assistant_whose_policy_is_not_built_does_not_answer(bench: Bench) -> None:
    with pytest.raises(ApiError) as refusal:
        await bench.ask(None, messages=[{"role": "user", "content": "hi"}])
    assert (refusal.value.status, refusal.value.code) == (503, "policy_missing")


FUNCTION = {"name": "f", "arguments": '{"q": "\\u0066orbidden"}'}


USER = {"role": "user", "content": "a"}
CALL = {"id": "1", "type": "function", "function": FUNCTION}
PARTS = [{"type": "text", "text": "a"}, {"type": "text", "text": "forbidden"}]
TOOL = {"type": "function", "function": {"name": "f", "description": "forbidden"}}
SCHEMA = {"type": "json_schema", "json_schema": {"enum": ["forbidden"]}}


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "forbidden"}]},
        {"messages": [{"role": "user", "content": PARTS}]},
        {"messages": [{"role": "system", "content": "forbidden"}, USER]},
        {"messages": [USER, {"role": "tool", "content": "forbidden", "tool_call_id": "x"}]},
        {"messages": [{"role": "assistant", "tool_calls": [CALL]}, USER]},
        {"messages": [{"role": "assistant", "function_call": FUNCTION}, USER]},
        {"messages": [USER], "tools": [TOOL]},
        {"messages": [USER], "response_format": SCHEMA},
        {"prompt": "forbidden"},
        {"prompt": ["a", "forbidden"]},
        {"messages": [{"role": "user", "content": "x" * INLINE_CHARACTERS + " forbidden"}]},
    ],
)
async def test_every_text_of_a_request_is_checked(bench: Bench, body: dict[str, Any]) -> None:
    result = await bench.ask(policy(), **body)
    assert decided(result) is Decision.BLOCK
    assert "cannot" in (result.answer or "")


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": [1, 2, 3]},
        {"prompt": [[1, 2], [3]]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]},
    ],
)
async def test_what_cannot_be_read_is_refused(bench: Bench, body: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as refusal:
        await bench.ask(policy(), **body)
    assert (refusal.value.status, refusal.value.code) == (400, "unchecked_content")


async def test_no_parameter_reaches_past_the_checks(bench: Bench) -> None:
    tricks = {
        "echo": True, "logprobs": True, "top_logprobs": 5, "prompt_logprobs": 1, "return_token_ids": True,
        "chat_template_kwargs": {"x": 1}, "documents": [{"text": "forbidden"}], "guided_regex": "forbidden",
        "structured_outputs": {"choice": ["forbidden"]}, "add_generation_prompt": False, "bad_words": [],
        "continue_final_message": True, "truncate_prompt_tokens": 1, "guardrails": False, "policy": "off",
        "suffix": "forbidden", "extra_body": {"checks": "off"}, "include_reasoning": False,
    }  # fmt: skip
    result = await bench.chat(policy(), "hello", temperature=0.5, n=2, metadata={"session_id": "s"}, **tricks)
    assert result.answer is None
    assert result.body.keys() == {"model", "messages", "temperature", "n"}
    assert set(result.ignored) == tricks.keys()
    assert b"forbidden" not in orjson.dumps(result.body)


async def test_private_data_does_not_reach_the_engine_or_the_log(bench: Bench) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"card": "4111"}'}}
    result = await bench.ask(
        policy(),
        messages=[
            {"role": "user", "name": "4111", "content": "card 4111"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "found 4111"}]},
        ],
        tools=[{"type": "function", "function": {"name": "f", "description": "4111"}}],
    )
    assert decided(result) is Decision.MASK
    assert b"4111" not in orjson.dumps(result.body)
    assert "4111" not in (result.text or "")
    sent = result.body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert sent[1]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"card":"****"}'}
    assert sent[1]["content"] is None
    assert result.body["tools"][0]["function"]["description"] == "****"


async def test_a_refused_message_is_left_out_with_its_tool_calls_in_place(bench: Bench) -> None:
    found = policy()
    refusal = (await bench.chat(found, "forbidden")).answer
    call = {"id": "1", "type": "function", "function": {"name": "g", "arguments": "{}"}}
    result = await bench.ask(
        found,
        messages=[
            {"role": "user", "content": "forbidden"},
            {"role": "assistant", "content": refusal},
            {"role": "assistant", "content": "x", "tool_calls": [call]},
            {"role": "user", "content": "go on"},
        ],
    )
    assert [message["content"] for message in result.body["messages"]] == ["x", "go on"]
    assert result.body["messages"][0]["tool_calls"][0]["function"]["name"] == "g"


async def test_a_grounded_prompt_takes_the_place_of_the_conversation(bench: Bench) -> None:
    found = policy(answers=FakeAnswers(FakeReply("grounded")))
    result = await bench.chat(found, "what is it?")
    assert result.body["messages"] == [
        {"role": "system", "content": "facts"},
        {"role": "user", "content": "what is it?"},
    ]
    plain = await bench.ask(found, prompt="what is it?")
    assert plain.body["prompt"] == "facts\n\nwhat is it?\n"
    with pytest.raises(ApiError, match="one prompt"):
        await bench.ask(found, prompt=["a", "b"])


async def test_the_ladder_is_climbed_within_a_session_and_a_ticket_is_queued(bench: Bench) -> None:
    found = policy(answers=FakeAnswers(UNKNOWN))

    async def again(**more: Any) -> Decision:
        return decided(await bench.chat(found, "what about x?", **more))

    named = {"metadata": {"session_id": "s1"}}
    assert [await again(**named) for _ in range(3)] == [
        Decision.FALLBACK,
        Decision.FALLBACK,
        Decision.HANDOFF,
    ]
    (queued,) = await bench.queue.waiting()
    assert queued.ticket["summary"] == "what about x?"
    assert (queued.ticket["assistant"], queued.ticket["request_id"]) == ("bank", "r1")
    # Without a name, a conversation of one message is one that begins.
    assert [await again() for _ in range(4)] == [Decision.FALLBACK] * 4
    assert await again(metadata={"session_id": "s2"}) is Decision.FALLBACK


async def test_counts_go_on_through_a_conversation_without_a_name(bench: Bench) -> None:
    found = policy(answers=FakeAnswers(UNKNOWN))
    messages: list[dict[str, str]] = []
    decisions = []
    for turn in range(3):
        messages.append({"role": "user", "content": f"what about {turn}?"})
        result = await bench.ask(found, messages=messages, user="u")
        decisions.append(decided(result))
        messages.append({"role": "assistant", "content": result.answer or ""})
    assert decisions[-1] is Decision.HANDOFF


async def test_a_session_is_forgotten(bench: Bench) -> None:
    found = policy(answers=FakeAnswers(UNKNOWN))
    body = {"metadata": {"session_id": "s"}, "messages": [{"role": "user", "content": "x"}]}
    await bench.ask(found, **body)
    session, _ = session_of(body, [Message("user", "x")], "k1", "bank")
    assert 0 < await bench.redis.ttl(bench.names.session(session)) <= 3600


async def test_while_the_state_is_away_nobody_is_promised_a_person(bench: Bench) -> None:
    bench.redis = connect("unix:///nowhere/s", timeout=0.2)
    bench.queue = TicketQueue(bench.redis, bench.names)
    with pytest.raises(ApiError) as refusal:
        await bench.chat(policy(), "agent")
    assert refusal.value.status == 503
    # Everything else is still checked.
    assert decided(await bench.chat(policy(), "safe account")) is Decision.WARN
    assert decided(await bench.chat(policy(), "forbidden")) is Decision.BLOCK
    assert decided(await bench.chat(policy(answers=FakeAnswers(UNKNOWN)), "x")) is Decision.FALLBACK
