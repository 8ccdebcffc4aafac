"""`/healthz`, `/readyz`, `/metrics`: for the machine that runs the gateway."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.api.access import gateway_of

router = APIRouter(tags=["operations"])


@router.get("/healthz", response_class=PlainTextResponse, summary="The process lives")
async def healthz() -> str:
    """Always `ok` while the event loop turns."""
    return "ok\n"


@router.get("/readyz", summary="Requests may be sent here", responses={503: {"description": "Not now"}})
async def readyz(request: Request) -> Response:
    """200 when every required adapter is loaded and proved, 503 with the reasons otherwise."""
    missing = gateway_of(request).not_ready()
    body: dict[str, Any] = {"ready": not missing, "waiting_for": missing}
    return JSONResponse(body, status_code=503 if missing else 200)


@router.get("/metrics", response_class=PlainTextResponse, summary="Prometheus metrics")
async def metrics(request: Request) -> Response:
    """The catalogue in docs/metrics.md."""
    return Response(generate_latest(gateway_of(request).metrics.registry), media_type=CONTENT_TYPE_LATEST)
