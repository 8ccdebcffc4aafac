"""`atelier adapters`: push, list, show, wait for, delete adapter versions."""

from __future__ import annotations

import hashlib
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import orjson
import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn
from rich.table import Table

from adapters.package import CARD, CONFIG, SIGNATURE, WEIGHTS, PackageError
from app.commands.client import KeyOption, UrlOption, ask, connect, err, fail, out

app = typer.Typer(no_args_is_help=True, help="Push, list, show, wait for, delete adapter versions.")

READY = frozenset({"ready", "candidate", "stable"})
ENDED = frozenset({"rejected", "draining", "retired", "collected"})


@app.command()
def push(
    directory: Path = typer.Argument(
        ..., help="Folder with adapter_config.json and adapter_model.safetensors."
    ),
    name: str = typer.Option(..., "--name", help="The adapter's name, e.g. fees."),
    wait: bool = typer.Option(True, help="Wait until the version answers."),
    timeout: float = typer.Option(120.0, help="How long to wait, in seconds."),
    url: str = UrlOption,
    key: str = KeyOption,
) -> None:
    """Upload an adapter; prints its version id."""
    for needed in (CONFIG, WEIGHTS):
        if not (directory / needed).is_file():
            fail(f"{directory / needed} is missing: an adapter folder is what PEFT's save_pretrained writes.")
    with connect(url, key) as client:
        answer = _upload(client, directory, name)
        for warning in answer["warnings"]:
            err.print(f"[yellow]warning:[/yellow] {warning['where']}: {warning['message']}", highlight=False)
        if wait:
            _wait(client, answer["id"], timeout)
    out.print(answer["id"], highlight=False)


def _upload(client: httpx.Client, directory: Path, name: str) -> dict[str, Any]:
    with (directory / WEIGHTS).open("rb") as weights:
        digest = hashlib.file_digest(weights, "sha256").hexdigest()
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(*columns, console=err))
        reader = stack.enter_context(
            progress.open(directory / WEIGHTS, "rb", description=f"uploading {directory.name}")
        )
        files: dict[str, Any] = {
            "config": (CONFIG, (directory / CONFIG).read_bytes(), "application/json"),
            "weights": (WEIGHTS, reader, "application/octet-stream"),
        }
        for part, filename in (("card", CARD), ("signature", SIGNATURE)):
            if (directory / filename).is_file():
                files[part] = (filename, (directory / filename).read_bytes(), "application/json")
        headers = {"x-content-sha256": digest, "idempotency-key": f"{name}-{digest}"}
        return ask(client, "POST", "/v1/adapters", data={"name": name}, files=files, headers=headers)


def _path(version: str) -> str:
    name, at, digest = version.partition("@")
    if not at or not digest:
        fail(f"{version} is not a version id; one looks like fees@0123456789ab.")
    return f"/v1/adapters/{name}/{digest}"


def _wait(client: httpx.Client, version: str, timeout: float) -> dict[str, Any]:
    deadline = time.monotonic() + timeout
    with err.status(f"{version}: waiting") as status:
        while True:
            answer = ask(client, "GET", _path(version))
            if answer["state"] in READY:
                return answer
            if answer["state"] in ENDED:
                fail(f"{version} is {answer['state']}: {answer['reason']}")
            if time.monotonic() > deadline:
                fail(
                    f"{version} is still {answer['state']} after {timeout:.0f} s; engines: {answer['engines']}"
                )
            status.update(f"{version}: {answer['state']}")
            time.sleep(0.1)


@app.command()
def wait(
    version: str,
    timeout: float = typer.Option(120.0, help="Seconds."),
    url: str = UrlOption,
    key: str = KeyOption,
) -> None:
    """Wait until a version answers."""
    with connect(url, key) as client:
        out.print(f"{version} is {_wait(client, version, timeout)['state']}", highlight=False)


@app.command("list")
def list_(
    name: str = typer.Argument("", help="Only this adapter's versions."),
    history: bool = typer.Option(False, help="Collected and rejected versions too."),
    url: str = UrlOption,
    key: str = KeyOption,
) -> None:
    """List adapter versions."""
    with connect(url, key) as client:
        parameters = {"history": history} | ({"name": name} if name else {})
        rows = ask(client, "GET", "/v1/adapters", params=parameters)["data"]
    table = Table("version", "state", "aliases", "size", "engines", "reason")
    table.columns[0].no_wrap = True
    for row in rows:
        engines = ", ".join(f"{engine} {held['state']}" for engine, held in row["engines"].items())
        table.add_row(
            row["id"],
            row["state"],
            ", ".join(row["aliases"]),
            f"{row.get('bytes', 0):,}",
            engines,
            row["reason"][:80],
        )
    out.print(table)


@app.command()
def show(version: str, url: str = UrlOption, key: str = KeyOption) -> None:
    """Show one version as JSON."""
    with connect(url, key) as client:
        out.print_json(orjson.dumps(ask(client, "GET", _path(version))).decode())


@app.command()
def delete(version: str, url: str = UrlOption, key: str = KeyOption) -> None:
    """Delete a version: it stops answering now, its files go once nothing uses them."""
    with connect(url, key) as client:
        answer = ask(client, "DELETE", _path(version))
    out.print(f"{version} is {answer['state']}", highlight=False)


@app.command()
def sign(
    directory: Path = typer.Argument(..., help="Folder with the adapter's files."),
    private_key: Path = typer.Option(..., help="Unencrypted PEM key on P-256, P-384 or P-521."),
) -> None:
    """Sign an adapter folder (OpenSSF model signing); `push` sends the signature along."""
    from adapters.signing import sign_package  # noqa: PLC0415 - takes 0.4 s to import

    try:
        (directory / SIGNATURE).write_bytes(sign_package(directory, private_key))
    except (PackageError, ValueError, OSError) as error:
        fail(str(error))
    out.print(f"{directory / SIGNATURE} written", highlight=False, soft_wrap=True)
