"""`atelier data`: the data room, where raw material becomes rows to train on."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from adapters.training.data.convert import BETTER, GOOD
from adapters.training.data.convert import convert as convert_rows
from adapters.training.data.lines import BadRows, beside
from adapters.training.data.measure import Measure, read_bars
from adapters.training.data.policy_source import read_policy
from adapters.training.data.reading import read_sources
from adapters.training.data.shapes import Shape
from adapters.training.data.synthesis import card_path
from adapters.training.data.synthesis import synthesise as make_dialogues
from adapters.training.data.tables import FIELDS
from adapters.training.data.three_c import check_data, write_html, write_json, write_review
from adapters.training.data.three_c_page import figure
from app.commands.client import fail, out, read_settings
from guardrails.policy.bundle import BuildFailed
from guardrails.policy.ports import MaskingCheck
from guardrails.privacy.check import PrivacyCheck, load_privacy
from guardrails.privacy.rules import PrivacyFile
from guardrails.problem import PolicyProblem

if TYPE_CHECKING:
    from adapters.training.data.grounded_rows import Wanted

app = typer.Typer(no_args_is_help=True, help="Training data: converted, read, checked, made.")


@app.command()
def convert(
    source: Path = typer.Argument(..., metavar="IN", help="JSON lines in any of the shapes."),
    target: Path = typer.Argument(..., metavar="OUT"),
    to: Shape = typer.Option(..., help="The shape to write."),
    good: float = typer.Option(GOOD, help="Scores to dialogues: the lowest score to learn from."),
    better: float = typer.Option(BETTER, help="Scores to preferences: the smallest gap that is one."),
) -> None:
    """Rewrite training rows in another shape; a broken row is named with its line and nothing is written."""
    try:
        done = convert_rows(source, target, to, good=good, better=better)
    except (BadRows, OSError) as error:
        fail(str(error))
    left = f", {done.left_out} left out" if done.left_out else ""
    out.print(f"{done.read} rows read, {done.written} written{left}", highlight=False)
    out.print(f"sha256 {done.digest}", highlight=False)


@app.command()
def read(
    sources: list[Path] = typer.Argument(..., metavar="SOURCE…", help="Files, or folders of them."),
    target: Path = typer.Option(..., "--out", help="JSON lines to write, rows of messages."),
    mapping: list[str] = typer.Option(
        [], "--map", help="field=COLUMN, for exports. Fields: " + ", ".join(FIELDS)
    ),
    agent: list[str] = typer.Option([], help="What an export calls the organisation's side."),
    policy: Path | None = typer.Option(None, help="Policy folder whose privacy rules mask contacts."),
    funnel: Path | None = typer.Option(None, help="Write the funnel as JSON."),
) -> None:
    """Read exports (CSV, JSON lines, Excel) and documents (HTML, PDF, DOCX …), clean them, count after each step."""
    try:
        columns = dict(_field(one) for one in mapping)
        told = read_sources(sources, target, _privacy(policy), columns, agent)
        if funnel is not None:
            with beside(funnel) as draft:
                draft.write_bytes(orjson.dumps(told.record(), option=orjson.OPT_INDENT_2))
    except (PolicyProblem, ValueError, OSError) as error:
        fail(escape(str(error)))
    table = Table("step", "of", "before", "after", "changed", "example")
    for step in told.steps:
        example = escape(step.examples[0][:40]) if step.examples else ""
        table.add_row(
            step.name, step.unit, str(step.before), str(step.after), str(step.changed or ""), example
        )
    out.print(table)
    out.print(f"{told.rows} rows to {target}", highlight=False)
    out.print(f"sha256 {told.sha256}", highlight=False)


def _field(text: str) -> tuple[str, str]:
    field, equals, column = text.partition("=")
    if not equals or field not in FIELDS or not column:
        raise ValueError(f"--map {text}: expected field=COLUMN with a field of {', '.join(FIELDS)}")
    return field, column


def _privacy(policy: Path | None) -> MaskingCheck:
    if policy is None:
        return PrivacyCheck(PrivacyFile())
    return load_privacy(policy, read_policy(policy, _day(None)).phones)


@app.command()
def synthesise(
    policy: Path = typer.Option(..., help="Policy folder; its documents are what is asked about."),
    target: Path = typer.Option(..., "--out", help="JSON lines to write; a card is written beside."),
    count: int = typer.Option(1000, min=1, max=10_000_000),
    seed: int = typer.Option(0, min=0),
    grounded: float = typer.Option(0.5, min=0, max=1, help="Share written as the gateway asks its engine."),
    held_out: Path | None = typer.Option(None, help="File for questions on facts kept from training."),
    held_out_share: float = typer.Option(0.1, min=0, max=0.9, help="Share of the facts kept."),
    pairs: Path | None = typer.Option(
        None, help="File for preferences: right values over their neighbours'."
    ),
    pairs_held_out: Path | None = typer.Option(None, help="The same, on facts kept from training."),
    today: datetime | None = typer.Option(
        None, formats=["%Y-%m-%d"], help="The day whose documents are in force. Default: today."
    ),
) -> None:
    """Make dialogues from a policy's documents by rule: right answers, many wordings, the same for a seed."""
    began = time.monotonic()
    try:
        card = make_dialogues(
            policy, target, count=count, seed=seed, today=_day(today), grounded=grounded,
            held_out=held_out, held_out_share=held_out_share, pairs=pairs, pairs_held_out=pairs_held_out,
        )  # fmt: skip
    except (PolicyProblem, ValueError, OSError) as error:
        fail(str(error))
    made = card.rows + card.held_out_rows
    out.print(
        f"{made} dialogues in {time.monotonic() - began:.1f} s: {card.rows} to {target}", highlight=False
    )
    if held_out:
        out.print(f"{card.held_out_rows} on facts held out to {held_out}", highlight=False)
    if made < count:
        out.print(f"[yellow]The documents gave no more than {made} different ones.[/yellow]", highlight=False)
    out.print(", ".join(f"{kind} {number}" for kind, number in card.kinds.items()), highlight=False)
    out.print(f"{card.facts_covered:.1%} of {card.facts} facts asked about; long tail {card.long_tail:.1%}")
    out.print(f"sha256 {card.sha256}; card {card_path(target)}", highlight=False)


