"""`atelier keys`: make, list, revoke API keys; what they used."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import typer
from rich.table import Table

from app.commands.client import KeyOption, UrlOption, ask, connect, err, out

app = typer.Typer(no_args_is_help=True, help="Make, list, revoke API keys; what they used.")


@app.command()
def create(
    name: str = typer.Argument(..., help="Who or what the key is for."),
    role: list[str] = typer.Option([], help="user, trainer, operator, auditor or admin; may be repeated."),
    scope: list[str] = typer.Option([], help="chat, adapters, releases, feedback, audit or admin."),
    model: list[str] = typer.Option([], help="Only these models; `fees@*` is every version of fees."),
    days: float | None = typer.Option(None, help="Expires after so many days."),
    requests: int | None = typer.Option(None, help="Requests a minute."),
    tokens: int | None = typer.Option(None, help="Tokens a minute."),
    concurrency: int | None = typer.Option(None, help="Requests at the same time."),
    url: str = UrlOption,
    key: str = KeyOption,
) -> None:
    """Make a key; it is printed once and stored nowhere."""
    body = {
        "name": name,
        "roles": role if role or scope else ["user"],
        "scopes": scope,
        "models": model,
        "expires": None if days is None else time.time() + days * 86_400,
        "requests_per_minute": requests,
        "tokens_per_minute": tokens,
        "concurrency": concurrency,
    }
    with connect(url, key) as client:
        answer = ask(client, "POST", "/v1/keys", json=body)
    err.print(f"key {answer['id']} for {name}: {', '.join(answer['scopes'])}", highlight=False)
    out.print(answer["key"], highlight=False, soft_wrap=True)


@app.command("list")
def list_(url: str = UrlOption, key: str = KeyOption) -> None:
    """List keys."""
    with connect(url, key) as client:
        rows = ask(client, "GET", "/v1/keys")["data"]
    table = Table("id", "name", "scopes", "models", "limits", "state")
    for row in rows:
        limits = ", ".join(f"{name} {value}" for name, value in row["limits"].items() if value is not None)
        state = "revoked" if row["revoked"] else _expiry(row["expires"])
        table.add_row(
            row["id"], row["name"], ", ".join(row["scopes"]), ", ".join(row["models"]) or "all", limits, state
        )
    out.print(table)


def _expiry(expires: float | None) -> str:
    if expires is None:
        return "valid"
    when = datetime.fromtimestamp(expires, UTC)
    return f"{'expired' if when < datetime.now(UTC) else 'valid until'} {when:%Y-%m-%d %H:%M} UTC"


@app.command()
def revoke(key_id: str, url: str = UrlOption, key: str = KeyOption) -> None:
    """Revoke a key."""
    with connect(url, key) as client:
        ask(client, "DELETE", f"/v1/keys/{key_id}")
    out.print(f"{key_id} revoked", highlight=False)


@app.command()
def usage(
    days: int = typer.Option(7, min=1, max=92, help="How many days back."),
    url: str = UrlOption,
    key: str = KeyOption,
) -> None:
    """Requests and tokens per key, version and day."""
    today = datetime.now(UTC).date()
    parameters = {"since": str(today - timedelta(days=days - 1)), "until": str(today)}
    with connect(url, key) as client:
        rows = ask(client, "GET", "/v1/usage", params=parameters)["data"]
    table = Table(*(rows[0] if rows else ("no usage",)))
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    out.print(table)
