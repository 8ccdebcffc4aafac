"""The official client, unchanged, against the whole service."""

from __future__ import annotations

import json
from typing import Any, cast

import openai
import pytest
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam, ChatCompletionToolParam

from tests.stack import MAX_MODEL_LEN, Gateway, Stack, eventually, sse

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
GREEDY: dict[str, Any] = {"model": "general", "messages": HELLO, "max_tokens": 12, "temperature": 0}
BALANCE: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_balance",
        "description": "Balance of an account",
        "parameters": {"type": "object", "properties": {"account": {"type": "string"}}},
    },
}


@pytest.fixture(scope="module")
def client(stack: Stack) -> openai.OpenAI:
    return stack.openai()


def extra(answer: object) -> dict[str, Any]:
    """The `atelier` object of an answer or a chunk."""
    found = cast(Any, answer).model_extra["atelier"]
    return cast(dict[str, Any], found)


def texts(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def test_chat(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(**GREEDY)
    answer = raw.parse()
    assert answer.object == "chat.completion"
    assert answer.model == "general"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 12
    assert extra(answer)["version"] == raw.headers["x-atelier-version"] == "base"
    assert extra(answer)["verdict"] == raw.headers["x-atelier-verdict"] == "allow"
    assert extra(answer)["request_id"] == raw.headers["x-request-id"]
    assert extra(answer)["track"] == "stable"


def test_a_streamed_answer_is_the_unstreamed_one(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(**GREEDY).choices[0]
    chunks = list(client.chat.completions.create(**GREEDY, stream=True))
    assert texts(chunks) == whole.message.content
    assert [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason] == [
        whole.finish_reason
    ]
    assert {chunk.model for chunk in chunks} == {"general"}
    assert ["atelier" in (chunk.model_extra or {}) for chunk in chunks] == [False] * (len(chunks) - 1) + [
        True
    ]
    assert extra(chunks[-1])["version"] == "base"
    assert all(chunk.usage is None for chunk in chunks)


def test_usage_comes_in_a_stream_only_when_asked_for(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(**GREEDY, stream=True, stream_options={"include_usage": True})
    )
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 12
    assert "atelier" in (chunks[-1].model_extra or {})


def test_the_raw_stream_has_its_headers_and_its_end(stack: Stack) -> None:
    with (
        stack.http() as http,
        http.stream("POST", "/v1/chat/completions", json=GREEDY | {"stream": True}) as r,
    ):
        payloads = sse(r.iter_lines())
    assert r.headers["content-type"].startswith("text/event-stream")
    assert len(r.headers["x-request-id"]) == 32
    assert r.headers["x-atelier-version"] == "base"
    assert r.headers["x-atelier-verdict"] == "allow"
    assert payloads[-1] == "[DONE]"
    assert json.loads(payloads[-2])["atelier"]["request_id"] == r.headers["x-request-id"]


def test_several_choices(client: openai.OpenAI) -> None:
    request: dict[str, Any] = GREEDY | {"n": 3, "temperature": 1, "seed": 5}
    whole = client.chat.completions.create(**request)
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    chunks = list(client.chat.completions.create(**request, stream=True))
    assert {c.index for chunk in chunks for c in chunk.choices} == {0, 1, 2}
    assert sum(c.finish_reason is not None for chunk in chunks for c in chunk.choices) == 3
    assert ["atelier" in (chunk.model_extra or {}) for chunk in chunks].count(True) == 1
    assert extra(chunks[-1])


def test_same_seed_same_answer(client: openai.OpenAI) -> None:
    request: dict[str, Any] = GREEDY | {"temperature": 1.5, "max_tokens": 24}
    seeded = {client.chat.completions.create(**request, seed=7).choices[0].message.content for _ in range(3)}
    assert len(seeded) == 1
    others = {client.chat.completions.create(**request, seed=n).choices[0].message.content for n in range(4)}
    assert len(others) > 1


def test_stop_ends_the_answer_before_the_word(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(**GREEDY).choices[0].message.content
    assert whole is not None
    word = whole[3:5]
    cut = client.chat.completions.create(**GREEDY, stop=[word]).choices[0]
    assert cut.message.content == whole[: whole.index(word)]
    assert cut.finish_reason == "stop"


def test_logprobs(client: openai.OpenAI) -> None:
    request: dict[str, Any] = GREEDY | {"logprobs": True, "top_logprobs": 3}
    whole = client.chat.completions.create(**request).choices[0].logprobs
    assert whole is not None
    assert whole.content is not None
    assert len(whole.content) == 12
    assert all(len(token.top_logprobs) == 3 for token in whole.content)
    streamed = [
        token.token
        for chunk in client.chat.completions.create(**request, stream=True)
        for choice in chunk.choices
        if choice.logprobs and choice.logprobs.content
        for token in choice.logprobs.content
    ]
    assert streamed == [token.token for token in whole.content]


def test_response_format_guides_the_answer(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    answer = client.chat.completions.create(
        **GREEDY | {"max_tokens": 60},
        response_format={"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}},
    )
    assert isinstance(json.loads(answer.choices[0].message.content or "")["ok"], bool)


def test_tools_are_known_to_the_engine_and_its_word_comes_back(client: openai.OpenAI) -> None:
    silent = client.chat.completions.create(**GREEDY, tools=[BALANCE], tool_choice="none")
    assert silent.choices[0].message.content
    try:
        chosen = client.chat.completions.create(**GREEDY, tools=[BALANCE])
        assert chosen.choices[0].message.role == "assistant"
    except openai.BadRequestError as error:
        # An engine without a tool parser refuses `auto`, and says which of its settings is missing.
        assert "--tool-call-parser" in error.message
    wrong = cast(Any, {"type": "function", "function": {"name": 5}})
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**GREEDY, tools=[wrong])


def test_tool_results_may_be_part_of_the_conversation(client: openai.OpenAI) -> None:
    conversation: list[ChatCompletionMessageParam] = [
        *HELLO,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "get_balance", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "12.50"},
    ]
    answer = client.chat.completions.create(**GREEDY | {"messages": conversation})
    assert answer.choices[0].message.content


def test_unknown_fields_reach_the_engine(client: openai.OpenAI) -> None:
    assert client.chat.completions.create(**GREEDY, extra_body={"min_p": 0.1, "top_k": 3}).choices
    for field, value in (("min_p", 7), ("top_k", -5), ("repetition_penalty", -1)):
        with pytest.raises(openai.BadRequestError, match=field):
            client.chat.completions.create(**GREEDY, extra_body={field: value})
    ids = client.chat.completions.create(**GREEDY, extra_body={"return_token_ids": True})
    assert len(cast(Any, ids.choices[0]).token_ids) == 12


def test_completions(client: openai.OpenAI) -> None:
    request: dict[str, Any] = {"model": "general", "prompt": "The bank", "max_tokens": 6, "temperature": 0}
    raw = client.completions.with_raw_response.create(**request)
    whole = raw.parse()
    assert whole.object == "text_completion"
    assert whole.model == "general"
    assert raw.headers["x-atelier-version"] == "base"
    assert extra(whole)["verdict"] == "allow"
    streamed = list(client.completions.create(**request, stream=True))
    assert "".join(c.text for chunk in streamed for c in chunk.choices) == whole.choices[0].text
    assert extra(streamed[-1])["version"] == "base"
    echoed = client.completions.create(**request, echo=True, logprobs=1).choices[0]
    assert echoed.text == "The bank" + whole.choices[0].text
    assert echoed.logprobs is not None


@pytest.mark.parametrize(("prompt", "answers"), [(["a", "b"], 2), ([5, 6, 7], 1), ([[5, 6], [7]], 2)])
def test_the_forms_of_a_prompt(client: openai.OpenAI, prompt: Any, answers: int) -> None:
    answer = client.completions.create(model="general", prompt=prompt, max_tokens=2, temperature=0)
    assert len(answer.choices) == answers


async def test_the_asynchronous_client(stack: Stack) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{stack.url}/v1", api_key=stack.admin_key, max_retries=0
    ) as client:
        whole = await client.chat.completions.create(**GREEDY)
        chunks = [chunk async for chunk in await client.chat.completions.create(**GREEDY, stream=True)]
        assert texts(chunks) == whole.choices[0].message.content
        assert [model.id async for model in client.models.list()]


def test_a_prompt_near_the_context_length_gets_what_is_left(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="general", prompt=[5] * (MAX_MODEL_LEN - 40), temperature=0)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == MAX_MODEL_LEN - 40
    assert 0 < answer.usage.completion_tokens <= 40
    with pytest.raises(openai.BadRequestError, match="context length"):
        client.completions.create(model="general", prompt=[5] * (MAX_MODEL_LEN + 1), max_tokens=1)


def test_errors_are_the_clients_own_exceptions(client: openai.OpenAI, stack: Stack) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="no-such-model", messages=HELLO)
    body = cast(dict[str, Any], missing.value.body)
    assert (body["type"], body["code"], body["param"]) == ("not_found_error", "model_not_found", "model")
    assert missing.value.request_id
    with pytest.raises(openai.AuthenticationError):
        stack.openai(key="atl-0000000000000000-nothing").chat.completions.create(**GREEDY)
    with pytest.raises(openai.PermissionDeniedError):
        stack.openai(key=stack.make_key(scopes=["audit"])).chat.completions.create(**GREEDY)
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(**GREEDY | {"max_tokens": -1})
    assert cast(dict[str, Any], wrong.value.body)["param"] == "max_tokens"


def test_an_adapter_answers_by_alias_by_version_and_through_its_assistant(
    stack: Stack, second: Gateway, marked: tuple[str, str]
) -> None:
    version, marker = marked
    for client, model in (
        (stack.openai(), "contract"),
        (stack.openai(), version),
        (stack.openai(url=second.url), "cashier"),
    ):
        eventually(lambda client=client, model=model: model in [m.id for m in client.models.list()])  # type: ignore[misc]
        request: dict[str, Any] = GREEDY | {"model": model}
        raw = client.chat.completions.with_raw_response.create(**request)
        answer = raw.parse()
        assert set((answer.choices[0].message.content or "").split(">")) == {marker[:-1], ""}
        assert answer.model == model
        assert raw.headers["x-atelier-version"] == extra(answer)["version"] == version
        chunks = list(client.chat.completions.create(**request, stream=True))
        assert texts(chunks) == answer.choices[0].message.content


def test_a_missing_adapter_is_never_replaced_by_the_base_model(stack: Stack, second: Gateway) -> None:
    with stack.http(url=second.url) as http:
        for stream in (False, True):
            answer = http.post("/v1/chat/completions", json=GREEDY | {"model": "orphan", "stream": stream})
            assert answer.status_code == 503, answer.text
            assert answer.json()["error"]["code"] == "adapter_missing"
            assert int(answer.headers["retry-after"]) >= 1
            assert "choices" not in answer.text


def test_an_assistants_presets_and_ceiling(stack: Stack, second: Gateway) -> None:
    client = stack.openai(url=second.url)
    for asked, given in ((openai.omit, 3), (4, 4), (400, 5)):
        answer = client.chat.completions.create(model="short", messages=HELLO, max_tokens=asked)
        assert answer.usage is not None
        assert answer.usage.completion_tokens == given
    plain = client.chat.completions.create(**GREEDY | {"model": "plain"})
    assert plain.usage is not None
    prompted = client.chat.completions.create(**GREEDY | {"model": "short"})
    assert prompted.usage is not None
    assert prompted.usage.prompt_tokens > plain.usage.prompt_tokens
