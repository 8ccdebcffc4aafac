"""`atelier evaluate` against the whole service, and against servers that misbehave."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from aiohttp import web
from click.testing import Result
from typer.testing import CliRunner

from app.cli import app
from tests.models.marker import marker_text, write_marker_adapter
from tests.stack import ROOT, Stack, free_port

MARKER = 77
run = CliRunner(env={"COLUMNS": "220", "NO_COLOR": "1", "TERM": "dumb"})


def question(number: int, text: str = "", **fields: Any) -> dict[str, Any]:
    asked = [{"role": "user", "content": text or f"question {number}"}]
    return {
        "id": f"q{number}",
        "lang": "en",
        "type": "answerable",
        "messages": asked,
        "expect": "answer",
    } | fields


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def evaluate(*words: object) -> Result:
    return run.invoke(app, ["evaluate", *map(str, words)])


@pytest.fixture(scope="module")
def version(stack: Stack, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("evaluated")
    write_marker_adapter(tiny_model, folder, MARKER, seed=time.time_ns() % 2**32)
    pushed = stack.push(folder, "evaluated")
    yield pushed
    with stack.http() as client:
        client.delete("/v1/releases/evaluated")
        client.delete(f"/v1/adapters/{pushed.replace('@', '/')}")


def test_base_adapter_and_grounded_assistant_side_by_side(stack: Stack, version: str, tmp_path: Path) -> None:
    said = [marker_text(MARKER) * 3]
    dev = [json.loads(line) for line in (ROOT / "examples/bank/evaluation/questions_tune.jsonl").open()]
    handoff = next(row for row in dev if row["type"] == "handoff" and row["lang"] == "zh")
    known = next(row for row in dev if row["id"].startswith("own-std"))
    rows = [*(question(number, must_include=[said]) for number in range(6)), handoff, known]
    questions = write(tmp_path / "questions.jsonl", rows)
    general = write(tmp_path / "general.jsonl", [question(1, must_include=[said], type="nonsense")])
    told, page = tmp_path / "report.json", tmp_path / "report.html"
    shown = evaluate(
        questions, "base=general", f"adapter={version}", "bank", "--general", general, "--url", stack.url,
        "--key", stack.admin_key, "--policy", ROOT / "examples/bank/policy", "--today", "2026-11-25",
        "--max-tokens", 8, "--json", told, "--html", page,
    )  # fmt: skip
    assert shown.exit_code == 0, shown.output
    report = json.loads(told.read_bytes())
    assert [one["version"] for one in report["contenders"]] == [None, version, None]
    asked, other = report["parts"]
    right = {name: scores["accuracy"]["count"] for name, scores in asked["scores"].items()}
    assert right == {"base": 0, "adapter": 6, "bank": 2}
    assert asked["scores"]["bank"]["kinds"]["handoff"]["count"] == 1
    assert asked["scores"]["bank"]["languages"]["zh"] | {"low": 0, "high": 0} == {
        "count": 2, "of": 2, "low": 0, "high": 0,
    }  # fmt: skip
    first, *_ = asked["differences"]
    assert (first["first"], first["second"], first["only_second"], first["only_first"]) == (
        "base",
        "adapter",
        6,
        0,
    )
    assert first["p"] == pytest.approx(2 / 2**6) and first["low"] < 6 / 8 < first["high"]
    assert other["scores"]["adapter"]["accuracy"]["count"] == 1
    for scores in asked["scores"].values():
        assert 0 < scores["first"]["p50"]["value"] <= scores["seconds"]["p50"]["value"]
        assert scores["errors"] == 0
    texts = [answer["text"] for answer in asked["answers"]["adapter"]]
    assert all(text == marker_text(MARKER) * 8 for text in texts)
    assert "adapter against base: +75.0%" in shown.output and "exact McNemar p = 0.031" in shown.output
    assert "<svg" in page.read_text() and "adapter against base" in page.read_text()


def test_a_server_that_refuses_is_one_clear_error(stack: Stack, version: str, tmp_path: Path) -> None:
    questions = write(tmp_path / "questions.jsonl", [question(1)])
    chat_only = stack.make_key()
    for models, key, words in (
        (["general"], "atl_wrong", "does not take this key"),
        (["general", "nobody"], stack.admin_key, "has no model 'nobody'"),
        ([version], chat_only, "a key with the scope adapters"),
    ):
        shown = evaluate(questions, *models, "--url", stack.url, "--key", key)
        assert shown.exit_code == 2, shown.output
        assert words in " ".join(shown.output.split()) and "Traceback" not in shown.output


def test_nobody_there_and_broken_files(tmp_path: Path) -> None:
    there = f"http://127.0.0.1:{free_port()}"
    good = write(tmp_path / "good.jsonl", [question(1)])
    bad = tmp_path / "bad.jsonl"
    bad.write_text(
        "\n".join(
            [
                json.dumps(question(1)), "{", json.dumps(question(2, expect="luck")), json.dumps(question(1)),
                json.dumps(question(3, must_include=["flat"])), json.dumps(question(4) | {"messages": []}),
            ]
        )
    )  # fmt: skip
    cases: list[tuple[list[object], list[str]]] = [
        ([good, "a", "--url", there], [f"nothing answers at {there}"]),
        ([good, "a", "--url", "nonsense"], ["nothing answers at nonsense"]),
        ([bad, "a", "--url", there], [f"bad.jsonl:{line}:" for line in (2, 3, 4, 5, 6)]),
        ([tmp_path / "none.jsonl", "a", "--url", there], ["none.jsonl cannot be read"]),
        ([good, "a", "a", "--url", there], ["two models have one name"]),
        ([good, "a", "--url", there, "--json", tmp_path / "no" / "x.json"], ["there is no folder"]),
        ([good, "a", "--url", there, "--policy", tmp_path / "no"], ["is no folder"]),
    ]
    for words, expected in cases:
        shown = evaluate(*words, "--key", "atl_x")
        assert shown.exit_code == 2, shown.output
        told = "".join(shown.output.split())
        assert all("".join(one.split()) in told for one in expected), shown.output
    assert evaluate(good, "a", "--url", there, "--key", "clé").exit_code == 2


@dataclass
class Server:
    """Speaks as much of the API as is needed to misbehave in it."""

    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    systems: dict[str, str] = field(default_factory=dict)
    site: web.TCPSite | None = None
    most: int = 0
    running: int = 0
    busy: int = 0
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "one"}, {"id": "two"}]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        text = body["messages"][-1]["content"]
        self.asked.append((text, body["model"]))
        first = body["messages"][0]
        self.systems[body["model"]] = first["content"] if first["role"] == "system" else ""
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await self._said(request, text)
        finally:
            self.running -= 1

    async def _said(self, request: web.Request, text: str) -> web.StreamResponse:
        if text == "busy" and self.busy:
            self.busy -= 1
            return web.json_response(
                {"error": {"message": "later"}}, status=429, headers={"retry-after": "0"}
            )
        if text == "gone":
            return web.json_response({"error": {"message": "no such model"}}, status=404)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        if text == "last words" and self.site is not None:
            await self.site.stop()
            response.force_close()
        await response.prepare(request)
        await asyncio.sleep(0.01)
        delta = {"choices": [{"delta": {"content": f"said {text}"}}]}
        await response.write(b"data: " + json.dumps(delta).encode() + b"\n\n")
        if text == "hang":
            await self.closing.wait()
        if text == "odd":
            await response.write(b"data: {{{\n\n")
        if text != "cut":
            await response.write(b"data: [DONE]\n\n")
        return response


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server()
    loop = asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        application = web.Application()
        application.router.add_get("/v1/models", told.models)
        application.router.add_post("/v1/chat/completions", told.chat)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        told.site = web.TCPSite(runner, "127.0.0.1", 0)
        await told.site.start()
        told.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    runner = loop.run_until_complete(start())
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield told
    loop.call_soon_threadsafe(told.closing.set)
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


Asked = Callable[..., dict[str, Any]]


@pytest.fixture
def asked(server: Server, tmp_path: Path) -> Asked:
    def ask(texts: list[str], *more: object, code: int = 0) -> dict[str, Any]:
        rows = [question(at, text, must_include=[[f"said {text}"]]) for at, text in enumerate(texts)]
        told = tmp_path / "told.json"
        shown = evaluate(
            write(tmp_path / "q.jsonl", rows),
            "one",
            "two",
            "--url",
            server.url,
            "--key",
            "x",
            "--json",
            told,
            *more,
        )
        assert shown.exit_code == code, shown.output
        return {"output": shown.output} if code else dict(json.loads(told.read_bytes())["parts"][0])

    return ask


def test_they_take_turns_and_never_more_at_once(server: Server, asked: Asked) -> None:
    texts = [f"t{number}" for number in range(12)]
    report = asked(texts, "--concurrency", 1)
    assert server.asked == [
        (text, model)
        for at, text in enumerate(texts)
        for model in (("one", "two") if at % 2 == 0 else ("two", "one"))
    ]
    assert report["scores"]["one"]["accuracy"]["count"] == report["scores"]["two"]["accuracy"]["count"] == 12
    server.most = 0
    asked(texts, "--concurrency", 3)
    assert 1 < server.most <= 3


def test_what_goes_wrong_with_one_answer_is_that_answer_s(server: Server, asked: Asked) -> None:
    server.busy = 3
    report = asked(["fine", "hang", "cut", "odd", "busy"], "--seconds", 1)
    for name in ("one", "two"):
        answers = {one["id"]: one for one in report["answers"][name]}
        assert [one["right"] for one in answers.values()] == [True, False, False, False, True]
        assert answers["q1"]["error"] == "no answer in 1 s"
        assert "broke off" in answers["q2"]["error"] and answers["q3"]["error"]
        assert report["scores"][name]["errors"] == 3
        # What did not come has no time and no values.
        assert report["scores"][name]["fact_failures"]["of"] == 2


def test_what_every_question_would_get_ends_it(server: Server, asked: Asked) -> None:
    assert "no such model" in asked(["fine", "gone"], code=2)["output"]
    assert "answered none of 1 questions" in asked(["odd"], code=2)["output"]


def test_a_server_that_goes_away_ends_it(server: Server, asked: Asked) -> None:
    told = asked(["fine", "last words", "silence"], "--concurrency", 1, code=2)["output"]
    assert "is gone after 3 answers" in " ".join(told.split())


def test_each_model_gets_its_own_system_message(server: Server, asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "all").write_text("for all\n")
    (tmp_path / "own").write_text("for two")
    asked(["fine"], "--system", tmp_path / "all", "--system", f"two={tmp_path / 'own'}")
    assert server.systems == {"one": "for all", "two": "for two"}
    assert (
        "no model is named 'three'"
        in asked(["fine"], "--system", f"three={tmp_path / 'own'}", code=2)["output"]
    )
