"""Running the gateway: uvicorn, with a drain that load balancers can see."""

from __future__ import annotations

import asyncio
import logging
import signal
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from app.config import Settings
from app.http_head import BoundedHead
from app.main import create_app

if TYPE_CHECKING:
    from fastapi import FastAPI

log = logging.getLogger("atelier.server")


class DrainingServer(uvicorn.Server):
    """On SIGTERM first says "not ready" for `lead` seconds, then stops listening and lets answers finish."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, lead: float) -> None:
        super().__init__(config)
        self._app = app
        self._lead = lead

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal begins the drain; a second one ends the lead, a second Ctrl-C the drain as well."""
        # Not the parent's: it raises the signal again at the end, and an orderly stop would look like a kill.
        gateway = getattr(self._app.state, "gateway", None)
        if gateway is None or gateway.draining:
            self.force_exit = self.force_exit or (self.should_exit and sig == signal.SIGINT)
            self.should_exit = True
            return
        gateway.draining = True
        log.info("draining: not ready from now on")
        asyncio.get_running_loop().call_later(self._lead, self._stop)

    def _stop(self) -> None:
        self.should_exit = True


def run_gateway(settings: Settings) -> None:
    """Serve until a signal ends it."""
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=BoundedHead,
        ws="none",
        access_log=False,
        # Nothing here uses a client's address.
        proxy_headers=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=round(settings.drain_seconds),
        timeout_keep_alive=75,
    )
    DrainingServer(config, app, settings.drain_lead_seconds).run()
