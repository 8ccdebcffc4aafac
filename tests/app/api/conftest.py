"""What the tests of the HTTP contract share: a second gateway with assistants of its own, and an adapter."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.models.marker import write_marker_adapter
from tests.stack import Gateway, Stack

ASSISTANTS = {
    "plain": "name: plain\n",
    "orphan": "name: orphan\nadapter: no-such-adapter\nrequired: false\n",
    "short": "name: short\nsystem_prompt: Be brief.\ndefaults: {max_tokens: 3, temperature: 0}\nmax_tokens: 5\n",
    "cashier": "name: cashier\nadapter: contract\nrequired: false\n",
}


@pytest.fixture(scope="package")
def second(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Another gateway on the same state; its assistants: plain, orphan, short, cashier."""
    folder = tmp_path_factory.mktemp("assistants")
    for name, text in ASSISTANTS.items():
        (folder / f"{name}.yaml").write_text(text)
    gateway = stack.add_gateway(ATELIER_ASSISTANTS_DIR=str(folder))
    yield gateway
    gateway.stop()


@pytest.fixture(scope="package")
def marked(stack: Stack, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Version of an adapter that the alias `contract` points to, and the marker it answers with."""
    folder = tmp_path_factory.mktemp("adapter")
    marker = write_marker_adapter(tiny_model, folder, 42)
    version = stack.push(folder, "contract")
    with stack.http() as client:
        answer = client.post("/v1/releases", json={"alias": "contract", "version": version})
    assert answer.status_code == 201, answer.text
    return version, marker


@dataclass(frozen=True)
class Patience:
    """`told`: the seconds a refused client should wait. Then the status of a second less, None when the machine was
    too slow to ask in that second, and of all of them."""

    told: int
    early: int | None
    in_time: int


@pytest.fixture(scope="package")
def patience(stack: Stack, second: Gateway) -> Iterator[Future[Patience]]:
    """Begins when it is first asked for; takes a minute, in a thread of its own."""
    key = stack.make_key(requests_per_minute=1)
    assert ask_once(stack, key, stack.url, "general").status_code == 200
    refused = ask_once(stack, key, second.url, "plain")
    assert refused.status_code == 429
    told = int(refused.headers["retry-after"])
    until = time.monotonic() + told

    def wait() -> Patience:
        time.sleep(max(0.0, until - 2.5 - time.monotonic()))
        soon = time.monotonic() < until - 1.5
        early = ask_once(stack, key, stack.url, "general").status_code if soon else None
        time.sleep(max(0.0, until + 0.2 - time.monotonic()))
        return Patience(told, early, ask_once(stack, key, stack.url, "general").status_code)

    with ThreadPoolExecutor(1) as threads:
        yield threads.submit(wait)


def ask_once(stack: Stack, key: str, url: str, model: str) -> httpx.Response:
    """The shortest chat request."""
    body = {"model": model, "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    with stack.http(key, url) as client:
        return client.post("/v1/chat/completions", json=body)
