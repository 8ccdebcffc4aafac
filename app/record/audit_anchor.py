"""A link of the chain remembered outside Redis.

Whoever can write to Redis can cut the chain's tail and set the head record back; the anchor file still knows.
"""

from __future__ import annotations

import fcntl
import logging
from pathlib import Path

import orjson

from app.record.audit_chain import Head
from app.record.audit_event import GENESIS

log = logging.getLogger(__name__)


def read_anchor(path: Path) -> Head | None:
    """Raises ValueError for a damaged file, OSError."""
    try:
        fields = orjson.loads(path.read_bytes())
        digest = bytes.fromhex(fields["hash"])
        if len(digest) != len(GENESIS):
            raise ValueError("its hash is not 64 hex digits")
        return Head(int(fields["seq"]), digest)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"the audit anchor {path} is damaged: {error!r}") from error


def move_anchor(path: Path, head: Head) -> None:
    """Write `head` unless the file knows a later link. A damaged file is left as it is. Blocking."""
    with path.with_suffix(".lock").open("ab") as lock:
        # Several gateways share the file: without the lock, the slower one could put an older link back.
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            known = read_anchor(path)
        except ValueError:
            log.exception("audit: the anchor is left as it is")
            return
        if known is not None and known.seq >= head.seq:
            return
        draft = path.with_suffix(".new")
        draft.write_bytes(orjson.dumps({"seq": head.seq, "hash": head.hash.hex()}) + b"\n")
        draft.replace(path)
