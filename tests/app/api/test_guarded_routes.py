"""Every chat route goes through the chain, end to end: real gateway, real engine, real state server.

The tiny model answers greedily, so what it will say is known beforehand and can be denied.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.stack import LOOPBACK, Gateway, Stack, eventually, sse

CHAT: dict[str, Any] = {
    "max_tokens": 24,
    "temperature": 0,
    "messages": [{"role": "user", "content": "hello"}],
}
PLAIN: dict[str, Any] = {"max_tokens": 24, "temperature": 0, "prompt": "hello"}
SECRET = "zebracrossing"


class Guarded:
    """A gateway with two assistants: `free` has no policy, `guarded` has one that a test may change."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.policy = folder / "policy"
        (self.policy / "words").mkdir(parents=True)
        (folder / "assistants").mkdir()
        (folder / "assistants" / "free.yaml").write_text("name: free\n")
        (folder / "assistants" / "guarded.yaml").write_text("name: guarded\npolicy: ../policy\n")
        self.deny(SECRET)
        self.gateway: Gateway = stack.add_gateway(ATELIER_ASSISTANTS_DIR=str(folder / "assistants"))
        self.http = stack.http(url=self.gateway.url)

    def deny(self, *words: str) -> None:
        path = self.policy / "words" / "deny.txt"
        before = path.stat().st_mtime_ns if path.exists() else 0
        path.write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
        os.utime(path, ns=(before + 10**9, before + 10**9))

    def post(self, path: str, body: dict[str, Any], model: str = "guarded") -> httpx.Response:
        answer = self.http.post(f"/v1/{path}", json=body | {"model": model})
        assert answer.status_code == 200, answer.text
        return answer

    def stream(self, path: str, body: dict[str, Any], model: str = "guarded") -> list[dict[str, Any]]:
        sent = body | {"model": model, "stream": True}
        with self.http.stream("POST", f"/v1/{path}", json=sent) as answer:
            assert answer.status_code == 200
            return [orjson.loads(one) for one in sse(answer.iter_lines()) if one != "[DONE]"]


