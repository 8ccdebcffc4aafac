"""A bounded memory of looked-up keys, unknown ones included."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

Record = TypeVar("Record")

MAX_KNOWN = 20_000
MAX_UNKNOWN = 4_096
# Short: a key made a moment after someone tried it should work almost at once.
UNKNOWN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Known(Generic[Record]):
    """`record` None: there is no such key. `checked`: unix seconds of the look-up."""

    record: Record | None
    checked: float


class KeyCache(Generic[Record]):
    """Least-recently-used maps from a key's digest to what Redis said about it.

    Unknown keys have a map of their own, so that a flood of random keys cannot push out the real ones.
    """

    def __init__(self, known: int = MAX_KNOWN, unknown: int = MAX_UNKNOWN) -> None:
        self._known: OrderedDict[bytes, Known[Record]] = OrderedDict()
        self._unknown: OrderedDict[bytes, Known[Record]] = OrderedDict()
        self._max_known = known
        self._max_unknown = unknown
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._known) + len(self._unknown)

    def get(self, digest: bytes, now: float, max_age: float) -> Known[Record] | None:
        """The entry if it was checked less than `max_age` seconds before `now`."""
        entry = self._known.get(digest)
        if entry is not None:
            # An age below zero means that the clock was set back: check again.
            if not 0 <= now - entry.checked < max_age:
                return None
            self._known.move_to_end(digest)
            return entry
        entry = self._unknown.get(digest)
        if entry is not None and 0 <= now - entry.checked < min(max_age, UNKNOWN_SECONDS):
            return entry
        return None

    def put(self, digest: bytes, record: Record | None, checked: float) -> None:
        self._known.pop(digest, None)
        self._unknown.pop(digest, None)
        entries, limit = (
            (self._unknown, self._max_unknown) if record is None else (self._known, self._max_known)
        )
        entries[digest] = Known(record, checked)
        if len(entries) > limit:
            entries.popitem(last=False)

    def forget(self, digest: bytes) -> None:
        self._known.pop(digest, None)
        self._unknown.pop(digest, None)
        self.epoch += 1
