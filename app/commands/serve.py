"""`atelier serve`: the whole service on one machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import typer

from adapters.base_model.serving import DEFAULT_MODEL_FLAGS, cpu_settings
from app.commands.client import err, fail, out, read_settings
from app.config import Settings
from app.engine.children import ServePlan, child_specs, engine_processes, prepare
from app.engine.childspec import Event, Kind, StartFailed
from app.engine.rundir import AlreadyRunning, RunDirError, clear_sockets, run_directory, serve_lock
from app.engine.supervisor import Supervisor, stop_on_signals
from app.state.embedded import valkey_argv, valkey_binary

READY_SECONDS = 900.0


def serve() -> None:
    """Start state server, engine, agent and gateway; print how to talk to them; Ctrl-C stops everything."""
    settings = read_settings()
    if not settings.engine_python.exists():
        fail(f"{settings.engine_python} is missing: `make serve` makes the engine's environment first.")
    try:
        with serve_lock(settings.var_dir):
            model = settings.model or _default_model(settings)
            plan = _plan(settings, model)
            clear_sockets(plan.run_dir)
            prepare(plan)
            asyncio.run(_run(settings, plan))
    except (AlreadyRunning, RunDirError, OSError) as error:
        fail(str(error))


def _default_model(settings: Settings) -> str:
    """The default chat model's folder, prepared at the first start."""
    folder = settings.var_dir.absolute() / "models"
    command = [
        str(settings.engine_python.absolute()), "-m", "adapters.base_model.prepare",
        "--out", str(folder), "--cache", str(settings.var_dir.absolute() / "cache"),
        "--variant", settings.model_variant,
    ]  # fmt: skip
    # Run from the folder that holds the `adapters` package: the engine's environment has no copy of it.
    root = Path(__file__).resolve().parents[2]
    if subprocess.run(command, cwd=root, check=False).returncode:
        fail("the default model could not be prepared (see above). ATELIER_MODEL may name any other model.")
    return str(folder / f"qwen2.5-0.5b-{settings.model_variant}")


def _plan(settings: Settings, model: str) -> ServePlan:
    run_dir = run_directory(settings.var_dir)
    tuned = cpu_settings(len(os.sched_getaffinity(0)), settings.engine_python)
    return ServePlan(
        environ=os.environ,
        run_dir=run_dir,
        log_dir=settings.var_dir / "log",
        valkey_argv=()
        if settings.state_url
        else tuple(valkey_argv(valkey_binary(), _made(settings.var_dir / "state"), run_dir / "valkey.sock")),
        valkey_socket=run_dir / "valkey.sock",
        engine_python=settings.engine_python,
        model=model,
        engines=engine_processes(run_dir, settings.engine_count),
        engine_flags=(
            *tuned.flags,
            *(() if settings.model else DEFAULT_MODEL_FLAGS),
            *shlex.split(settings.engine_args),
        ),
        engine_env=tuned.env,
        # Besides the private folder of the socket, so that no other user of this machine gets in by its path.
        engine_token=settings.engine_token.get_secret_value() or secrets.token_urlsafe(32),
        adapter_root=settings.adapter_root,
        atelier=(sys.executable, "-m", "app.cli"),
        settings={"ATELIER_VAR_DIR": str(settings.var_dir.absolute())},
        gateway_address=(settings.host, settings.port),
        drain_seconds=settings.drain_seconds,
        max_loras=settings.max_loras,
        max_cpu_loras=settings.max_cpu_loras,
        max_lora_rank=settings.max_lora_rank,
        max_model_len=settings.max_model_len,
    )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder.absolute()


async def _run(settings: Settings, plan: ServePlan) -> None:
    supervisor = Supervisor(child_specs(plan), _print_event, plan.run_dir)
    with stop_on_signals(supervisor):
        running = asyncio.create_task(supervisor.run())
        announcing = asyncio.create_task(_announce(settings, supervisor, plan))
        await running
        announcing.cancel()
        await asyncio.gather(announcing, return_exceptions=True)


def _print_event(event: Event) -> None:
    style = {Kind.READY: "green", Kind.CRASH_LOOP: "red", Kind.FAILED: "red", Kind.ERROR: "red"}.get(
        event.kind, "dim"
    )
    err.print(event.line, style=style, highlight=False, soft_wrap=True)
    if event.kind in {Kind.CRASH_LOOP, Kind.FAILED}:
        for line in event.log_tail:
            err.print(f"    {line}", style="dim", highlight=False, markup=False, soft_wrap=True)


async def _announce(settings: Settings, supervisor: Supervisor, plan: ServePlan) -> None:
    """Say how to use the service as soon as it can be used."""
    try:
        await supervisor.wait_ready()
    except StartFailed as failure:
        err.print(f"[red]error:[/red] {failure}", highlight=False, soft_wrap=True)
        supervisor.stop()
        return
    url = f"http://{settings.host}:{settings.port}"
    async with httpx.AsyncClient(base_url=url, timeout=5.0) as client:
        waiting: Mapping[str, object] = {}
        for _ in range(int(READY_SECONDS)):
            try:
                answer = await client.get("/readyz")
            except httpx.TransportError:
                await asyncio.sleep(1.0)
                continue
            if answer.is_success:
                break
            if answer.json() != waiting:
                waiting = answer.json()
                err.print(f"gateway: waiting for {', '.join(answer.json()['waiting_for'])}", style="dim")
            await asyncio.sleep(1.0)
        else:
            err.print(f"[red]error:[/red] not ready after {READY_SECONDS:.0f} s; see {plan.log_dir}")
            return
    # Plain lines without wrapping, so that the command can be copied as it is.
    out.print(_usage(settings, plan, url), markup=False, highlight=False, soft_wrap=True)


def _usage(settings: Settings, plan: ServePlan, url: str) -> str:
    key_file = settings.admin_key_path
    lines = [
        "",
        "Atelier is ready",
        f"gateway   {url}   (OpenAPI: {url}/docs, metrics: {url}/metrics)",
        f"engine    {len(plan.engines)} × vLLM, {plan.model}",
        f"state     {'Valkey, on a private socket' if plan.valkey_argv else settings.state_url}",
        f"logs      {plan.log_dir}   data: {settings.var_dir}",
        f"key       {key_file}   (admin; make others with `atelier keys create`)",
        "",
        f'curl {url}/v1/chat/completions -H "Authorization: Bearer $(cat {key_file})" \\',
        "  -H 'Content-Type: application/json' \\",
        '  -d \'{"model": "bank", "messages": [{"role": "user", "content": "你好，你能帮我做什么？"}]}\'',
        "",
        "Ctrl-C stops everything.",
    ]
    return "\n".join(lines)


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(serve)
