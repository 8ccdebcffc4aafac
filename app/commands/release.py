"""`atelier release`: which version an alias answers with."""

from __future__ import annotations

import typer
from rich.table import Table

from app.commands.client import KeyOption, UrlOption, ask, connect, out

app = typer.Typer(no_args_is_help=True, help="Which version an alias answers with.")


@app.command("set")
def set_(alias: str, version: str, url: str = UrlOption, key: str = KeyOption) -> None:
    """Point ALIAS to VERSION for all traffic, in one step."""
    with connect(url, key) as client:
        answer = ask(client, "POST", "/v1/releases", json={"alias": alias, "version": version})
    out.print(f"{alias}: {answer['previous'] or 'nothing'} → {answer['stable']}", highlight=False)


@app.command("list")
def list_(url: str = UrlOption, key: str = KeyOption) -> None:
    """List aliases and their versions."""
    with connect(url, key) as client:
        rows = ask(client, "GET", "/v1/releases")["data"]
    table = Table("alias", "stable")
    for row in rows:
        table.add_row(row["alias"], row["stable"])
    out.print(table)


@app.command("drop")
def drop(alias: str, url: str = UrlOption, key: str = KeyOption) -> None:
    """Remove ALIAS; its version stays loaded."""
    with connect(url, key) as client:
        ask(client, "DELETE", f"/v1/releases/{alias}")
    out.print(f"{alias} dropped", highlight=False)
