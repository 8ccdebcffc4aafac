"""What of a request a guarded assistant takes: the texts its checks see, and the body with their results.

Only fields listed here reach the engine: a parameter that changes how texts are put together, or tells what was
withheld, is left out (and named in the answer's `atelier.ignored`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from app.errors import ApiError, bad_request
from guardrails.message import Message

SAMPLING = frozenset(
    {
        "model", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens", "temperature", "top_p",
        "top_k", "min_p", "stop", "seed", "presence_penalty", "frequency_penalty", "repetition_penalty", "user",
    }
)  # fmt: skip
CHAT_FIELDS = SAMPLING | {
    "messages", "tools", "tool_choice", "parallel_tool_calls", "response_format", "functions", "function_call",
}  # fmt: skip
COMPLETION_FIELDS = SAMPLING | {"prompt"}
# For the gateway itself; naming them as ignored would be wrong.
_OWN = frozenset({"metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"})
_JSON_FIELDS = ("tools", "functions", "response_format")
_CALL_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
# What a client may set without the answer differing from what it asked for.
_WITHOUT_EFFECT: Mapping[str, Any] = {"logprobs": False, "echo": False, "top_logprobs": 0}


@dataclass(frozen=True, slots=True)
class GuardedRequest:
    """The texts of a body, and the way back."""

    body: Mapping[str, Any]
    messages: tuple[Message, ...]
    others: tuple[str, ...]
    ignored: tuple[str, ...]

    @property
    def prompts(self) -> int:
        """How many prompts there are; a conversation is one."""
        return 1 if "messages" in self.body else len(self.messages)

    def with_texts(
        self, messages: Sequence[Message], kept: Sequence[int], others: Sequence[str]
    ) -> dict[str, Any]:
        """The body for the engine: `messages` are those of the `kept` positions, `others` all that came."""
        out = dict(self.body)
        if "messages" not in out:
            prompts = [message.content for message in messages]
            out["prompt"] = prompts[0] if len(prompts) == 1 else prompts
            return out
        rest = iter(others)
        texts = dict(zip(kept, messages, strict=True))
        rebuilt = [
            _rebuilt(raw, texts.get(position), rest) for position, raw in enumerate(self.body["messages"])
        ]
        out["messages"] = [message for message in rebuilt if message is not None]
        for name in _JSON_FIELDS:
            if name in out:
                out[name] = _parsed(next(rest), name)
        return out

    def grounded(self, messages: Sequence[Message], others: Sequence[str]) -> dict[str, Any]:
        """The body for the engine with the chain's own prompt in place of the conversation."""
        if "messages" not in self.body:
            return dict(self.body) | {"prompt": "\n\n".join(message.content for message in messages) + "\n"}
        out = self.with_texts((), (), others)
        return out | {"messages": [{"role": one.role, "content": one.content} for one in messages]}


def read_guarded(body: Mapping[str, Any]) -> GuardedRequest:
    """The texts of `body`. Raises ApiError 400 for what cannot be checked."""
    chat = "messages" in body
    fields = CHAT_FIELDS if chat else COMPLETION_FIELDS
    kept = {name: value for name, value in body.items() if name in fields and value is not None}
    ignored = tuple(
        sorted(
            name[:80]
            for name, value in body.items()
            if name not in fields
            and name not in _OWN
            and value is not None
            and value != _WITHOUT_EFFECT.get(name, ...)
        )
    )[:32]
    if not chat:
        prompts = _prompts(kept["prompt"])
        return GuardedRequest(kept, tuple(Message("user", text) for text in prompts), (), ignored)
    messages: list[Message] = []
    others: list[str] = []
    for position, raw in enumerate(kept["messages"]):
        messages.append(Message(raw["role"], _text(raw.get("content"), position)))
        others.extend(_call_texts(raw))
    for name in _JSON_FIELDS:
        if name in kept:
            others.append(orjson.dumps(kept[name]).decode())
    return GuardedRequest(kept, tuple(messages), tuple(others), ignored)


def _prompts(prompt: Any) -> list[str]:
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if not all(isinstance(text, str) for text in prompts):
        raise _unreadable("`prompt` holds token ids, whose text a guarded assistant cannot check.", "prompt")
    return list(prompts)


def _text(content: Any, position: int) -> str:
    """The text of a message, its parts joined as the engine joins them."""
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for part in content:
        if part["type"] not in {"text", "input_text", "output_text", "refusal"}:
            raise _unreadable(
                f"Parts of type `{part['type'][:40]}` cannot be checked by a guarded assistant.",
                f"messages.{position}.content",
            )
        text = part.get("refusal" if part["type"] == "refusal" else "text")
        if not isinstance(text, str):
            raise _unreadable("A text part has no text.", f"messages.{position}.content")
        texts.append(text)
    return "\n".join(texts)


def _unreadable(message: str, param: str) -> ApiError:
    return bad_request(message, param=param, code="unchecked_content")


def _functions(raw: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    calls = raw.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict) and isinstance(call.get("function"), dict):
            yield call["function"]
    if isinstance(raw.get("function_call"), dict):
        yield raw["function_call"]


def _call_texts(raw: Mapping[str, Any]) -> Iterable[str]:
    for function in _functions(raw):
        yield str(function.get("name") or "")
        yield _plain_json(str(function.get("arguments") or ""))


def _plain_json(text: str) -> str:
    """JSON with its escapes undone, so that the checks see what a reader sees."""
    try:
        return orjson.dumps(orjson.loads(text)).decode()
    except orjson.JSONDecodeError:
        return text


def _parsed(text: str, name: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # A number that had to be hidden: nothing a tool's definition needs.
        raise _unreadable(f"`{name}` holds private data as a bare number.", name) from None


def _rebuilt(raw: Mapping[str, Any], message: Message | None, others: Iterator[str]) -> dict[str, Any] | None:
    """One message for the engine, from its checked texts; None for one that was left out."""
    functions = [{"name": next(others), "arguments": next(others)} for _ in _functions(raw)]
    if message is None:
        return None
    out: dict[str, Any] = {"role": message.role}
    out["content"] = message.content if raw.get("content") is not None else None
    identity = raw.get("tool_call_id")
    if isinstance(identity, str) and _CALL_ID.fullmatch(identity):
        out["tool_call_id"] = identity
    if functions and isinstance(raw.get("tool_calls"), list):
        calls = [call for call in raw["tool_calls"] if isinstance(call, dict) and call.get("function")]
        out["tool_calls"] = [
            {"id": str(call.get("id") or "")[:128], "type": "function", "function": function}
            for call, function in zip(calls, functions, strict=False)
        ]
    elif functions:
        out["function_call"] = functions[0]
    return out
