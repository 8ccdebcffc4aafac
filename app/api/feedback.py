"""`POST /v1/feedback`: what a customer or an agent thought of an answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from app.api.access import allowed, gateway_of
from app.identity.keys import KeyRecord
from app.record.control_events import control_event
from guardrails.privacy.check import PrivacyCheck
from guardrails.privacy.rules import PrivacyFile

router = APIRouter(prefix="/v1/feedback", tags=["feedback"])


class FeedbackRequest(BaseModel):
    """Body of `POST /v1/feedback`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    request_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    rating: Literal["up", "down"] | None = None
    nps: Annotated[int, Field(ge=0, le=10)] | None = None
    correction: Annotated[str, Field(max_length=20_000)] | None = None


@router.post("", status_code=201, summary="Rate or correct an answer")
async def give(
    body: FeedbackRequest, request: Request, key: KeyRecord = allowed("feedback")
) -> dict[str, Any]:
    """Kept in the audit log beside the answer's own record; the correction's text only if the policy says so."""
    gateway = gateway_of(request)
    gateway.metrics.feedback.labels(body.rating or "none").inc()
    details: dict[str, object] = {"rating": body.rating, "nps": body.nps}
    if body.correction is not None:
        details["correction_characters"] = len(body.correction)
        if gateway.settings.audit_text:
            # Which assistant answered, and so which policy it has, is not known here: the shipped rules hold for all.
            details["correction"] = PrivacyCheck(PrivacyFile()).mask(body.correction)[0]
    gateway.audit.record(control_event(key.id, "feedback.create", body.request_id, **details))
    return {"object": "feedback", "request_id": body.request_id}
