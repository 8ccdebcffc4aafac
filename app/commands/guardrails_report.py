"""`atelier guardrails evaluate`: how good the checks are, on labelled questions, claims and texts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import typer
from rich.table import Table

from app.commands.client import KeyOption, UrlOption, connect, fail, out
from guardrails.problem import PolicyProblem

_REQUEST_SECONDS = 120.0


def evaluate(
    questions: Path | None = typer.Option(None, help="JSONL of questions, asked of a running gateway."),
    claims: Path | None = typer.Option(None, help="JSONL of claims with their evidence."),
    texts: Path | None = typer.Option(None, help="JSONL of texts to block or to allow."),
    deny: Path | None = typer.Option(None, help="Denied terms for --texts, one a line."),
    url: str = UrlOption,
    key: str = KeyOption,
    model: str = typer.Option("bank", help="Assistant that is asked."),
    concurrency: int = typer.Option(4, min=1, max=64, help="Questions asked at the same time."),
    json_out: Path | None = typer.Option(None, "--json", help="Write the report here as well."),
) -> None:
    """Print the two-sided report of any of: questions, claims, texts."""
    report: dict[str, Any] = {}
    if questions is not None:
        from guardrails.evaluation import questions as judge  # noqa: PLC0415

        rows = read_jsonl(questions)
        judge.check_rows(rows, questions)
        report["questions"] = judge.evaluate(rows, asyncio.run(_ask_all(rows, url, key, model, concurrency)))
    if claims is not None:
        from guardrails.evaluation import claims as checker  # noqa: PLC0415

        try:
            report["claims"] = checker.evaluate_claims(checker.read_claims(claims))
        except (PolicyProblem, OSError, UnicodeDecodeError) as error:
            fail(f"{claims} cannot be read as claims: {error}")
    if texts is not None:
        if deny is None:
            fail("--texts needs --deny, a file with one denied term a line.")
        from guardrails.evaluation import texts as matcher  # noqa: PLC0415

        report["texts"] = matcher.evaluate(read_jsonl(texts), read_terms(deny))
    if not report:
        fail("nothing to evaluate: give --questions, --claims or --texts.")
    for name, part in report.items():
        _show(name, part)
    if json_out is not None:
        try:
            json_out.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2) + b"\n")
        except OSError as error:
            fail(f"{json_out} cannot be written: {error}")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The objects of a file. Ends the command with the line that is none."""
    rows = []
    try:
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if line.strip():
                row = orjson.loads(line)
                if not isinstance(row, dict):
                    fail(f"{path}:{number}: not a JSON object")
                rows.append(row)
    except OSError as error:
        fail(f"{path} cannot be read: {error}")
    except orjson.JSONDecodeError as error:
        fail(f"{path}:{number}: {error.msg}")
    if not rows:
        fail(f"{path} is empty")
    return rows


def read_terms(path: Path) -> list[str]:
    """One term a line."""
    try:
        terms = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{path} cannot be read as UTF-8 text: {error}")
    return [term for term in terms if term]


async def _ask_all(
    rows: Sequence[Mapping[str, Any]], url: str, key: str, model: str, concurrency: int
) -> list[dict[str, Any]]:
    """What the gateway answers to each question, in their order."""
    from app.commands.question_client import ask_all  # noqa: PLC0415

    with connect(url, key) as settings:
        base, headers = str(settings.base_url), dict(settings.headers)
    return await ask_all(
        rows, base, headers["authorization"], model, concurrency, _REQUEST_SECONDS, _progress(len(rows))
    )


def _progress(total: int) -> Callable[[int], None]:
    def show(done: int) -> None:
        if done % 20 == 0 or done == total:
            out.print(f"{done}/{total} asked", style="dim", highlight=False)

    return show


def _show(name: str, part: Mapping[str, Any]) -> None:
    """A table of every number in a report, sections by their path."""
    table = Table("figure", "value", title=name)
    for path, value in _numbers(part, ""):
        table.add_row(path, f"{value:.4g}" if isinstance(value, float) else str(value))
    out.print(table)


def _numbers(value: Any, path: str) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [
            row
            for name, item in value.items()
            for row in _numbers(item, f"{path}.{name}" if path else str(name))
        ]
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return []
    return [(path, value)]


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(evaluate)
