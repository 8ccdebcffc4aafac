"""`atelier gateway` and `atelier agent`: one process each, as `atelier serve` and Kubernetes start them."""

from __future__ import annotations

import asyncio

import typer

from app.commands.client import fail, read_settings
from app.config import Settings
from app.record.logs import set_up_logs


def gateway() -> None:
    """Run one gateway process (needs ATELIER_STATE_URL)."""
    # Imported here so that the other commands start without the web framework.
    from app.server import run_gateway  # noqa: PLC0415

    settings = _settings()
    set_up_logs(settings.log_level)
    run_gateway(settings)


def agent() -> None:
    """Run the node agent of one engine (needs ATELIER_STATE_URL, ATELIER_ENGINE_URL, ATELIER_ENGINE_ID)."""
    from app.node import run_node_agent  # noqa: PLC0415

    settings = _settings()
    if not settings.engine_url:
        fail("ATELIER_ENGINE_URL is not set: the agent does not know its engine.")
    set_up_logs(settings.log_level)
    asyncio.run(run_node_agent(settings))


def _settings() -> Settings:
    settings = read_settings()
    if not settings.state_url:
        fail("ATELIER_STATE_URL is not set: give the redis:// or unix:// URL of the state server.")
    return settings


def add(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(gateway)
    app.command()(agent)
