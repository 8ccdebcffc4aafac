"""`GET /v1/models`: what this key may name as `model`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from adapters.lifecycle import ROUTABLE
from app.api.access import allowed, gateway_of
from app.chat.route import unknown_model
from app.gateway import Gateway
from app.identity.keys import KeyRecord
from app.identity.scopes import Scope, has_scope

router = APIRouter(tags=["chat"])


def _entry(identity: str, created: float, kind: str, version: str | None) -> dict[str, Any]:
    return {
        "id": identity,
        "object": "model",
        "created": int(created),
        "owned_by": "atelier",
        "atelier": {"kind": kind, "version": version},
    }


def visible_models(gateway: Gateway, key: KeyRecord) -> list[dict[str, Any]]:
    """Assistants, and for keys with the scope `adapters` aliases and exact versions too."""
    snapshot = gateway.view.current
    found = [
        _entry(name, gateway.started, "assistant", snapshot.aliases.get(assistant.adapter or ""))
        for name, assistant in gateway.assistants.loaded.assistants.items()
    ]
    if has_scope(key.scopes, Scope.ADAPTERS):
        taken = {entry["id"] for entry in found}
        found += [
            _entry(alias, gateway.started, "alias", version)
            for alias, version in snapshot.aliases.items()
            if alias not in taken
        ]
        found += [
            _entry(version, record.since, "version", version)
            for version, record in snapshot.adapters.items()
            if record.state in ROUTABLE
        ]
    return [entry for entry in found if key.allows_model(entry["id"])]


@router.get("/v1/models", summary="Models this key may use")
async def list_models(request: Request, key: KeyRecord = allowed("chat")) -> dict[str, Any]:
    """The list, in OpenAI's form."""
    return {"object": "list", "data": visible_models(gateway_of(request), key)}


@router.get("/v1/models/{model}", summary="One model")
async def get_model(model: str, request: Request, key: KeyRecord = allowed("chat")) -> dict[str, Any]:
    """One model, or 404."""
    for entry in visible_models(gateway_of(request), key):
        if entry["id"] == model:
            return entry
    raise unknown_model(model)