@app.command()
def ground(
    source: Path = typer.Argument(
        ...,
        metavar="FILE",
        help="Labelled questions, as `atelier evaluate` takes them; with --rows, dialogues.",
    ),
    policy: Path = typer.Option(..., help="Policy folder whose documents are looked up."),
    target: Path = typer.Option(..., "--out", help="JSON lines to write."),
    rows: int = typer.Option(0, min=0, help="Choose so many of the dialogues in FILE, to train on."),
    seed: int = typer.Option(0, min=0, help="Of the choice."),
    one_fact: float = typer.Option(0.3, min=0, max=1, help="Largest share of rows that show a single fact."),
    unanswered: float = typer.Option(0.1, min=0, max=1, help="Largest share of rows without an answer."),
    held_out: Path | None = typer.Option(None, help="File for rows on facts that no row of --out shows."),
    held_out_rows: int = typer.Option(50, min=1, help="How many of them."),
    held_out_share: float = typer.Option(0.5, min=0, max=0.9, help="Share of the facts that are kept so."),
    today: datetime | None = typer.Option(
        None, formats=["%Y-%m-%d"], help="The day whose documents are in force. Default: today."
    ),
) -> None:
    """Write questions, or rows to train on, as the gateway asks its engine: with the facts looked up for each."""
    if rows:
        from adapters.training.data.grounded_rows import Wanted  # noqa: PLC0415 - loads the retrieval

        share, kept = (held_out_share, held_out_rows) if held_out else (0.0, 0)
        wanted = Wanted(rows, seed, one_fact, unanswered, kept, share)
        _ground_rows(source, policy, target, held_out, wanted, _day(today))
        return
    from adapters.training.evaluation.grounded_questions import ground as write  # noqa: PLC0415 - loads the retrieval
    from adapters.training.evaluation.question_file import read_questions  # noqa: PLC0415

    try:
        done = write(read_questions(source), policy, _day(today), target, _cache())
    except (PolicyProblem, BuildFailed, ValueError, OSError) as error:
        fail(escape(str(error)))
    out.print(f"{done.written} questions to {target}", highlight=False)
    if done.fixed:
        told = ", ".join(f"{reason} {count}" for reason, count in done.fixed.items())
        out.print(f"{sum(done.fixed.values())} left out, which no engine is asked: {told}", highlight=False)
    out.print(f"sha256 {done.digest}", highlight=False)


