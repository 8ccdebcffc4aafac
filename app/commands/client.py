"""The CLI's connection to a gateway, and how it tells a person what went wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import httpx
import typer
import yaml
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.console import Console

from app.config import Settings

out = Console()
err = Console(stderr=True)

UrlOption = typer.Option("", "--url", envvar="ATELIER_URL", help="Gateway address. Default: this machine's.")
KeyOption = typer.Option(
    "", "--key", envvar="ATELIER_KEY", help="API key. Default: the one in var/admin.key."
)


def fail(message: str, status: int = 1) -> NoReturn:
    """Say what is wrong and stop with `status`."""
    err.print(f"[red]error:[/red] {message}", soft_wrap=True, highlight=False)
    raise typer.Exit(status)


def read_settings() -> Settings:
    """The settings. Ends the command with the wrong ones' names and what is wrong with each."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = [
            f"ATELIER_{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)
        ]
        fail("wrong settings (environment or atelier.yaml): " + "; ".join(wrong))
    except (SettingsError, yaml.YAMLError, OSError) as error:
        fail(f"the settings cannot be read: {error}")


def connect(url: str, key: str) -> httpx.Client:
    """A client of the gateway at `url`, with `key`; from the settings where they are empty."""
    settings = read_settings()
    base = url or f"http://{settings.host}:{settings.port}"
    secret = key or _admin_key(settings.admin_key_path)
    return httpx.Client(
        base_url=base, headers={"authorization": f"Bearer {secret}"}, timeout=httpx.Timeout(60.0, write=600.0)
    )


def _admin_key(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        fail(f"no API key: give --key or ATELIER_KEY, or run where {path} is ({Path.cwd()} has none).")


def ask(client: httpx.Client, method: str, path: str, **arguments: Any) -> dict[str, Any]:
    """One call; the JSON answer. Ends the command with the gateway's own words on an error."""
    try:
        response = client.request(method, path, **arguments)
    except httpx.TransportError as error:
        fail(f"no gateway answers at {client.base_url}: {error}. Is `make serve` running?")
    if response.is_success:
        answer: dict[str, Any] = response.json()
        return answer
    try:
        problem = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        fail(f"the gateway answered {response.status_code}: {response.text[:300]}")
    for entry in problem.get("problems", ()):
        err.print(f"  [yellow]{entry['code']}[/yellow] {entry['where']}: {entry['message']}", highlight=False)
    fail(f"{problem['message'][:600]} ({response.status_code}, {problem['code']})")
