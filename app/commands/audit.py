"""`atelier audit`: read and verify the audit log."""

from __future__ import annotations

import orjson
import typer

from app.commands.client import KeyOption, UrlOption, ask, connect, fail, out

app = typer.Typer(no_args_is_help=True, help="Read and verify the audit log.")


@app.command()
def verify(url: str = UrlOption, key: str = KeyOption) -> None:
    """Check the chain: finds a record that was changed, removed or moved."""
    with connect(url, key) as client:
        answer = ask(client, "GET", "/v1/audit/verify", timeout=600)
    if not answer["ok"]:
        fail(f"the audit log is broken at record {answer['first_bad_seq']}: {answer['problem']}")
    out.print(f"{answer['records']} records, the chain is whole", highlight=False)


@app.command()
def show(
    after: int = typer.Option(0, help="Only records after this sequence number."),
    limit: int = typer.Option(100, min=1, max=1000),
    action: str = typer.Option("", help="Only this action, e.g. chat.completion."),
    url: str = UrlOption,
    key: str = KeyOption,
) -> None:
    """Print records, one JSON object a line."""
    parameters = {"after": after, "limit": limit} | ({"action": action} if action else {})
    with connect(url, key) as client:
        for record in ask(client, "GET", "/v1/audit", params=parameters)["data"]:
            typer.echo(orjson.dumps(record))