def _ground_rows(
    source: Path, policy: Path, target: Path, held_out: Path | None, wanted: Wanted, today: date
) -> None:
    from adapters.training.data.grounded_rows import ground_rows  # noqa: PLC0415 - loads the retrieval

    try:
        done = ground_rows(source, policy, today, target, wanted, held_out, _cache())
    except (PolicyProblem, BuildFailed, ValueError, OSError) as error:
        fail(escape(str(error)))
    out.print(f"{done.rows} rows to {target}, with {done.shown} facts", highlight=False)
    if held_out:
        out.print(f"{done.held_out_rows} on facts held out to {held_out}", highlight=False)
    if done.rows < wanted.count:
        out.print(f"[yellow]{source} gave no more than {done.rows} rows.[/yellow]", highlight=False)
    told = ", ".join(f"{reason} {count}" for reason, count in done.left_out.items())
    out.print(f"{sum(done.left_out.values())} left out: {told}", highlight=False)
    out.print(f"sha256 {done.digest}", highlight=False)


@app.command()
def split(
    questions: Path = typer.Argument(..., help="Labelled questions, as `atelier evaluate` takes them."),
    train: Path = typer.Option(..., help="The rows trained on, as `atelier data ground --rows` makes them."),
    policy: Path = typer.Option(..., help="Policy folder whose documents are looked up."),
    unseen: Path = typer.Option(..., help="File for questions whose facts no row of --train shows."),
    seen: Path = typer.Option(..., help="File for the other questions that have an answer."),
    today: datetime | None = typer.Option(
        None, formats=["%Y-%m-%d"], help="The day whose documents are in force. Default: today."
    ),
) -> None:
    """Tell questions with an answer apart: those whose facts were not in training, and the others."""
    from adapters.training.evaluation.question_file import read_questions  # noqa: PLC0415
    from adapters.training.evaluation.seen_facts import tell_apart  # noqa: PLC0415 - loads the retrieval

    try:
        done = tell_apart(read_questions(questions), train, policy, _day(today), unseen, seen, _cache())
    except (PolicyProblem, BuildFailed, ValueError, OSError) as error:
        fail(escape(str(error)))
    out.print(f"{done.unseen} questions on facts not trained on to {unseen}", highlight=False)
    out.print(f"{done.seen} others to {seen}", highlight=False)


@app.command()
def check(
    file: Path = typer.Argument(..., help="JSON lines in any of the shapes."),
    policy: Path = typer.Option(..., help="Policy folder; its documents are the truth."),
    against: Path | None = typer.Option(
        None, help="The training file, where FILE is what will be measured on."
    ),
    bars: Path | None = typer.Option(None, help="YAML with bars of your own, see docs/data.md."),
    html: Path | None = typer.Option(None, help="Write the report as a page."),
    json: Path | None = typer.Option(None, help="Write the report as JSON."),
    review: Path | None = typer.Option(None, help="Write the rows a person should look at, to be filled in."),
    today: datetime | None = typer.Option(
        None, formats=["%Y-%m-%d"], help="The day whose documents are in force. Default: today."
    ),
) -> None:
    """The 3C report: is the data complete, consistent, correct? Status 1 where a bar is missed."""
    try:
        report = check_data(file, read_policy(policy, _day(today)), read_bars(bars), against)
        for path, write in ((html, write_html), (json, write_json), (review, write_review)):
            if path is not None:
                write(report, path)
    except (PolicyProblem, ValueError, OSError) as error:
        fail(str(error))
    table = Table("", "measure", "value", "bar", "")
    for measure in report.measures:
        table.add_row(*_cells(measure))
    out.print(table)
    missed = [measure.name for measure in report.measures if not measure.passed]
    if missed:
        fail(f"{escape(file.name)} misses {len(missed)} bars: {', '.join(missed)}")
    out.print(f"{report.rows} rows, every bar kept", highlight=False)


def _cells(measure: Measure) -> tuple[str, ...]:
    sign = "≥" if measure.at_least else "≤"
    bar = "" if measure.bar is None else f"{sign} {figure(measure.bar, measure.is_share)}"
    mark = "" if measure.bar is None else "[green]kept[/green]" if measure.passed else "[red]missed[/red]"
    return measure.group, measure.name, figure(measure.value, measure.is_share), bar, mark


def _day(today: datetime | None) -> date:
    return (today or datetime.now(UTC).astimezone()).date()


def _cache() -> Path:
    """Where a gateway of this machine keeps the policies it has built."""
    return read_settings().var_dir / "policies"
