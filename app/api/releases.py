"""`/v1/releases`: which version an alias answers with. Today a release is one step; gradual ones build on it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from app.api.access import allowed, gateway_of
from app.identity.keys import KeyRecord

router = APIRouter(prefix="/v1/releases", tags=["releases"])


class ReleaseRequest(BaseModel):
    """Body of `POST /v1/releases`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    alias: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    version: str = Field(max_length=80)


@router.post("", status_code=201, summary="Point an alias to a version")
async def release(
    body: ReleaseRequest, request: Request, key: KeyRecord = allowed("releases")
) -> dict[str, Any]:
    """All traffic of `alias` goes to `version` from now on; the former version stays loaded."""
    gateway = gateway_of(request)
    previous = await gateway.registry.set_alias(body.alias, body.version, key.id)
    await gateway.reread()
    return {
        "object": "release",
        "id": body.alias,
        "alias": body.alias,
        "stable": body.version,
        "previous": previous,
    }


@router.get("", summary="What every alias answers with")
async def list_releases(request: Request, key: KeyRecord = allowed("releases")) -> dict[str, Any]:
    """Aliases and their stable versions."""
    aliases = (await gateway_of(request).registry.snapshot()).aliases
    data = [
        {"object": "release", "id": alias, "alias": alias, "stable": version}
        for alias, version in sorted(aliases.items())
    ]
    return {"object": "list", "data": data}


@router.delete("/{alias}", summary="Drop an alias")
async def drop(alias: str, request: Request, key: KeyRecord = allowed("releases")) -> dict[str, Any]:
    """Its version stays loaded, and can be deleted from now on."""
    gateway = gateway_of(request)
    version = await gateway.registry.drop_alias(alias, key.id)
    await gateway.reread()
    return {"object": "release", "id": alias, "alias": alias, "stable": None, "previous": version}
