"""Requests and tokens per key, adapter version and day.

The counters grow in the same script that adds the audit records to the chain: usage is exactly what the audit
log says, neither lost nor counted twice by a crash.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
from redis.asyncio import Redis

from app.state.connection import guarded, text
from app.state.keyspace import Keyspace

COUNTERS = ("requests", "prompt_tokens", "completion_tokens")
MAX_DAYS = 400
# Tells chat records from control records without parsing either.
_CHAT = b'"kind":"chat"'


def day_of(unix_seconds: float) -> str:
    """yyyymmdd, UTC."""
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y%m%d")


def increments(bodies: list[bytes]) -> Counter[tuple[str, str]]:
    """(day, field) to increment, for the chat events among canonical `bodies`."""
    counts: Counter[tuple[str, str]] = Counter()
    for body in bodies:
        if _CHAT not in body:
            continue
        event = orjson.loads(body)
        if event.get("kind") != "chat":
            continue
        day = day_of(event["time"])
        # A key id holds no bar; a model's name may.
        who = f"{event['actor']}|{event.get('version') or event.get('model') or ''}"
        counts[day, f"{who}|requests"] += 1
        for name in COUNTERS[1:]:
            if amount := event.get(name):
                counts[day, f"{who}|{name}"] += amount
    return counts


async def read_usage(
    redis: Redis, day_from: date, day_to: date, key: str | None = None, *, names: Keyspace | None = None
) -> list[dict[str, Any]]:
    """Rows `{day, key, version, requests, prompt_tokens, completion_tokens}`, both days included.

    Raises ValueError for more than 400 days, StateUnavailable.
    """
    names = names or Keyspace()
    length = (day_to - day_from).days + 1
    if length > MAX_DAYS:
        raise ValueError(f"{length} days asked; ask for at most {MAX_DAYS}")
    days = [day_from + timedelta(days=n) for n in range(length)]
    with guarded("reading usage"):
        pipe = redis.pipeline(transaction=False)
        for day in days:
            pipe.hgetall(names.usage(day.strftime("%Y%m%d")))
        answers = await pipe.execute() if days else []
    return [row for day, fields in zip(days, answers, strict=True) for row in _rows(day, fields, key)]


def _rows(day: date, fields: dict[bytes, bytes], key: str | None) -> list[dict[str, Any]]:
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for field, amount in fields.items():
        who, _, counter = text(field).rpartition("|")
        actor, _, version = who.partition("|")
        if counter not in COUNTERS or (key is not None and actor != key):
            continue
        row = rows.setdefault(
            (actor, version),
            {"day": day.isoformat(), "key": actor, "version": version, **dict.fromkeys(COUNTERS, 0)},
        )
        row[counter] = int(amount)
    return [rows[who] for who in sorted(rows)]
