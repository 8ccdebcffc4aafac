"""Lua scripts by digest."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha1
from typing import Any

import redis.exceptions as errors
from redis.asyncio import Redis

from app.state.lane import Lane


class Script:
    """A server-side script: sent once per server start, then called by its digest in one round trip."""

    __slots__ = ("digest", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self.digest = sha1(source.encode(), usedforsecurity=False).hexdigest()

    async def __call__(
        self, redis: Redis | Lane, keys: Sequence[str], arguments: Sequence[str | bytes | int | float]
    ) -> Any:
        """Run it. Raises redis-py's errors: wrap in `guarded`."""
        try:
            return await redis.evalsha(self.digest, len(keys), *keys, *arguments)
        except errors.NoScriptError:
            # The server was restarted or flushed its scripts; EVAL also caches it again.
            return await redis.eval(self.source, len(keys), *keys, *arguments)

    def post(
        self,
        lane: Lane,
        keys: Sequence[str],
        arguments: Sequence[str | bytes | int | float],
        *,
        whole: bool = False,
    ) -> asyncio.Future[Any] | None:
        """Send it without waiting, see `Lane.post`; `whole` after a NoScriptError."""
        command = ("EVAL", self.source) if whole else ("EVALSHA", self.digest)
        return lane.post(*command, len(keys), *keys, *arguments)
