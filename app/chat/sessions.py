"""What is remembered of a conversation between its requests: a few counts in the state server."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from redis.asyncio import Redis

from app.state.connection import StateUnavailable, guarded
from app.state.keyspace import Keyspace
from guardrails.message import Message
from guardrails.session import Session

log = logging.getLogger("atelier.sessions")

_FIELDS = ("unknown", "clarified", "warned", "refused")
_MAX_ID = 512


class Sessions:
    """Counts per session, forgotten some time after its last request."""

    def __init__(self, redis: Redis, names: Keyspace) -> None:
        self._redis = redis
        self._names = names

    async def read(self, session: str) -> Session:
        """The counts so far. While the state server is away every session is a new one."""
        if not session:
            return Session()
        try:
            with guarded("reading a session"):
                found = await self._redis.hmget(self._names.session(session), list(_FIELDS))
        except StateUnavailable as error:
            log.warning("session not read: %s", error)
            return Session()
        return Session(**{name: int(value or 0) for name, value in zip(_FIELDS, found, strict=True)})

    async def count(self, session: str, fields: Sequence[str], seconds: int, *, fresh: bool) -> None:
        """Add one to each of `fields`; `fresh`: the session begins with this request."""
        name = self._names.session(session)
        if not fields:
            return
        try:
            with guarded("counting in a session"):
                pipe = self._redis.pipeline(transaction=True)
                if fresh:
                    pipe.delete(name)
                for field in fields:
                    pipe.hincrby(name, field, 1)
                pipe.expire(name, seconds)
                await pipe.execute()
        except StateUnavailable as error:
            log.warning("session not counted: %s", error)


def session_of(
    body: Mapping[str, Any], messages: Sequence[Message], key_id: str, assistant: str
) -> tuple[str, bool]:
    """The session a request belongs to, and whether it begins with it.

    A client may name it (`metadata.session_id`); else it is its user and the conversation's first message,
    which every request of a conversation repeats.
    """
    metadata = body.get("metadata")
    named = metadata.get("session_id") if isinstance(metadata, dict) else None
    asked = [message.content for message in messages if message.role == "user"]
    if isinstance(named, str) and named:
        parts = ("named", named[:_MAX_ID])
    else:
        parts = ("begun", f"{body.get('user') or ''}\0{asked[0] if asked else ''}")
    digest = sha256("\0".join((key_id, assistant, *parts)).encode("utf-8", "surrogatepass")).hexdigest()
    return digest[:32], parts[0] == "begun" and len(asked) <= 1
