"""What every control route asks first: the caller's key and the scope the route needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from app.identity.keys import KeyRecord

if TYPE_CHECKING:
    from app.gateway import Gateway

# Only describes the scheme in the OpenAPI document; `require` does the checking and words the errors.
_bearer = HTTPBearer(auto_error=False, description="An Atelier API key.")


def gateway_of(connection: HTTPConnection) -> Gateway:
    """The gateway this application serves."""
    return cast("Gateway", connection.app.state.gateway)


def require(scope: str) -> Callable[[Request, object], Awaitable[KeyRecord]]:
    """A dependency that gives the caller's key record, which has `scope`. Raises ApiError 401, 403, 503."""

    async def authorised(request: Request, _shown: object = Security(_bearer)) -> KeyRecord:
        guard = gateway_of(request).guard
        return await guard.authorise(request.headers.get("authorization", ""), scope)

    # Read by the test that walks every route.
    authorised.scope = scope  # type: ignore[attr-defined]
    return authorised


def allowed(scope: str) -> KeyRecord:
    """`Depends(require(scope))`, typed as what it gives."""
    return cast(KeyRecord, Depends(require(scope)))
