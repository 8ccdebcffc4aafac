"""`/v1/adapters`: upload, look at, delete adapter versions."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException

from adapters.intake import AdapterRejected, TakenIn
from adapters.lifecycle import State
from adapters.package import (
    CARD,
    CONFIG,
    MAX_CARD_BYTES,
    MAX_CONFIG_BYTES,
    MAX_SIGNATURE_BYTES,
    SIGNATURE,
    WEIGHTS,
    PackageFiles,
    is_name,
    is_version,
)
from adapters.problem import Problem
from adapters.snapshot import AdapterRecord, RegistrySnapshot
from app.api.access import allowed, gateway_of
from app.errors import ApiError, bad_request
from app.gateway import Gateway
from app.identity.keys import KeyRecord
from app.spool import spool_folder

router = APIRouter(prefix="/v1/adapters", tags=["adapters"])

_CHUNK = 1 << 20
_IDEMPOTENT_SECONDS = 24 * 3600
_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["name", "config", "weights"],
                    "properties": {
                        "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"},
                        "config": {"type": "string", "format": "binary", "description": CONFIG},
                        "weights": {"type": "string", "format": "binary", "description": WEIGHTS},
                        "card": {"type": "string", "format": "binary", "description": CARD},
                        "signature": {"type": "string", "format": "binary", "description": SIGNATURE},
                    },
                }
            }
        },
    }
}


@router.post("", status_code=201, summary="Upload an adapter version", openapi_extra=_UPLOAD)
async def upload(request: Request, key: KeyRecord = allowed("adapters")) -> Response:
    """Validate and store a package. 201 with the version id; 200 when these bytes are known already."""
    gateway = gateway_of(request)
    base = gateway.base_model()
    try:
        async with _form(request) as form, _spooled(gateway, form) as (name, files, weights_digest):
            _check_digest(request.headers.get("x-content-sha256"), weights_digest)
            taken = await gateway.intake.take(name, files, base, key.id)
    except AdapterRejected as rejected:
        gateway.metrics.uploads.labels("rejected").inc()
        raise _refusal(rejected.version, rejected.problems) from None
    except ApiError:
        gateway.metrics.uploads.labels("refused").inc()
        raise
    await _remember(gateway, request.headers.get("idempotency-key"), key, taken.record.version)
    gateway.metrics.uploads.labels("stored").inc()
    return JSONResponse(_taken(taken), 201 if taken.created else 200)


@router.get("", summary="List adapter versions")
async def list_versions(
    request: Request, name: str | None = None, history: bool = False, key: KeyRecord = allowed("adapters")
) -> dict[str, Any]:
    """Versions the registry holds; with `history` the collected and rejected ones too."""
    gateway = gateway_of(request)
    snapshot = await gateway.registry.snapshot()
    records = await gateway.registry.history() if history else tuple(snapshot.adapters.values())
    shown = [_shown(record, snapshot) for record in records if name in {None, record.name}]
    return {"object": "list", "data": sorted(shown, key=lambda entry: entry["since"])}


@router.get("/{name}", summary="Versions of one adapter")
async def list_of_name(name: str, request: Request, key: KeyRecord = allowed("adapters")) -> dict[str, Any]:
    """Every version of `name`. 404 when there never was one."""
    listed = await list_versions(request, name=name, history=True, key=key)
    if not listed["data"]:
        raise ApiError(404, "adapter_not_found", "There is no adapter of that name.", param="name")
    return listed


@router.get("/{name}/{version}", summary="One adapter version")
async def show(
    name: str, version: str, request: Request, key: KeyRecord = allowed("adapters")
) -> dict[str, Any]:
    """Its state, why it is there, and what each engine says of it."""
    gateway = gateway_of(request)
    record = await gateway.registry.get(_version_id(name, version))
    return _shown(record, await gateway.registry.snapshot())


@router.delete("/{name}/{version}", status_code=202, summary="Delete an adapter version")
async def delete(
    name: str, version: str, request: Request, key: KeyRecord = allowed("adapters")
) -> dict[str, Any]:
    """Stop routing to it now; engines and files let go of it once no running answer uses it."""
    gateway = gateway_of(request)
    identity = _version_id(name, version)
    await gateway.registry.start_drain(identity, key.id)
    await gateway.reread()
    return _shown(await gateway.registry.get(identity), gateway.view.current)


def _version_id(name: str, version: str) -> str:
    """Both `…/fees/0123456789ab` and `…/fees/fees@0123456789ab` name the same version."""
    identity = version if "@" in version else f"{name}@{version}"
    if not is_version(identity) or identity.partition("@")[0] != name:
        raise ApiError(404, "adapter_not_found", "There is no such adapter version.", param="version")
    return identity


@asynccontextmanager
async def _form(request: Request) -> AsyncIterator[FormData]:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise ApiError(415, "not_multipart", "Send multipart/form-data with the parts name, config, weights.")
    try:
        form = await request.form(max_files=4, max_fields=8, max_part_size=MAX_CARD_BYTES)
    except MultiPartException as error:
        raise bad_request(f"The multipart body is wrong: {error.message}", code="invalid_multipart") from None
    except ApiError:
        raise
    except Exception as error:
        # Starlette wraps the parser's own error types only partly.
        raise bad_request(f"The multipart body is wrong: {error}", code="invalid_multipart") from None
    try:
        yield form
    finally:
        await form.close()


@asynccontextmanager
async def _spooled(gateway: Gateway, form: FormData) -> AsyncIterator[tuple[str, PackageFiles, str]]:
    """The parts as package files; the weights in a temporary file beside the store, so that a move is cheap."""
    name = form.get("name")
    if not isinstance(name, str) or not is_name(name):
        raise bad_request(
            "`name` must be 1 to 63 characters of a-z, 0-9, _ and -, and begin with a letter or digit.",
            param="name",
        )
    config = await _small(form, "config", MAX_CONFIG_BYTES, needed=True)
    card = await _small(form, "card", MAX_CARD_BYTES)
    signature = await _small(form, "signature", MAX_SIGNATURE_BYTES)
    weights = form.get("weights")
    if not isinstance(weights, UploadFile):
        raise bad_request(f"`weights` is missing: send {WEIGHTS} as a file part.", param="weights")
    with spool_folder(gateway.spool_dir) as folder:
        path = folder / WEIGHTS
        digest = await _copy(weights, path)
        yield name, PackageFiles(config or b"", path, card, signature), digest


async def _small(form: FormData, part: str, limit: int, *, needed: bool = False) -> bytes | None:
    value = form.get(part)
    if value is None:
        if needed:
            raise bad_request(f"`{part}` is missing.", param=part)
        return None
    raw = value.encode() if isinstance(value, str) else await value.read(limit + 1)
    if len(raw) > limit:
        raise ApiError(413, "part_too_large", f"`{part}` is larger than {limit:,} bytes.", param=part)
    return raw


async def _copy(source: UploadFile, target: Path) -> str:
    """Write `source` to `target`; the sha256 of what was written. Off the event loop, a megabyte at a time."""
    digest = hashlib.sha256()

    def write() -> None:
        with target.open("wb") as out:
            while chunk := source.file.read(_CHUNK):
                digest.update(chunk)
                out.write(chunk)

    await asyncio.to_thread(write)
    return digest.hexdigest()


def _check_digest(claimed: str | None, actual: str) -> None:
    if claimed is not None and claimed.strip().lower() != actual:
        raise bad_request(
            f"x-content-sha256 says {claimed[:64]}, the weights that arrived have {actual}. Upload again.",
            param="x-content-sha256",
            code="digest_mismatch",
        )


async def _remember(gateway: Gateway, token: str | None, key: KeyRecord, version: str) -> None:
    """Bind an Idempotency-Key to the version it made. Raises ApiError 422 when it had made another one."""
    if token is None:
        return
    digest = hashlib.sha256(f"{key.id}:{token}".encode("utf-8", "replace")).hexdigest()
    name = gateway.keyspace.idempotency(digest)
    before = await gateway.redis.set(name, version, nx=True, get=True, ex=_IDEMPOTENT_SECONDS)
    if isinstance(before, bytes) and before.decode() != version:
        raise ApiError(
            422, "idempotency_key_reused", "This Idempotency-Key was used for another upload.",
            param="idempotency-key",
        )  # fmt: skip


def _refusal(version: str, problems: tuple[Problem, ...]) -> ApiError:
    return ApiError(
        422,
        "adapter_rejected",
        f"{version} was refused: {len(problems)} problem(s). " + " ".join(str(p) for p in problems)[:4000],
        details={"problems": [_problem(problem) for problem in problems]},
    )


def _problem(problem: Problem) -> dict[str, str]:
    return {"code": problem.code, "where": problem.where, "message": problem.message}


def _taken(taken: TakenIn) -> dict[str, Any]:
    return {
        "object": "adapter",
        "id": taken.record.version,
        "name": taken.record.name,
        "state": taken.record.state,
        "digest": taken.record.digest,
        "warnings": [_problem(warning) for warning in taken.warnings],
    }


def _shown(record: AdapterRecord, snapshot: RegistrySnapshot) -> dict[str, Any]:
    engines = {
        engine.id: {"state": held.state, "reason": held.reason}
        for engine in snapshot.live_engines()
        if (held := engine.adapters.get(record.version)) is not None
    }
    details = {name: value for name, value in record.record.items() if name != "card"}
    return {
        "object": "adapter",
        "id": record.version,
        "name": record.name,
        "state": record.state,
        "reason": record.reason,
        "since": record.since,
        "digest": record.digest,
        "aliases": snapshot.aliases_of(record.version),
        "engines": engines,
        **details,
        "card": _card(record),
    }


def _card(record: AdapterRecord) -> object:
    """The card, as far as it is one: a version refused for its card must still be shown."""
    if record.state is State.REJECTED:
        return None
    raw = record.record.get("card")
    return orjson.loads(raw) if raw else None
