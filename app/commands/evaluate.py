"""`atelier evaluate`: base model, adapter, grounded assistant … side by side on the same questions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import orjson
import typer
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from adapters.training.data.lines import beside
from adapters.training.data.policy_source import PolicySource, read_policy
from adapters.training.evaluation.comparison import Part, compare
from adapters.training.evaluation.judging import Answer, Judge
from adapters.training.evaluation.page import page
from adapters.training.evaluation.question_file import QuestionFile, read_questions
from adapters.training.evaluation.wording import difference_text, score_rows
from app.commands.client import KeyOption, UrlOption, connect, err, fail, out
from app.commands.contenders import (
    ASSISTANT,
    Contender,
    Server,
    ServerProblem,
    Terms,
    ask_in_turn,
    find_contenders,
)


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(evaluate)


def evaluate(
    questions: Path = typer.Argument(..., help="Labelled questions, JSON lines; see docs/training.md."),
    models: list[str] = typer.Argument(
        ...,
        metavar="[NAME=]MODEL…",
        help="Who is asked: assistants, aliases, name@version. The first is the base.",
    ),
    general: Path | None = typer.Option(
        None, help="Questions of general knowledge, to see what was forgotten."
    ),
    policy: Path | None = typer.Option(
        None, help="Policy folder whose documents the answers' values are held to."
    ),
    system: list[str] = typer.Option(
        [],
        metavar="[NAME=]FILE",
        help="File with a system message: for the model NAME, else for all that are no assistants.",
    ),
    url: str = UrlOption,
    key: str = KeyOption,
    concurrency: int = typer.Option(2, min=1, max=64, help="Answers under way at the same time."),
    seconds: float = typer.Option(120.0, min=0.1, max=3600, help="Longest one answer may take."),
    max_tokens: int = typer.Option(256, min=1, max=8192, help="Longest answer."),
    today: datetime | None = typer.Option(
        None, formats=["%Y-%m-%d"], help="The day whose documents are in force. Default: today."
    ),
    json_out: Path | None = typer.Option(None, "--json", help="Write everything as JSON."),
    html: Path | None = typer.Option(None, help="Write a page."),
    answers: bool = typer.Option(True, help="Put every single answer into JSON and page."),
) -> None:
    """Compare models on the same questions: right answers, wrong values, refusals, times, what was forgotten."""
    named = _named(models)
    for path in (json_out, html):
        if path is not None and not path.parent.is_dir():
            _refuse(f"{path} cannot be written: there is no folder {path.parent}")
    try:
        asked = read_questions(questions)
        others = read_questions(general) if general is not None else None
        source = read_policy(policy, (today or datetime.now(UTC).astimezone()).date()) if policy else None
        systems = _systems(system, {name for name, _ in named})
        server = _server(url, key)
        contenders = [_told(one, systems) for one in find_contenders(named, server)]
        terms = Terms(concurrency, seconds, max_tokens)
        parts = _ask([asked, *([others] if others else [])], contenders, server, terms, source)
    except OSError as error:
        _refuse(f"{error.filename or 'a file'} cannot be read: {error.strerror or error}")
    except (ServerProblem, ValueError) as error:
        _refuse(str(error))
    record = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "server": server.url,
        "contenders": [asdict(one) for one in contenders],
        "documents": None if source is None else {"policy": source.folder.name, "today": str(source.today)},
        "terms": {
            "concurrency": concurrency,
            "seconds": seconds,
            "max_tokens": max_tokens,
        },
        "parts": [part.record(answers=answers) for part in parts],
    }
    for part in parts:
        _show(part)
    try:
        if json_out is not None:
            with beside(json_out) as draft:
                draft.write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2) + b"\n")
        if html is not None:
            with beside(html) as draft:
                draft.write_text(page("Evaluation", parts, _about(record), answers=answers), encoding="utf-8")
    except OSError as error:
        _refuse(f"the report cannot be written: {error}")


def _refuse(message: str) -> NoReturn:
    """Say what is wrong and stop with status 2."""
    fail(escape(message), 2)


def _named(models: Sequence[str]) -> list[tuple[str, str]]:
    """(name, model) of each `NAME=MODEL` or `MODEL`."""
    named = []
    for text in models:
        name, equals, model = text.partition("=")
        named.append((name, model) if equals else (text, text))
    if any(not name or not model for name, model in named):
        _refuse("a model is named MODEL or NAME=MODEL")
    if len({name for name, _ in named}) < len(named):
        _refuse("two models have one name; tell them apart with NAME=MODEL")
    return named


def _systems(options: Sequence[str], names: Collection[str]) -> dict[str, str]:
    """The messages of `--system` by contender, that of no one in particular under "". Raises OSError, ValueError."""
    systems = {}
    for option in options:
        name, equals, path = option.partition("=")
        if equals and name not in names:
            raise ValueError(f"--system {option}: no model is named {name!r}")
        systems[name if equals else ""] = Path(path if equals else option).read_text(encoding="utf-8").strip()
    return systems


def _told(contender: Contender, systems: Mapping[str, str]) -> Contender:
    common = "" if contender.kind == ASSISTANT else systems.get("", "")
    return replace(contender, system=systems.get(contender.name, common))


def _server(url: str, key: str) -> Server:
    try:
        with connect(url, key) as client:
            return Server(str(client.base_url).rstrip("/"), client.headers["authorization"])
    except typer.Exit:
        raise typer.Exit(2) from None
    except UnicodeEncodeError:
        _refuse("the API key holds a character that no key has; give it with --key or ATELIER_KEY")


def _ask(
    files: Sequence[QuestionFile],
    contenders: Sequence[Contender],
    server: Server,
    terms: Terms,
    source: PolicySource | None,
) -> list[Part]:
    total = sum(len(file.rows) for file in files) * len(contenders)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    parts = []
    with Progress(
        *columns, TimeRemainingColumn(), TextColumn("{task.fields[failed]}"), console=err
    ) as progress:
        task = progress.add_task("asking", total=total, failed="")
        count = _counting(progress, task)
        for at, file in enumerate(files):
            # Values of general answers are not the organisation's: only the first file is held to the documents.
            judge = Judge(source if at == 0 else None)
            given = ask_in_turn(file, contenders, server, terms, count)
            parts.append(compare(file, given, judge, documents=at == 0 and source is not None))
    return parts


def _counting(progress: Progress, task: TaskID) -> Callable[[Answer], None]:
    failed = 0

    def count(answer: Answer) -> None:
        nonlocal failed
        failed += bool(answer.error)
        progress.update(task, advance=1, failed=f"{failed} without an answer" if failed else "")

    return count


def _show(part: Part) -> None:
    table = Table(
        "", *map(escape, part.scores), title=f"{part.questions.name}, {len(part.questions.rows)} questions"
    )
    for name, cells in score_rows(part):
        table.add_row(escape(name), *map(escape, cells))
    out.print(table)
    for one in part.differences:
        out.print(difference_text(one), highlight=False, markup=False)


def _about(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    terms, documents = record["terms"], record["documents"]
    return [
        ("made", record["created"]),
        ("documents", f"{documents['policy']} as of {documents['today']}" if documents else "none"),
        (
            "asked",
            f"{terms['concurrency']} at a time, at most {terms['seconds']:g} s and {terms['max_tokens']} tokens",
        ),
        *(
            (one["name"], " ".join(filter(None, (one["kind"], one["version"] or one["model"]))))
            for one in record["contenders"]
        ),
    ]
