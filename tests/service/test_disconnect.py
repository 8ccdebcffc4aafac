"""A client that goes away takes its generation with it."""

from __future__ import annotations

import threading
import time

import httpx
import pytest

from tests.service.inside import engine_metric, residency
from tests.stack import Stack, eventually

pytestmark = pytest.mark.engine

TOKENS = 3900
"""More than the engine makes in the time this takes; a request that is not aborted makes them all."""


def body(*, stream: bool) -> dict[str, object]:
    messages = [{"role": "user", "content": "tell me everything"}]
    return {
        "model": "general",
        "messages": messages,
        "max_tokens": TOKENS,
        "ignore_eos": True,
        "stream": stream,
    }


def idle(stack: Stack) -> bool:
    """Whether the engine generates nothing, by its own metrics and by its queue."""
    told = residency(stack)
    return told["running"] + told["waiting"] == 0 and engine_metric(stack, "vllm:num_requests_running") == 0.0


def generated(stack: Stack) -> float:
    return engine_metric(stack, "vllm:generation_tokens_total")


def test_leaving_a_stream_aborts_it(stack: Stack) -> None:
    eventually(lambda: idle(stack))
    before, since = generated(stack), time.time()
    with (
        stack.http() as client,
        client.stream("POST", "/v1/chat/completions", json=body(stream=True)) as response,
    ):
        lines = response.iter_lines()
        # Its own tokens tell that it runs: asking the busy engine would take as long as the answer.
        for _ in range(6):
            next(lines)
    eventually(lambda: idle(stack))
    assert 0 < generated(stack) - before < TOKENS / 2
    outcome_is_recorded(stack, since)


def test_leaving_a_whole_answer_aborts_it(stack: Stack) -> None:
    eventually(lambda: idle(stack))
    before, since = generated(stack), time.time()
    client = stack.http()
    gone: list[Exception] = []

    def wait_for_answer() -> None:
        try:
            client.post("/v1/chat/completions", json=body(stream=False), timeout=httpx.Timeout(60, read=1.0))
        except httpx.HTTPError as error:
            gone.append(error)

    waiting = threading.Thread(target=wait_for_answer)
    waiting.start()
    # Asking the busy engine whether it runs would take as long as the answer.
    waiting.join(30)
    client.close()
    assert isinstance(gone[0], httpx.ReadTimeout), "the answer was there before the client left"
    eventually(lambda: idle(stack))
    assert 0 < generated(stack) - before < TOKENS
    outcome_is_recorded(stack, since)


def outcome_is_recorded(stack: Stack, since: float) -> None:
    """The one chat since then ended because its client had gone."""

    def outcomes() -> list[str]:
        with stack.http() as client:
            answer = client.get("/v1/audit", params={"kind": "chat", "since": since})
        return [record["outcome"] for record in answer.json()["data"]]

    assert eventually(outcomes) == ["client_gone"]
