"""Every text of an engine's answer passes through the rail, whatever field it comes in."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.chain_rails import ChainOutput
from app.chat.guarded import ChoiceGuard
from guardrails.chain import Chain
from guardrails.message import Message
from tests.guardrails.fakes import policy


def guard() -> ChoiceGuard:
    chain = Chain(policy())
    return ChoiceGuard(ChainOutput(chain.open_output(chain.check_input([Message("user", "hi")]))))


def whole(**message: Any) -> dict[str, Any]:
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": None, **message},
        "finish_reason": "stop",
        "logprobs": {"content": [{"token": "forbidden"}]},
        "token_ids": [1, 2],
    }
    guard().whole(choice)
    return choice


def streamed(deltas: list[dict[str, Any]], reason: str = "stop") -> tuple[dict[str, Any], str]:
    """Deltas put together as a client does, and the finish reason."""
    passing, text = guard(), {"content": "", "reasoning": "", "reasoning_content": "", "arguments": ""}
    ended = ""
    for delta in [*deltas, {}]:
        last = not delta
        choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": reason if last else None}
        passing.delta(choice)
        for name, value in choice["delta"].items():
            if name in text and value:
                text[name] += value
        for call in choice["delta"].get("tool_calls", ()):
            text["arguments"] += call["function"]["arguments"]
        ended = choice["finish_reason"] or ended
    return {name: value for name, value in text.items() if value}, ended


def test_content() -> None:
    choice = whole(content="all 4111 is well")
    assert choice["message"] == {"role": "assistant", "content": "all **** is well"}
    assert (choice["finish_reason"], choice["logprobs"], "token_ids" in choice) == ("stop", None, False)


@pytest.mark.parametrize("name", ["content", "reasoning", "reasoning_content"])
def test_a_denied_word_in_any_text_refuses_the_answer(name: str) -> None:
    choice = whole(**{name: "this is forbidden here"})
    assert choice["finish_reason"] == "content_filter"
    assert b"forbidden" not in orjson.dumps(choice)
    text, reason = streamed([{name: "this is for"}, {name: "bidden"}, {name: " here"}])
    assert reason == "content_filter"
    assert "forbidden" not in "".join(text.values())
    assert "cannot" in text["content"]


@pytest.mark.parametrize(
    "arguments",
    [
        '{"q": "forbidden"}',
        '{"q": "\\u0066orbidden"}',
        '{"forbidden": 1}',
        '[["a", {"b": "x forbidden"}]]',
        "not JSON, forbidden",
    ],
)
def test_a_denied_word_in_a_tool_call_refuses_it(arguments: str) -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    for fields in ({"tool_calls": [call]}, {"function_call": call["function"]}):
        choice = whole(**fields)
        assert choice["finish_reason"] == "content_filter"
        assert "tool_calls" not in choice["message"]
        assert b"orbidden" not in orjson.dumps(choice)
    head, tail = arguments[:7], arguments[7:]
    text, reason = streamed(
        [
            {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": head}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": tail}}]},
        ],
        "tool_calls",
    )
    assert reason == "content_filter"
    assert "arguments" not in text


def test_a_clean_tool_call_arrives_whole() -> None:
    pieces = ['{"card": "4', "111 of mine", '", "n": 2}']
    deltas = [
        {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": piece}}]}
        for piece in pieces
    ]
    text, reason = streamed(deltas, "tool_calls")
    assert orjson.loads(text["arguments"]) == {"card": "**** of mine", "n": 2}
    assert reason == "tool_calls"


def test_a_tool_call_that_needs_no_change_is_not_written_anew() -> None:
    arguments = '{ "n":1.50 , "s": "ok" }'
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    (passed,) = whole(tool_calls=[call])["message"]["tool_calls"]
    assert passed == call


def test_fields_nobody_checks_do_not_leave() -> None:
    choice = whole(content="fine", audio={"data": "forbidden"}, annotations=["forbidden"])
    assert b"forbidden" not in orjson.dumps(choice)


def test_a_completion() -> None:
    choice = {"index": 1, "text": "a forbidden b", "finish_reason": "length", "prompt_logprobs": [1]}
    ChoiceGuard(guard()._rail).whole(choice)
    assert (choice["finish_reason"], "forbidden" in str(choice["text"])) == ("content_filter", False)
    assert "prompt_logprobs" not in choice


@given(st.lists(st.tuples(st.sampled_from(["content", "reasoning"]), st.text("forbidden4111 ", max_size=8))))
def test_streamed_is_whole(pieces: list[tuple[str, str]]) -> None:
    # Engines reason first.
    pieces = sorted(pieces, key=lambda piece: piece[0], reverse=True)
    text, reason = streamed([{name: piece} for name, piece in pieces if piece])
    joined = {
        name: "".join(piece for kind, piece in pieces if kind == name) for name in ("content", "reasoning")
    }
    choice = whole(**{name: value for name, value in joined.items() if value})
    message = {name: value for name, value in choice["message"].items() if name != "role" and value}
    assert (message, choice["finish_reason"]) == (text, reason)
