"""`atelier guardrails`: what a person sees, and what the report is made of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from typer.testing import CliRunner

from app.cli import app
from app.commands.guardrails_report import read_jsonl, read_terms
from app.commands.question_client import ask_all

run = CliRunner()


def policy(tmp_path: Path, text: str = "hotline: 400-1") -> str:
    (tmp_path / "policy.yaml").write_text(text)
    return str(tmp_path)


def test_check_shows_every_check_with_its_time(tmp_path: Path) -> None:
    shown = run.invoke(app, ["guardrails", "check", "hello there", "--policy", policy(tmp_path)])
    assert shown.exit_code == 0, shown.output
    for name in ("words", "fraud", "privacy", "attack", "handoff", "ms", "verdict: allow"):
        assert name in shown.output


def test_check_of_an_answer(tmp_path: Path) -> None:
    shown = run.invoke(app, ["guardrails", "check", "hello", "--output", "--policy", policy(tmp_path)])
    assert shown.exit_code == 0, shown.output
    assert "leaves as: hello" in shown.output


def test_a_wrong_policy_is_told_with_its_place(tmp_path: Path) -> None:
    shown = run.invoke(app, ["guardrails", "check", "x", "--policy", policy(tmp_path, "checks:\n  a: 1\n")])
    assert shown.exit_code == 1
    assert "policy.yaml:2" in "".join(shown.output.split())


def test_a_missing_policy_is_told(tmp_path: Path) -> None:
    shown = run.invoke(app, ["guardrails", "check", "x", "--policy", str(tmp_path / "none")])
    assert (shown.exit_code, "no folder" in shown.output.replace("\n", " ")) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to evaluate"),
        (["--texts", "t.jsonl"], "--deny"),
        (["--claims", "none.jsonl"], "none.jsonl"),
    ],
)
def test_evaluate_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = run.invoke(app, ["guardrails", "evaluate", *arguments])
    # A long path is wrapped, in the middle of a word if need be.
    assert (shown.exit_code, words in shown.output.replace("\n", "")) == (1, True)


def test_files_are_read_line_by_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import typer

    rows, terms = tmp_path / "rows.jsonl", tmp_path / "terms.txt"
    rows.write_text('{"id": 1}\n\n{"id": 2}\n')
    terms.write_text("一\n\n 二 \n")
    assert [row["id"] for row in read_jsonl(rows)] == [1, 2]
    assert read_terms(terms) == ["一", "二"]
    for wrong in ('{"id": 1}\n{"id"\n', '{"id": 1}\n[]\n'):
        rows.write_text(wrong)
        with pytest.raises(typer.Exit):
            read_jsonl(rows)
        assert ":2:" in "".join(capsys.readouterr().err.split())


@pytest.fixture
async def gateway() -> AsyncIterator[tuple[str, list[int]]]:
    running, most = 0, [0]

    async def answer(request: web.Request) -> web.Response:
        nonlocal running
        running += 1
        most[0] = max(most[0], running)
        body: dict[str, Any] = await request.json()
        text = body["messages"][-1]["content"]
        running -= 1
        if text == "fail":
            return web.json_response({"error": {}}, status=503)
        if text == "odd":
            return web.Response(text="no JSON")
        found = {
            "choices": [{"message": {"content": f"{body['model']}: {text}"}, "finish_reason": "stop"}],
            "atelier": {"verdict": "allow", "reasons": ["approved"], "citations": ["Doc §1"]},
        }
        return web.json_response(found, headers={"x-atelier-verdict": "fallback"})

    server = web.Application()
    server.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", most
    await runner.cleanup()


async def test_questions_are_asked_a_few_at_a_time_and_kept_in_order(gateway: tuple[str, list[int]]) -> None:
    url, most = gateway
    asked = [*(str(n) for n in range(30)), "fail", "odd"]
    rows = [{"messages": [{"role": "user", "content": text}]} for text in asked]
    done: list[int] = []
    answers = await ask_all(rows, url, "Bearer x", "bank", 3, 10.0, done.append)
    assert [answer["text"] for answer in answers[:30]] == [f"bank: {n}" for n in range(30)]
    assert {answer["verdict"] for answer in answers[:30]} == {"fallback"}
    assert answers[0]["citations"] == ["Doc §1"]
    assert "503" in answers[30]["error"]
    assert answers[31]["error"]
    assert done == list(range(1, 33))
    assert most[0] <= 3
