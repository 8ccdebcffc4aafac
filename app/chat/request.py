"""The two request bodies of the OpenAI API, checked as far as Atelier uses them; the rest passes to the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.errors import ApiError, bad_request

MAX_STOPS = 32
MAX_PROMPTS = 64
MAX_MESSAGES = 2048
# orjson reads 1024 levels and writes 254: what it cannot write again must not get past the door.
MAX_DEPTH = 200
_INT64 = 2**63 - 1

# Engine parameters that reach past the caller's own request: another request's place in the queue, its
# identity, or its memory.
RESERVED_FIELDS = frozenset(
    {
        "request_id", "session_id", "priority", "kv_transfer_params", "ec_transfer_params", "vllm_xargs",
        "chat_template", "prompt_embeds",
    }
)  # fmt: skip

ModelName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
StopString = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Stops = StopString | Annotated[list[StopString], Field(max_length=MAX_STOPS)]


class StreamOptions(BaseModel):
    """What a stream carries besides the answer."""

    model_config = ConfigDict(strict=True, extra="allow")
    include_usage: bool | None = None


class SamplingRequest(BaseModel):
    """Fields that chat and plain completions share. Unknown fields are kept and passed on."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    model: ModelName
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    seed: Annotated[int, Field(ge=-_INT64 - 1, le=_INT64)] | None = None
    stop: Stops | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=1024)] | None = None
    user: Annotated[str, StringConstraints(max_length=256)] | None = None
    # The engine's own fields, where it fails instead of refusing what is not of the right type.
    top_k: Annotated[int, Field(ge=-1, le=2**31 - 1)] | None = None
    stream_interval: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    structured_outputs: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None


class ContentPart(BaseModel):
    """One part of a message's content."""

    model_config = ConfigDict(strict=True, extra="allow")
    type: str


class Message(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(strict=True, extra="allow")
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | Annotated[list[ContentPart], Field(max_length=256)] | None = None


class ChatCompletionRequest(SamplingRequest):
    """Body of `POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_completion_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: Annotated[list[dict[str, Any]], Field(max_length=128)] | None = None


Prompt = Annotated[str, StringConstraints(min_length=1)]
TokenIds = Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(min_length=1)]


class CompletionRequest(SamplingRequest):
    """Body of `POST /v1/completions`."""

    prompt: (
        Prompt
        | TokenIds
        | Annotated[list[Prompt], Field(min_length=1, max_length=MAX_PROMPTS)]
        | Annotated[list[TokenIds], Field(min_length=1, max_length=MAX_PROMPTS)]
    )
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None


def parse_json(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`. Raises ApiError 400 for anything else: bad UTF-8, bad JSON, deep nesting."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise bad_request(
            f"The body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno}).",
            code="invalid_json",
        ) from None
    if not isinstance(body, dict):
        raise bad_request("The body must be a JSON object.", code="invalid_json")
    # Counting brackets costs next to nothing and clears every ordinary body without walking it.
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and _depth(body) > MAX_DEPTH:
        raise bad_request(f"The body is nested deeper than {MAX_DEPTH} levels.", code="invalid_json")
    return body


def _depth(value: object) -> int:
    """Levels of nesting in `value`, without recursion: one level's containers at a time."""
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)  # type: ignore[attr-defined]
            if isinstance(inner, dict | list)
        ]
    return depth


def check(body: dict[str, Any], schema: type[SamplingRequest], *, max_choices: int) -> None:
    """Check `body` against `schema`. Raises ApiError 400 that names the first wrong field."""
    try:
        parsed = schema.model_validate(body)
    except ValidationError as error:
        raise _from_validation(error) from None
    for field in RESERVED_FIELDS & body.keys():
        raise bad_request(f"`{field}` is set by the server; remove it.", param=field, code="reserved_field")
    if parsed.n is not None and parsed.n > max_choices:
        raise bad_request(f"`n` is {parsed.n}; at most {max_choices} are allowed.", param="n")
    if parsed.stream_options is not None and not parsed.stream:
        raise bad_request("`stream_options` needs `stream: true`.", param="stream_options")


def _from_validation(error: ValidationError) -> ApiError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    # Union branches put their type's name into the path; a client wants the field.
    path = [str(part) for part in first["loc"] if not (isinstance(part, str) and not part.isidentifier())]
    param = ".".join(path) or None
    return bad_request(f"`{param}`: {first['msg']}." if param else first["msg"], param=param)


def token_estimate(body: dict[str, Any], max_tokens: int, system_prompt: str = "") -> int:
    """An upper guess of the tokens a request will use, to reserve against its limit.

    `max_tokens`: the longest one answer may become; `system_prompt`: what is added to a conversation.
    Byte-level BPE never makes more tokens than bytes, and about one per three bytes in Chinese or English;
    the difference is settled when the engine has counted.
    """
    choices = int(body.get("n") or 1)
    if "messages" in body:
        sent = len(orjson.dumps(body["messages"])) + len(system_prompt.encode())
        return sent // 3 + max_tokens * choices
    prompts = _prompts(body["prompt"])
    return sum(map(_prompt_tokens, prompts)) + max_tokens * choices * len(prompts)


def prompt_count(body: Mapping[str, Any]) -> int:
    """How many prompts a body asks to answer."""
    return 1 if "messages" in body else len(_prompts(body["prompt"]))


def _prompts(prompt: str | list[Any]) -> list[Any]:
    """Each prompt is answered by itself: a list of numbers is one prompt, a list of others is several."""
    return [prompt] if isinstance(prompt, str) or isinstance(prompt[0], int) else prompt


def _prompt_tokens(prompt: str | list[int]) -> int:
    return len(prompt.encode()) // 3 if isinstance(prompt, str) else len(prompt)
