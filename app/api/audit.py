"""`/v1/audit`: read the audit log, verify its chain."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from app.api.access import allowed, gateway_of
from app.identity.keys import KeyRecord

router = APIRouter(prefix="/v1/audit", tags=["audit"])

Seconds = Annotated[float, Query(ge=0, le=10**11, allow_inf_nan=False)]
Word = Annotated[str, Query(max_length=128)]


@router.get("", summary="Read audit records")
async def query(
    request: Request,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    kind: Word | None = None,
    actor: Word | None = None,
    action: Word | None = None,
    since: Seconds | None = None,
    until: Seconds | None = None,
    key: KeyRecord = allowed("audit"),
) -> dict[str, Any]:
    """Records in order of the chain, those after sequence number `after`. Times are unix seconds."""
    audit = gateway_of(request).audit
    await audit.flush()
    records = await audit.query(
        after_seq=after, limit=limit, kind=kind, actor=actor, action=action, since=since, until=until
    )
    return {"object": "list", "data": records}


@router.get("/verify", summary="Verify the audit chain")
async def verify(request: Request, key: KeyRecord = allowed("audit")) -> dict[str, Any]:
    """Whether any record was changed, removed or moved; the first bad one if so."""
    audit = gateway_of(request).audit
    await audit.flush()
    return {"object": "audit.verification", **asdict(await audit.verify())}
