"""What a request body may be, and what it is taken to cost."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.chat.assistants import Assistant
from app.chat.generate import answer_tokens, engine_body
from app.chat.request import (
    MAX_STOPS,
    RESERVED_FIELDS,
    ChatCompletionRequest,
    CompletionRequest,
    SamplingRequest,
    check,
    parse_json,
    token_estimate,
)
from app.chat.route import Route
from app.errors import ApiError

HELLO: dict[str, Any] = {"model": "bank", "messages": [{"role": "user", "content": "hello"}]}
PLAIN: dict[str, Any] = {"model": "bank", "prompt": "hello"}

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = sorted(ChatCompletionRequest.model_fields.keys() | CompletionRequest.model_fields.keys())
ENDPOINTS = [(ChatCompletionRequest, HELLO), (CompletionRequest, PLAIN)]


def refused(body: dict[str, Any], schema: type[SamplingRequest] = ChatCompletionRequest) -> ApiError:
    with pytest.raises(ApiError) as caught:
        check(body, schema, max_choices=4)
    assert caught.value.status == 400
    return caught.value


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(ENDPOINTS), st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), JSON))
def test_any_body_is_refused_with_400_or_has_an_estimate(
    endpoint: tuple[type[SamplingRequest], dict[str, Any]], changes: dict[str, Any]
) -> None:
    schema, good = endpoint
    try:
        # As from the wire: JSON has no integers beyond 64 bits here, no tuples, no lone surrogates.
        body = parse_json(orjson.dumps(good | changes, option=orjson.OPT_PASSTHROUGH_DATETIME))
        check(body, schema, max_choices=4)
    except (TypeError, ApiError) as error:
        assert isinstance(error, TypeError) or (error.status == 400 and orjson.dumps(error.body()))
        return
    estimate = token_estimate(body, 512)
    assert isinstance(estimate, int)
    assert estimate >= 1


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_a_400(raw: bytes) -> None:
    try:
        assert isinstance(parse_json(raw), dict)
    except ApiError as error:
        assert (error.status, error.code) == (400, "invalid_json")


@pytest.mark.parametrize("depth", [300, 1023, 1025, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_deep_nesting_is_refused_before_anything_recurses(depth: int, opening: bytes, closing: bytes) -> None:
    raw = b'{"model":"bank","x":' + opening * depth + b"1" + closing * depth + b"}"
    with pytest.raises(ApiError) as caught:
        parse_json(raw)
    assert caught.value.status == 400


def test_what_is_parsed_can_be_written_again() -> None:
    raw = b'{"x":' + b"[" * 199 + b"]" * 199 + b"}"
    body = parse_json(raw)
    assert orjson.dumps(body | {"messages": []})


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"null", b'"x"', b"1", b'{"a":1}x', b"{'a':1}", b'{"a":NaN}', b'{"a":"\xff"}',
     b'{"a":"\\ud800"}', b"\x00", b"\xef\xbb\xbf{}", b'{"a":1,}', "{}".encode("utf-16")],
)  # fmt: skip
def test_what_is_not_a_json_object_is_named_so(raw: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        parse_json(raw)
    assert caught.value.code == "invalid_json"
    assert caught.value.message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", ""), ("model", 1), ("model", "x" * 129), ("messages", []), ("messages", "hello"),
        ("messages", [{"role": "king", "content": "x"}]), ("messages", [{"role": "user", "content": 5}]),
        ("messages", [[]]), ("max_tokens", -1), ("max_tokens", 0), ("max_tokens", "5"), ("max_tokens", 1.5),
        ("max_tokens", True), ("max_completion_tokens", -3), ("n", 0), ("n", 5), ("n", 10**30),
        ("temperature", -0.1), ("temperature", 2.1), ("temperature", "hot"), ("top_p", 0), ("top_p", 1.1),
        ("seed", 2**63), ("seed", "x"), ("stop", 5), ("stop", [""]), ("stop", ["x"] * (MAX_STOPS + 1)),
        ("stop", "x" * 257), ("stream", "yes"), ("stream_options", {"include_usage": True}),
        ("logit_bias", {"1": "x"}), ("presence_penalty", 3), ("top_logprobs", 21), ("tools", {}),
        ("user", "x" * 257),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(field: str, value: object) -> None:
    error = refused(HELLO | {field: value})
    assert error.param is not None
    assert error.param.split(".")[0] == field
    assert field in error.message


def test_missing_fields_are_named() -> None:
    assert refused({"messages": HELLO["messages"]}).param == "model"
    assert refused({"model": "bank"}).param == "messages"
    assert str(refused({"model": "bank"}, CompletionRequest).param).startswith("prompt")


@pytest.mark.parametrize("field", sorted(RESERVED_FIELDS))
def test_fields_that_reach_beyond_the_request_are_refused(field: str) -> None:
    error = refused(HELLO | {field: "x"})
    assert (error.code, error.param) == ("reserved_field", field)


@pytest.mark.parametrize(
    "body",
    [
        HELLO | {"min_p": 0.1, "top_k": 5, "ignore_eos": True, "anything": {"goes": [1]}},
        HELLO | {"stop": "x"},
        HELLO | {"stop": None, "max_tokens": None, "stream": None, "n": None, "user": None},
        HELLO | {"stream": True, "stream_options": {"include_usage": True}},
        {"model": "bank", "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
        {"model": "bank", "messages": [{"role": "assistant", "content": None, "tool_calls": []}]},
    ],
)
def test_good_chat_bodies_pass(body: dict[str, Any]) -> None:
    check(body, ChatCompletionRequest, max_choices=4)


@pytest.mark.parametrize("prompt", ["x", ["x", "y"], [1, 2, 3], [[1, 2], [3]]])
def test_the_four_forms_of_a_prompt_pass(prompt: object) -> None:
    check({"model": "bank", "prompt": prompt}, CompletionRequest, max_choices=4)


@pytest.mark.parametrize("prompt", ["", [], [[]], [""], [-1], [2**31], ["x", 1], [[1], "x"], 5, None])
def test_other_prompts_are_refused(prompt: object) -> None:
    refused({"model": "bank", "prompt": prompt}, CompletionRequest)


def test_the_estimate_counts_every_choice_and_the_prompt() -> None:
    assert token_estimate({"prompt": "x" * 300, "n": 3}, 10) == 100 + 30
    assert token_estimate({"prompt": [1] * 50}, 512) == 50 + 512
    assert token_estimate({"prompt": [[1] * 50, [2] * 50], "n": 2}, 10) == 100 + 40
    assert token_estimate({"prompt": ["x" * 30] * 3}, 10) == 30 + 30
    assert token_estimate(HELLO, 7) < 7 + 40
    assert token_estimate(HELLO, 7, "x" * 300) == token_estimate(HELLO, 7) + 100


def assistant(**fields: Any) -> Assistant:
    empty: dict[str, Any] = {"description": "", "adapter": None, "system_prompt": "", "defaults": {}}
    return Assistant(**{"name": "bank", "max_tokens": None, "required": True} | empty | fields)


def test_the_longest_answer_is_the_clients_wish_then_the_preset_and_never_over_the_ceiling() -> None:
    preset = assistant(defaults={"max_tokens": 50}, max_tokens=100)
    assert answer_tokens({}, None, 512) == 512
    assert answer_tokens({"max_tokens": 9}, None, 512) == 9
    assert answer_tokens({"max_tokens": 9, "max_completion_tokens": 7}, None, 512) == 7
    assert answer_tokens({}, preset, 512) == 50
    assert answer_tokens({"max_tokens": 70}, preset, 512) == 70
    assert answer_tokens({"max_tokens": 170}, preset, 512) == 100
    assert answer_tokens({}, assistant(max_tokens=100), 512) == 100


def test_the_engine_gets_the_assistants_prompt_and_presets_and_the_exact_version() -> None:
    profile = assistant(system_prompt="Be kind.", defaults={"temperature": 0.2, "top_p": 0.5}, max_tokens=100)
    body = HELLO | {"temperature": 0.9, "min_p": 0.1, "stream": True, "max_completion_tokens": 300}
    sent = engine_body(body, Route("bank", profile, "fees@0123456789ab"), default_max_tokens=512)
    assert sent["model"] == "fees@0123456789ab"
    assert sent["messages"] == [{"role": "system", "content": "Be kind."}, *HELLO["messages"]]
    assert (sent["temperature"], sent["top_p"], sent["min_p"], sent["max_tokens"]) == (0.9, 0.5, 0.1, 100)
    assert "max_completion_tokens" not in sent
    assert sent["stream_options"] == {"include_usage": True}
    assert body["messages"] == HELLO["messages"]


def test_a_default_set_to_null_by_the_client_is_the_engines_own() -> None:
    profile = assistant(defaults={"stop": ["x"]})
    sent = engine_body(HELLO | {"stop": None}, Route("bank", profile, None), default_max_tokens=5)
    assert (sent["model"], sent["stop"]) == ("base", None)
