"""The models that are compared: what a server calls them, and their answers to the same questions, asked in turn."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import httpx
import orjson

from adapters.training.evaluation.judging import Answer
from adapters.training.evaluation.question_file import QuestionFile

ASSISTANT = "assistant"
_HOPELESS = frozenset({401, 403, 404})
"""Statuses that the next question would get too."""
_LATER = frozenset({429, 503})
_MAX_UNREACHED = 3
"""Connections in a row that fail before the server counts as gone."""
_MAX_CHARACTERS = 1_000_000
_PAUSE = 1.0


class ServerProblem(RuntimeError):
    """The server cannot be asked; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Server:
    """An OpenAI-compatible server. `authorization`: the header's value."""

    url: str
    authorization: str


@dataclass(frozen=True, slots=True)
class Contender:
    """`model`: as the server is asked; `kind`: assistant, alias, version, empty where the server does not say.
    `version`: the adapter version that stands behind it, None for a base model. `system`: put before questions that
    bring no system message.
    """

    name: str
    model: str
    kind: str = ""
    version: str | None = None
    system: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """How all are asked: `seconds` is the longest an answer may take, `concurrency` how many run at a time."""

    concurrency: int
    seconds: float
    max_tokens: int


def find_contenders(named: Sequence[tuple[str, str]], server: Server) -> list[Contender]:
    """The contenders of (name, model). Raises ServerProblem: not there, wrong key, no such model."""
    listed = _models(server)
    known = {str(one.get("id")): one.get("atelier") or {} for one in listed if isinstance(one, dict)}
    missing = [model for _, model in named if model not in known]
    if missing:
        raise ServerProblem(
            f"{server.url} has no model {', '.join(map(repr, missing))} for this key; it has "
            f"{', '.join(sorted(known)[:30]) or 'none'} (versions need a key with the scope adapters)"
        )
    return [
        Contender(name, model, str(known[model].get("kind") or ""), known[model].get("version"))
        for name, model in named
    ]


def _models(server: Server) -> list[Any]:
    try:
        answer = httpx.get(
            f"{server.url}/v1/models", headers={"authorization": server.authorization}, timeout=10.0
        )
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ServerProblem(
            f"nothing answers at {server.url}: {str(error) or type(error).__name__}"
        ) from None
    if answer.status_code in {401, 403}:
        raise ServerProblem(f"{server.url} does not take this key: {_words(answer.content)}")
    try:
        listed = answer.json()["data"]
    except (ValueError, KeyError, TypeError):
        listed = None
    if answer.is_error or not isinstance(listed, list):
        raise ServerProblem(
            f"{server.url} does not list its models (status {answer.status_code}); is it a gateway?"
        )
    return listed


def ask_in_turn(
    questions: QuestionFile,
    contenders: Sequence[Contender],
    server: Server,
    terms: Terms,
    on_done: Callable[[Answer], None],
) -> dict[str, list[Answer]]:
    """Every contender's answers by its name, in the questions' order. Raises ServerProblem.

    The contenders take turns at each question, another one first each time, so that what else the machine does,
    and what a server keeps of a prompt, falls on all alike.
    """
    asking = _Asking(questions, contenders, server, terms, on_done)
    try:
        asyncio.run(asking.run())
    except* ServerProblem as group:
        raise _first(group) from None
    for name, answers in asking.answers.items():
        if all(answer.error for answer in answers):
            raise ServerProblem(
                f"{name} answered none of {len(answers)} questions; the first: {answers[0].error}"
            )
    return asking.answers


def _first(group: BaseExceptionGroup[ServerProblem]) -> ServerProblem:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, ServerProblem)
    return found


