"""Requests as clients send them, each told from its first byte to how it ended."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.stack import LOOPBACK, Stack

SILENCE_SECONDS = 60.0
"""A client that hears nothing for so long has been met with silence, which no failure excuses."""


@dataclass(slots=True)
class Answer:
    """What a client got. Times are of the monotonic clock; `broken` is how the connection failed, if it did."""

    started: float
    status: int = 0
    version: str = ""
    headers_at: float = 0.0
    text: str = ""
    pieces: int = 0
    finish: str = ""
    error: dict[str, Any] = field(default_factory=dict)
    done: bool = False
    broken: str = ""
    ended: float = 0.0

    @property
    def whole(self) -> bool:
        """A complete answer without any error."""
        return self.status == 200 and self.done and not self.error and not self.broken and bool(self.finish)

    @property
    def told(self) -> bool:
        """A failure the client can tell from a complete answer, with a code for its program."""
        return bool(self.error.get("code")) and bool(self.error.get("message"))


def ask(
    stack: Stack,
    model: str,
    *,
    max_tokens: int,
    stream: bool = True,
    url: str | None = None,
    key: str | None = None,
    prompt: str = "hello",
    on_piece: Callable[[Answer], None] = lambda answer: None,
) -> Answer:
    """One greedy chat request. Never raises for what the service does; `on_piece` is called for each text."""
    answer = Answer(time.monotonic())
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": stream,
    }
    try:
        with (
            httpx.Client(timeout=httpx.Timeout(SILENCE_SECONDS), verify=LOOPBACK) as client,
            client.stream(
                "POST",
                f"{url or stack.url}/v1/chat/completions",
                json=body,
                headers={"authorization": f"Bearer {key or stack.admin_key}"},
            ) as response,
        ):
            answer.status = response.status_code
            answer.version = response.headers.get("x-atelier-version", "")
            answer.headers_at = time.monotonic()
            if stream and response.status_code == 200:
                _read_events(response, answer, on_piece)
            else:
                _read_body(response, answer)
    except httpx.TransportError as error:
        answer.broken = repr(error)
    answer.ended = time.monotonic()
    return answer


def _read_events(response: httpx.Response, answer: Answer, on_piece: Callable[[Answer], None]) -> None:
    for line in response.iter_lines():
        if not line.startswith("data: "):
            continue
        payload = line.removeprefix("data: ")
        if payload == "[DONE]":
            answer.done = True
            continue
        event = json.loads(payload)
        answer.error = event.get("error") or answer.error
        for choice in event.get("choices", ()):
            text = choice["delta"].get("content") or ""
            answer.text += text
            answer.finish = choice.get("finish_reason") or answer.finish
            if text:
                answer.pieces += 1
                on_piece(answer)


def _read_body(response: httpx.Response, answer: Answer) -> None:
    body = json.loads(response.read())
    answer.error = body.get("error") or {}
    for choice in body.get("choices", ()):
        answer.text += choice["message"]["content"]
        answer.finish = choice["finish_reason"]
    answer.done = True


class Running:
    """A request running in a thread of its own."""

    def __init__(self, stack: Stack, model: str, *, max_tokens: int, after: int = 3, **options: Any) -> None:
        """`under_way` is set once `after` pieces of text have come."""
        self.under_way = threading.Event()
        self._answer: Answer | None = None
        self._after = after

        def run() -> None:
            try:
                self._answer = ask(stack, model, max_tokens=max_tokens, on_piece=self._note, **options)
            finally:
                self._over.set()

        self._over = threading.Event()
        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def _note(self, answer: Answer) -> None:
        if answer.pieces >= self._after:
            self.under_way.set()

    def wait_under_way(self, seconds: float = 60.0) -> None:
        """Wait until it streams; AssertionError when it ended before, or never began."""
        deadline = time.monotonic() + seconds
        while not self.under_way.wait(0.02):
            assert not self._over.is_set(), f"ended before it streamed: {self._answer}"
            assert time.monotonic() < deadline, "no text came"

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._over.is_set()

    def result(self, seconds: float = 120.0) -> Answer:
        """How it ended; AssertionError when it does not end: the client was left in silence."""
        assert self._over.wait(seconds), "the client was left in silence"
        assert self._answer is not None, "the client itself failed"
        return self._answer


class Load:
    """The same streaming request over and over from several clients at once."""

    def __init__(
        self,
        stack: Stack,
        model: str,
        clients: int,
        *,
        max_tokens: int,
        same_prompt: str | None = None,
        **options: Any,
    ) -> None:
        """Each request has a prompt of its own unless `same_prompt` is given."""
        self.answers: list[Answer] = []
        self._stop = threading.Event()

        def run(number: int) -> None:
            asked = 0
            while not self._stop.is_set():
                asked += 1
                prompt = same_prompt or f"client {number} asks for the {asked}. time"
                self.answers.append(ask(stack, model, max_tokens=max_tokens, prompt=prompt, **options))

        self._threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(clients)]

    @contextmanager
    def running(self) -> Iterator[list[Answer]]:
        """Ask during the block; the list holds the answers that have ended, all of them after the block."""
        for thread in self._threads:
            thread.start()
        try:
            yield self.answers
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(2 * SILENCE_SECONDS)
        assert not any(thread.is_alive() for thread in self._threads), "a client was left in silence"
