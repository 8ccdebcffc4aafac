"""What the audit log records, its canonical bytes, and the hash that chains them."""

from __future__ import annotations

import hmac
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

import orjson

Kind = Literal["chat", "control"]

GENESIS = bytes(32)
_MAX_JSON_INT = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One control action or one chat request.

    `actor`: key id. `action`: chat.completion, adapter.upload, key.create… `time`: unix seconds.
    `text_digest`: sha256 or HMAC, hex; `text` itself only where the policy says so.
    """

    kind: Kind
    actor: str
    action: str
    outcome: str
    subject: str | None = None
    request_id: str | None = None
    model: str | None = None
    version: str | None = None
    verdict: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    text_digest: str | None = None
    text: str | None = None
    details: Mapping[str, Any] | None = None
    time: float = field(default_factory=time.time)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def encode(self) -> bytes:
        """Canonical JSON: sorted names, no spaces, absent fields left out, one line."""
        fields = {name: value for name in _NAMES if (value := getattr(self, name)) is not None}
        try:
            return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
        except TypeError:
            # A lone surrogate, a huge number or a foreign type in client-made text must not stop the record.
            return orjson.dumps(_plain(fields), option=orjson.OPT_SORT_KEYS)


_NAMES = tuple(AuditEvent.__dataclass_fields__)


def _plain(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {str(_plain(str(k))): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and -_MAX_JSON_INT <= value < _MAX_JSON_INT:
        return value
    return _plain(repr(value))


@dataclass(frozen=True, slots=True)
class Record:
    """A link of the chain: `body` is the event's canonical JSON, `prev` the hash of link `seq` - 1."""

    seq: int
    prev: bytes
    hash: bytes
    body: bytes

    def to_dict(self) -> dict[str, Any]:
        event = orjson.loads(self.body)
        return {**event, "seq": self.seq, "prev": self.prev.hex(), "hash": self.hash.hex()}


def link_hash(seq: int, prev: bytes, body: bytes, secret: bytes | None) -> bytes:
    """sha256 over number, predecessor and body; HMAC-sha256 if there is a secret."""
    message = b"%d\n%s%s" % (seq, prev, body)
    return sha256(message).digest() if secret is None else hmac.digest(secret, message, "sha256")


def link(seq: int, prev: bytes, bodies: list[bytes], secret: bytes | None) -> list[Record]:
    """Chain `bodies` behind record `seq` whose hash is `prev`."""
    records = []
    for body in bodies:
        seq += 1
        digest = link_hash(seq, prev, body, secret)
        records.append(Record(seq, prev, digest, body))
        prev = digest
    return records