class _Asking:
    """One run over all questions."""

    def __init__(
        self,
        questions: QuestionFile,
        contenders: Sequence[Contender],
        server: Server,
        terms: Terms,
        on_done: Callable[[Answer], None],
    ) -> None:
        self._questions, self._contenders, self._server = questions, contenders, server
        self._terms, self._on_done = terms, on_done
        # A session of its own for each question and run: a gateway counts what it could not answer in one.
        self._run = secrets.token_hex(4)
        self._unreached = 0
        self._done = 0
        nothing = Answer("", error="not asked")
        self.answers = {one.name: [nothing] * len(questions.rows) for one in contenders}

    async def run(self) -> None:
        turns = iter(
            [
                (at, self._contenders[(at + turn) % len(self._contenders)])
                for at in range(len(self._questions.rows))
                for turn in range(len(self._contenders))
            ]
        )
        headers = {"authorization": self._server.authorization}
        async with (
            httpx.AsyncClient(base_url=self._server.url, headers=headers, timeout=None) as client,  # noqa: S113
            asyncio.TaskGroup() as workers,
        ):

            async def work() -> None:
                for at, contender in turns:  # shared: each turn is taken by one worker
                    answer = await self._answer(client, at, contender)
                    self.answers[contender.name][at] = answer
                    self._done += 1
                    self._on_done(answer)

            for _ in range(self._terms.concurrency):
                workers.create_task(work())

    async def _answer(self, client: httpx.AsyncClient, at: int, contender: Contender) -> Answer:
        body = {
            "model": contender.model,
            "messages": self._questions.messages(at, contender.system),
            "temperature": 0,
            "seed": 0,
            "max_tokens": self._terms.max_tokens,
            "stream": True,
            "user": f"evaluate-{self._run}-{at}",
        }
        started = perf_counter()
        try:
            async with asyncio.timeout(self._terms.seconds):
                while True:
                    answer, pause = await self._once(client, body)
                    if pause is None:
                        return answer
                    await asyncio.sleep(pause)
        except TimeoutError:
            return Answer(
                "", seconds=perf_counter() - started, error=f"no answer in {self._terms.seconds:g} s"
            )

    async def _once(self, client: httpx.AsyncClient, body: dict[str, Any]) -> tuple[Answer, float | None]:
        """An answer, or how long to wait before asking again."""
        started = perf_counter()
        try:
            async with client.stream("POST", "/v1/chat/completions", json=body) as response:
                self._unreached = 0
                if response.status_code in _LATER and "retry-after" in response.headers:
                    return Answer("", error="busy"), _wait(response.headers["retry-after"])
                if response.is_error:
                    words = f"status {response.status_code}: {_words(await response.aread())}"
                    if response.status_code in _HOPELESS:
                        raise ServerProblem(f"{body['model']}: {words}")
                    return Answer("", seconds=perf_counter() - started, error=words), None
                return await _read(response, started), None
        except httpx.ConnectError as error:
            self._unreached += 1
            if self._unreached >= _MAX_UNREACHED:
                raise ServerProblem(
                    f"{self._server.url} is gone after {self._done} answers: {error}"
                ) from None
            return Answer("", error="unreached"), _PAUSE
        except (httpx.HTTPError, ValueError) as error:
            words = str(error) or type(error).__name__
            return Answer("", seconds=perf_counter() - started, error=words[:300]), None


async def _read(response: httpx.Response, started: float) -> Answer:
    """A streamed answer. Raises ValueError for what is none, httpx.HTTPError."""
    parts: list[str] = []
    first: float | None = None
    verdict, finish, length, ended = response.headers.get("x-atelier-verdict", ""), "", 0, False
    async for line in response.aiter_lines():
        if not line.startswith("data:"):
            continue
        if (payload := line[5:].strip()) == "[DONE]":
            ended = True
            break
        chunk = orjson.loads(payload)
        if not isinstance(chunk, dict) or "error" in chunk:
            raise ValueError(f"the answer broke off: {payload[:300]}")
        verdict = str((chunk.get("atelier") or {}).get("verdict") or verdict)
        for choice in chunk.get("choices") or ():
            text = (choice.get("delta") or {}).get("content") or ""
            finish = choice.get("finish_reason") or finish
            if text:
                first = perf_counter() - started if first is None else first
                parts.append(text)
                length += len(text)
        if length > _MAX_CHARACTERS:
            raise ValueError(f"longer than {_MAX_CHARACTERS} characters")
    if not ended:
        raise ValueError("the answer broke off")
    if not verdict and finish == "content_filter":
        verdict = "block"
    return Answer("".join(parts), verdict, perf_counter() - started, first)


def _wait(header: str) -> float:
    try:
        return max(0.0, float(header))
    except ValueError:
        return _PAUSE


def _words(body: bytes) -> str:
    """The message of an OpenAI error body, else its beginning."""
    try:
        return str(orjson.loads(body)["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return body[:300].decode("utf-8", "replace")
