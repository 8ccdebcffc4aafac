"""Limits of a key hold to the request, over two gateways, under load."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle, islice
from typing import Any

import httpx
import pytest

from tests.app.api.conftest import Patience
from tests.stack import LOOPBACK, Gateway, Stack, eventually

CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {"model": "general", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}


def load(stack: Stack, second: Gateway, key: str, count: int, **fields: Any) -> list[httpx.Response]:
    """`count` requests at once, alternating between the gateways."""
    headers = {"authorization": f"Bearer {key}"}
    bodies = {stack.url: HELLO | fields, second.url: HELLO | {"model": "plain"} | fields}

    def one(url: str) -> httpx.Response:
        return httpx.post(url + CHAT, json=bodies[url], headers=headers, timeout=120, verify=LOOPBACK)

    with ThreadPoolExecutor(16) as threads:
        return list(threads.map(one, islice(cycle(bodies), count)))


@pytest.fixture(scope="module", autouse=True)
def minute_begins(patience: Future[Patience]) -> None:
    """The minute that `test_retry_after` is about passes while other tests run."""


def test_requests_per_minute(stack: Stack, second: Gateway) -> None:
    key = stack.make_key(requests_per_minute=17)
    began = time.monotonic()
    answers = load(stack, second, key, 60)
    assert time.monotonic() - began < 55, "too slow to say anything about one minute"
    assert Counter(answer.status_code for answer in answers) == {200: 17, 429: 43}
    waits = []
    for answer in answers:
        if answer.status_code == 429:
            error = answer.json()["error"]
            assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
            assert "17 requests" in error["message"]
            waits.append(int(answer.headers["retry-after"]))
    assert all(1 <= wait <= 61 for wait in waits)


def test_concurrency(stack: Stack, second: Gateway) -> None:
    """Three streams fill the three slots; whatever comes meanwhile is refused; a slot comes back at the end."""
    key = stack.make_key(concurrency=3)
    # Longer than ten refusals take on any machine; leaving ends them.
    long = HELLO | {"stream": True, "max_tokens": 3900, "ignore_eos": True}
    streams = [
        (client, client.stream("POST", url + CHAT, json=long | {"model": model}))
        for url, model in ((stack.url, "general"), (second.url, "plain"), (stack.url, "general"))
        for client in [httpx.Client(headers={"authorization": f"Bearer {key}"}, timeout=120, verify=LOOPBACK)]
    ]
    try:
        for _, stream in streams:
            assert stream.__enter__().status_code == 200
        refused = load(stack, second, key, 10)
        assert Counter(answer.status_code for answer in refused) == {429: 10}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert "3 requests at the same time" in refused[0].json()["error"]["message"]
    finally:
        for client, stream in streams:
            stream.__exit__(None, None, None)
            client.close()
    # The clients have gone: their slots are free, and exactly as many as before.
    eventually(lambda: load(stack, second, key, 1)[0].status_code == 200, seconds=20)


def test_concurrency_is_never_exceeded_under_load(stack: Stack, second: Gateway) -> None:
    key = stack.make_key(concurrency=2)
    answers = load(stack, second, key, 40)
    counts = Counter(answer.status_code for answer in answers)
    assert set(counts) <= {200, 429}
    assert counts[200] >= 2
    # Nothing leaked: two at once still pass afterwards.
    eventually(lambda: [a.status_code for a in load(stack, second, key, 2)] == [200, 200], seconds=20)


def test_tokens_per_minute(stack: Stack, second: Gateway) -> None:
    """Settled with what the engine counted: the sum of all answers stays under the limit."""
    limit = 200
    key = stack.make_key(tokens_per_minute=limit)
    answers = load(stack, second, key, 30, max_tokens=4)
    used = sum(a.json()["usage"]["total_tokens"] for a in answers if a.status_code == 200)
    assert used <= limit
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert "tokens per minute" in refused[0].json()["error"]["message"]
    assert int(refused[0].headers["retry-after"]) >= 1


def test_a_request_larger_than_its_keys_limit_is_no_429(stack: Stack, second: Gateway) -> None:
    """Clients repeat a 429 by themselves; this one would be refused for ever."""
    key = stack.make_key(tokens_per_minute=50)
    (answer,) = load(stack, second, key, 1, max_tokens=100)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "over_token_limit")


def test_who_leaves_early_has_still_used_the_tokens(stack: Stack, second: Gateway) -> None:
    key = stack.make_key(tokens_per_minute=700)
    headers = {"authorization": f"Bearer {key}"}
    body = HELLO | {"stream": True, "max_tokens": 500, "ignore_eos": True}
    with httpx.stream("POST", stack.url + CHAT, json=body, headers=headers, timeout=60) as stream:
        assert stream.status_code == 200
        next(stream.iter_lines())
    time.sleep(1.0)
    (answer,) = load(stack, second, key, 1, max_tokens=400)
    assert answer.status_code == 429, answer.text
