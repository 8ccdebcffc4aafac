"""Passing every text of an engine's choice through the output rail, streamed or whole.

Only fields whose text is checked are passed on: what an engine adds later does not leave unseen. Token ids and
log-probabilities would tell what was masked or held back, so a guarded answer has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.chat.rails import CONTENT, REASONING, OutputRail

_REASONING_FIELDS = ("reasoning", "reasoning_content")
_MAX_JSON_DEPTH = 64


@dataclass(slots=True)
class _Call:
    """A tool call as far as it has come."""

    id: str | None = None
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class _Choice:
    calls: dict[int, _Call] = field(default_factory=dict)
    legacy: bool = False
    reasoning: str = ""
    reasoning_open: bool = False


class ChoiceGuard:
    """Rewrites the choices of one answer in place."""

    def __init__(self, rail: OutputRail) -> None:
        self._rail = rail
        self._choices: dict[int, _Choice] = {}

    def delta(self, choice: dict[str, Any]) -> str:
        """One streamed piece of a choice; the text of it that may leave."""
        index, finished = int(choice["index"]), choice.get("finish_reason") is not None
        state = self._choices.setdefault(index, _Choice())
        chat = "delta" in choice
        came = choice["delta"] if chat else choice
        out: dict[str, Any] = {}
        if "role" in came:
            out["role"] = came["role"]
        self._reason(index, state, came, out)
        text = came.get("content" if chat else "text") or ""
        if (text or finished) and state.reasoning_open:
            self._end_reasoning(index, state, out)
        content = self._rail.feed(index, text) if text else ""
        self._collect(state, came)
        if finished:
            content += self._finish(index, state, out)
        if chat:
            if content or "content" in came:
                out["content"] = content
            choice["delta"] = out
        else:
            choice["text"] = content
        self._trim(choice, index, finished)
        return content

    def whole(self, choice: dict[str, Any]) -> str:
        """A complete choice; its text that may leave."""
        index = int(choice["index"])
        state = self._choices.setdefault(index, _Choice())
        if "message" not in choice:
            text = choice.get("text") or ""
            choice["text"] = self._rail.feed(index, text) + self._rail.finish(index)
            self._trim(choice, index, finished=True)
            return str(choice["text"])
        came: Mapping[str, Any] = choice["message"]
        out: dict[str, Any] = {"role": came.get("role", "assistant"), "content": None}
        self._reason(index, state, came, out)
        if state.reasoning_open:
            self._end_reasoning(index, state, out)
        self._collect(state, came)
        text = came.get("content") or ""
        content = (self._rail.feed(index, text) if text else "") + self._finish(index, state, out)
        for call in out.get("tool_calls", ()):
            call.pop("index")
        if content or came.get("content") is not None:
            out["content"] = content
        choice["message"] = out
        self._trim(choice, index, finished=True)
        return content

    def _reason(self, index: int, state: _Choice, came: Mapping[str, Any], out: dict[str, Any]) -> None:
        for name in _REASONING_FIELDS:
            if text := came.get(name):
                if state.reasoning and state.reasoning != name:
                    continue  # The same text under its second name.
                state.reasoning, state.reasoning_open = name, True
                if passed := self._rail.feed(index, text, REASONING):
                    out[name] = passed

    def _end_reasoning(self, index: int, state: _Choice, out: dict[str, Any]) -> None:
        state.reasoning_open = False
        if rest := self._rail.finish(index, REASONING):
            out[state.reasoning] = out.get(state.reasoning, "") + rest

    def _collect(self, state: _Choice, came: Mapping[str, Any]) -> None:
        """Tool calls are held until they are whole: JSON may spell a character in more than one way."""
        for position, piece in enumerate(came.get("tool_calls") or ()):
            call = state.calls.setdefault(int(piece.get("index", position)), _Call())
            _add(call, piece.get("function") or {}, piece.get("id"))
        if legacy := came.get("function_call"):
            state.legacy = True
            _add(state.calls.setdefault(0, _Call()), legacy, None)

    def _finish(self, index: int, state: _Choice, out: dict[str, Any]) -> str:
        """The end of a choice: its checked tool calls into `out`, the rest of its content."""
        calls: list[dict[str, Any]] = []
        for position, call in sorted(state.calls.items()):
            name = self._rail.check_whole(index, call.name)
            arguments = checked_json(self._rail, index, call.arguments)
            if name is None or arguments is None:
                calls = []
                break
            function = {"name": name, "arguments": arguments}
            calls.append({"index": position, "id": call.id, "type": "function", "function": function})
        if calls and state.legacy:
            out["function_call"] = calls[0]["function"]
        elif calls:
            out["tool_calls"] = calls
        return self._rail.finish(index, CONTENT)

    def _trim(self, choice: dict[str, Any], index: int, finished: bool) -> None:
        for name in choice.keys() - {"index", "delta", "message", "text", "finish_reason", "stop_reason"}:
            del choice[name]
        choice["logprobs"] = None
        if finished and self._rail.blocked(index):
            choice["finish_reason"] = "content_filter"
            choice.pop("stop_reason", None)


def _add(call: _Call, function: Mapping[str, Any], identity: str | None) -> None:
    call.id = call.id or identity
    call.name += function.get("name") or ""
    call.arguments += function.get("arguments") or ""


def checked_json(rail: OutputRail, choice: int, text: str) -> str | None:
    """JSON text with every string in it checked as it reads; other text checked as it is. None: refused."""
    if not text:
        return text
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return rail.check_whole(choice, text)
    changed: list[bool] = []
    value = _checked(rail, choice, value, changed, 0)
    if rail.blocked(choice):
        return None
    return orjson.dumps(value).decode() if changed else text


def _checked(rail: OutputRail, choice: int, value: Any, changed: list[bool], depth: int) -> Any:
    if isinstance(value, str):
        out = rail.check_whole(choice, value)
        if out != value:
            changed.append(True)
        return out
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) >= 10**9:
        # A card's number needs no quotes.
        out = rail.check_whole(choice, str(value))
        if out != str(value):
            changed.append(True)
            return out
        return value
    if depth >= _MAX_JSON_DEPTH:
        changed.append(True)
        return None
    if isinstance(value, list):
        return [_checked(rail, choice, item, changed, depth + 1) for item in value]
    if isinstance(value, dict):
        return {
            str(_checked(rail, choice, name, changed, depth + 1)): _checked(
                rail, choice, item, changed, depth + 1
            )
            for name, item in value.items()
        }
    return value