@pytest.fixture(scope="module")
def guarded(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    bench = Guarded(stack, tmp_path_factory.mktemp("guarded"))
    yield bench
    bench.http.close()
    bench.gateway.stop()


ROUTES = [("chat/completions", CHAT), ("completions", PLAIN)]


def spoken(chunks: list[dict[str, Any]], index: int = 0) -> tuple[str, str | None]:
    """The text of a choice put together from its chunks, and how it ended."""
    text, reason = "", None
    for chunk in chunks:
        for choice in chunk["choices"]:
            if choice["index"] == index:
                text += (choice["delta"].get("content") if "delta" in choice else choice["text"]) or ""
                reason = choice["finish_reason"] or reason
    return text, reason


def said(choice: dict[str, Any]) -> str:
    return str((choice["message"]["content"] if "message" in choice else choice["text"]) or "")


def with_text(body: dict[str, Any], text: str) -> dict[str, Any]:
    return body | (
        {"prompt": text} if "prompt" in body else {"messages": [{"role": "user", "content": text}]}
    )


@pytest.mark.parametrize(("path", "body"), ROUTES)
def test_a_denied_question_is_refused(guarded: Guarded, path: str, body: dict[str, Any]) -> None:
    sent = with_text(body, f"tell me of {SECRET}") | {"n": 2, "temperature": 1.0}
    answer = guarded.post(path, sent)
    found = answer.json()
    assert answer.headers["x-atelier-verdict"] == found["atelier"]["verdict"] == "block"
    assert [choice["finish_reason"] for choice in found["choices"]] == ["content_filter"] * 2
    assert all("cannot" in said(choice) for choice in found["choices"])
    assert {entry["check"] for entry in found["atelier"]["checks"]} >= {"words", "fraud", "privacy"}
    assert SECRET not in answer.text
    chunks = guarded.stream(path, sent)
    for index in range(2):
        assert spoken(chunks, index) == (said(found["choices"][index]), "content_filter")
    assert chunks[-1]["atelier"]["verdict"] == "block"


@pytest.mark.parametrize(("path", "body"), ROUTES)
def test_a_harmless_answer_is_the_engines_own(guarded: Guarded, path: str, body: dict[str, Any]) -> None:
    free = guarded.post(path, body, "free").json()
    answer = guarded.post(path, body | {"logprobs": 1 if "prompt" in body else True})
    found = answer.json()
    assert said(found["choices"][0]) == said(free["choices"][0])
    assert found["choices"][0]["logprobs"] is None
    assert found["atelier"]["ignored"] == ["logprobs"]
    assert answer.headers["x-atelier-verdict"] == "allow"
    assert spoken(guarded.stream(path, body))[0] == said(free["choices"][0])


@pytest.mark.parametrize(("path", "body"), ROUTES)
def test_an_answer_is_stopped_before_a_denied_word(guarded: Guarded, path: str, body: dict[str, Any]) -> None:
    """And the running gateway picks the changed list up."""
    free = said(guarded.post(path, body, "free").json()["choices"][0])
    letters = "".join(char if char.isalpha() and char.isascii() else " " for char in free).split()
    word = max(letters[1:], key=len)
    assert len(word) >= 3, free
    guarded.deny(SECRET, word)
    found = eventually(
        lambda: (now := guarded.post(path, body).json())["atelier"]["verdict"] == "block" and now, seconds=60
    )
    assert found
    (choice,) = found["choices"]
    assert choice["finish_reason"] == "content_filter"
    assert word.casefold() not in said(choice).casefold()
    chunks = guarded.stream(path, body)
    assert chunks[-1]["atelier"]["verdict"] == "block"
    assert spoken(chunks) == (said(choice), "content_filter")
    guarded.deny(SECRET)
    eventually(lambda: guarded.post(path, body).json()["atelier"]["verdict"] == "allow", seconds=60)


@pytest.mark.parametrize(("path", "body"), ROUTES)
def test_every_one_of_several_answers_is_checked(guarded: Guarded, path: str, body: dict[str, Any]) -> None:
    sent = body | {"n": 3, "temperature": 1.0, "seed": 5, "max_tokens": 60}
    free = [said(choice) for choice in guarded.post(path, sent, "free").json()["choices"]]
    words = [re.findall(r"(?<![A-Za-z0-9])[A-Za-z]{3,}(?![A-Za-z0-9])", text) for text in free]
    assert all(words), free
    guarded.deny(SECRET, *{word for found in words for word in found})
    found = eventually(
        lambda: (now := guarded.post(path, sent).json())["atelier"]["verdict"] == "block" and now, seconds=60
    )
    guarded.deny(SECRET)
    assert [choice["finish_reason"] for choice in found["choices"]] == ["content_filter"] * 3
    eventually(lambda: guarded.post(path, body).json()["atelier"]["verdict"] == "allow", seconds=60)


def test_token_ids_are_refused(guarded: Guarded) -> None:
    answer = guarded.http.post("/v1/completions", json=PLAIN | {"model": "guarded", "prompt": [1, 2, 3]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unchecked_content")


def test_tools_are_checked_and_passed_on(guarded: Guarded) -> None:
    def tool(text: str) -> dict[str, Any]:
        return {"type": "function", "function": {"name": "f", "description": text, "parameters": {}}}

    answer = guarded.post("chat/completions", CHAT | {"tools": [tool(SECRET)]})
    assert answer.headers["x-atelier-verdict"] == "block"
    # The engine runs without a parser of tool calls, so it takes tools only where it is not to call them.
    alone = guarded.post("chat/completions", CHAT).json()
    passed = guarded.post("chat/completions", CHAT | {"tools": [tool("fine")], "tool_choice": "none"})
    assert passed.headers["x-atelier-verdict"] == "allow" == alone["atelier"]["verdict"]


def test_a_broken_policy_leaves_the_old_one(guarded: Guarded) -> None:
    (guarded.policy / "policy.yaml").write_text("checks: {wrods: {}}\n")
    metrics = guarded.gateway.url + "/metrics"
    eventually(lambda: "atelier_policies_refused 1.0" in httpx.get(metrics, verify=LOOPBACK).text)
    answer = guarded.post("chat/completions", with_text(CHAT, SECRET))
    assert answer.headers["x-atelier-verdict"] == "block"
    assert "policy.yaml:1" in guarded.gateway.log.read_text()
    (guarded.policy / "policy.yaml").unlink()
    eventually(lambda: "atelier_policies_refused 0.0" in httpx.get(metrics, verify=LOOPBACK).text)


def test_what_was_checked_is_measured_and_written_down(guarded: Guarded) -> None:
    answer = guarded.post("chat/completions", with_text(CHAT, SECRET))
    text = httpx.get(guarded.gateway.url + "/metrics").text
    assert (
        'atelier_guardrail_verdicts_total{check="words",mode="enforce",phase="input",result="block"' in text
    )
    assert SECRET not in text
    identity = answer.headers["x-request-id"]

    def record() -> dict[str, Any] | None:
        rows = guarded.http.get("/v1/audit", params={"limit": 1000, "action": "chat.completion"}).json()[
            "data"
        ]
        return next((row for row in rows if row.get("request_id") == identity), None)

    found = eventually(record)
    assert found is not None
    assert found["verdict"] == "block"
    (words,) = [entry for entry in found["details"]["checks"] if entry["check"] == "words"]
    assert (words["result"], words["spans"]) == ("block", [[0, len(SECRET)]])
    assert SECRET not in orjson.dumps(found).decode()
    assert SECRET not in guarded.gateway.log.read_text()
    user = guarded.stack.make_key(scopes=["chat"])
    with guarded.stack.http(user, guarded.gateway.url) as client:
        shown = client.post(
            "/v1/chat/completions", json=with_text(CHAT, SECRET) | {"model": "guarded"}
        ).json()
    assert "checks" not in shown["atelier"]
