"""Who calls, and whether they may: the bearer token of a request against the key ring and a scope."""

from __future__ import annotations

from app.errors import ApiError, unavailable
from app.identity.keys import InvalidKey, KeyRecord, KeyRing
from app.identity.scopes import has_scope
from app.state.connection import StateUnavailable


class Guard:
    """Turns an `Authorization` header into the caller's key record."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    async def authorise(self, authorization: str, scope: str) -> KeyRecord:
        """The caller's record. Raises ApiError 401 (no or bad key), 403 (no such scope), 503 (state down)."""
        scheme, _, presented = authorization.partition(" ")
        if scheme.lower() != "bearer" or not presented:
            raise ApiError(
                401, "missing_key", "No API key: send it as the header `Authorization: Bearer <key>`."
            )
        try:
            key = await self._keys.authenticate(presented.strip())
        except InvalidKey as error:
            raise ApiError(401, "invalid_key", str(error)) from None
        except StateUnavailable:
            raise unavailable(
                "state_down", "The key cannot be checked now: the state server is away."
            ) from None
        if not has_scope(key.scopes, scope):
            raise ApiError(403, "missing_scope", f"This key has no scope `{scope}`.")
        return key
