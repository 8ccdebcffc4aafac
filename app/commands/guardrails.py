"""`atelier guardrails`: what the checks say about a text, how good they are, which tickets wait."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from app.chat.tickets import Queued, TicketQueue
from app.commands.client import fail, out, read_settings
from app.commands.guardrails_report import add as add_evaluate
from app.state.connection import StateUnavailable, connect
from app.state.keyspace import Keyspace
from guardrails.chain import Chain, InputOutcome
from guardrails.message import Message
from guardrails.policy.load import load_policy
from guardrails.problem import PolicyProblem
from guardrails.verdict import strongest

app = typer.Typer(no_args_is_help=True, help="Try and measure the guardrail chain; waiting tickets.")

DEFAULT_POLICY = Path("examples/bank/policy")
_COLOURS = {"allow": "green", "off": "dim", "mask": "yellow", "block": "red", "failed": "red"}


@app.command()
def check(
    text: str = typer.Argument(..., help="What a user might write."),
    policy: Path = typer.Option(DEFAULT_POLICY, help="Policy folder."),
    output: bool = typer.Option(False, "--output", help="Check it as an answer of the model instead."),
) -> None:
    """Explain what each check sees in a text."""
    chain = open_chain(policy)
    outcome = chain.check_input([Message("user", "…" if output else text)])
    if output:
        _explain_output(chain, outcome, text)
        return
    table = Table("check", "phase", "mode", "decision", "reason", "spans", "ms")
    for entry in outcome.trace:
        spans = ", ".join(f"{start}–{end}" for start, end in entry.spans)
        colour = _COLOURS.get(entry.result, "magenta")
        table.add_row(
            entry.check, entry.phase, entry.mode, f"[{colour}]{entry.result}[/{colour}]",
            escape(entry.reason), spans, f"{entry.ms:.2f}",
        )  # fmt: skip
    out.print(table)
    out.print(f"verdict: {strongest(outcome.verdicts).value}", highlight=False)
    if outcome.reply is not None:
        out.print(f"reply: {outcome.reply}", highlight=False, markup=False)
    elif outcome.grounded is not None:
        out.print(f"the model would be asked, with {len(outcome.citations)} facts", highlight=False)
    else:
        out.print(f"the model would be asked: {outcome.messages[-1].content}", highlight=False, markup=False)
    if outcome.citations:
        out.print("citations: " + "; ".join(outcome.citations), highlight=False, markup=False)


def _explain_output(chain: Chain, outcome: InputOutcome, text: str) -> None:
    from guardrails.output import Channel  # noqa: PLC0415

    guard = chain.open_output(outcome)
    channel = Channel(0)
    passed = guard.feed(channel, text) + guard.finish(channel)
    table = Table("check", "mode", "decision", "reason", "ms", "held")
    for entry in guard.trace():
        table.add_row(
            entry.check,
            entry.mode,
            entry.result,
            escape(entry.reason),
            f"{entry.ms:.2f}",
            str(entry.held or 0),
        )
    out.print(table)
    out.print(f"verdict: {strongest(guard.verdicts()).value}", highlight=False)
    out.print(f"leaves as: {passed}", highlight=False, markup=False)


def open_chain(folder: Path) -> Chain:
    """The chain of a policy folder. Ends the command with file and line where it is wrong."""
    try:
        return Chain(load_policy(folder))
    except (PolicyProblem, OSError) as problem:
        fail(str(problem))


@app.command()
def tickets(limit: int = typer.Option(50, min=1, max=1000)) -> None:
    """List tickets that nobody has taken yet (needs ATELIER_STATE_URL, or run it where `atelier serve` runs)."""
    rows = asyncio.run(_waiting(limit))
    table = Table("id", "assistant", "reason", "turns", "summary", "tries", "next")
    for row in rows:
        ticket = row.ticket
        wait = max(0.0, row.due - time.time())
        table.add_row(
            row.id[:12], str(ticket.get("assistant")), str(ticket.get("reason")), str(ticket.get("turns")),
            escape(str(ticket.get("summary"))), str(row.tries), f"in {wait:.0f} s" if wait else "now",
        )  # fmt: skip
    out.print(table if rows else "no tickets wait")


async def _waiting(limit: int) -> list[Queued]:
    settings = read_settings()
    url = settings.state_url or _served_state(settings.var_dir)
    redis = connect(url)
    try:
        return await TicketQueue(redis, Keyspace(settings.state_prefix)).waiting(limit)
    except StateUnavailable as error:
        fail(f"no state server at {url}: {error}")
    finally:
        await redis.aclose()


def _served_state(var_dir: Path) -> str:
    from app.engine.rundir import run_directory  # noqa: PLC0415

    return f"unix://{run_directory(var_dir)}/valkey.sock"


add_evaluate(app)
