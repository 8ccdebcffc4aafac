"""`/v1/keys` and `/v1/usage`: make, list, revoke keys; what each has used."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from app.api.access import allowed, gateway_of
from app.errors import ApiError, bad_request
from app.identity.keys import KeyRecord, Limits, UnknownKeyId
from app.identity.scopes import resolve_scopes
from app.record.control_events import control_event

router = APIRouter(prefix="/v1", tags=["keys"])

Words = Annotated[list[Annotated[str, Field(min_length=1, max_length=128)]], Field(max_length=256)]
Count = Annotated[int, Field(ge=1, le=10**12)]


class KeyRequest(BaseModel):
    """Body of `POST /v1/keys`. `expires` is unix seconds."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    name: Annotated[str, Field(min_length=1, max_length=200)]
    scopes: Words = []
    roles: Words = []
    models: Words = []
    expires: float | None = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    concurrency: Count | None = None


def _shown(record: KeyRecord) -> dict[str, Any]:
    return {
        "object": "key",
        "id": record.id,
        "name": record.name,
        "scopes": sorted(record.scopes),
        "models": list(record.models),
        "limits": asdict(record.limits),
        "created": record.created,
        "created_by": record.created_by,
        "expires": record.expires,
        "revoked": record.revoked,
    }


@router.post("/keys", status_code=201, summary="Make a key")
async def create(body: KeyRequest, request: Request, key: KeyRecord = allowed("admin")) -> dict[str, Any]:
    """The full key is in this answer and nowhere else."""
    gateway = gateway_of(request)
    try:
        scopes = resolve_scopes(body.scopes, body.roles)
        if not scopes:
            raise ValueError("give at least one scope or role")
        full, record = await gateway.keys.create(
            name=body.name,
            scopes=scopes,
            models=body.models,
            limits=Limits(body.requests_per_minute, body.tokens_per_minute, body.concurrency),
            expires=body.expires,
            created_by=key.id,
        )
    except ValueError as error:
        raise bad_request(f"{error}.") from None
    gateway.audit.record(control_event(key.id, "key.create", record.id, scopes=sorted(scopes)))
    return {**_shown(record), "key": full}


@router.get("/keys", summary="List keys")
async def list_keys(request: Request, key: KeyRecord = allowed("admin")) -> dict[str, Any]:
    """Every key, revoked ones too; never their secrets."""
    return {"object": "list", "data": [_shown(record) for record in await gateway_of(request).keys.list()]}


@router.delete("/keys/{key_id}", summary="Revoke a key")
async def revoke(key_id: str, request: Request, key: KeyRecord = allowed("admin")) -> dict[str, Any]:
    """Refused here at once and at every gateway within seconds."""
    gateway = gateway_of(request)
    try:
        record = await gateway.keys.revoke(key_id)
    except UnknownKeyId as error:
        raise ApiError(404, "key_not_found", f"{error}.", param="key_id") from None
    gateway.audit.record(control_event(key.id, "key.revoke", record.id))
    return _shown(record)


@router.get("/usage", summary="Requests and tokens per key, version and day")
async def usage(
    request: Request,
    since: date,
    until: date,
    key_id: str | None = None,
    key: KeyRecord = allowed("admin"),
) -> dict[str, Any]:
    """Days are UTC, both ends included."""
    gateway = gateway_of(request)
    try:
        rows = await gateway.audit.usage(since, until, key_id)
    except ValueError as error:
        raise bad_request(f"{error}.") from None
    return {"object": "list", "data": rows}
