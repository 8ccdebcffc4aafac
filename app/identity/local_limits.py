"""The same limits for one process alone, for the time Redis is away."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from app.identity.limit_scripts import ADMITTED, CONCURRENCY, REQUESTS, TOKENS, WINDOW_SECONDS

MAX_KEYS = 10_000


@dataclass(slots=True)
class _Bucket:
    second: int
    requests: int = 0
    tokens: int = 0


@dataclass(slots=True)
class _Window:
    buckets: deque[_Bucket] = field(default_factory=deque)
    requests: int = 0
    tokens: int = 0

    def roll(self, now: int) -> None:
        while self.buckets and self.buckets[0].second < now - WINDOW_SECONDS:
            old = self.buckets.popleft()
            self.requests -= old.requests
            self.tokens -= old.tokens

    def add(self, now: int, tokens: int) -> None:
        if not self.buckets or self.buckets[-1].second < now:
            self.buckets.append(_Bucket(now))
        self.buckets[-1].requests += 1
        self.buckets[-1].tokens += tokens
        self.requests += 1
        self.tokens += tokens


class LocalLimits:
    """Sees every admission of this process, so that an outage does not start with an empty window.

    Times are seconds of a monotonic clock.
    """

    def __init__(self) -> None:
        self._windows: OrderedDict[str, _Window] = OrderedDict()
        self._live: dict[str, int] = {}

    def check(self, key_id: str, limits: tuple[int, int, int], tokens: int, now: float) -> tuple[int, float]:
        """(ADMITTED, 0) or (which limit, seconds until there is room). `limits`: -1 means none."""
        requests_max, tokens_max, slots = limits
        if 0 <= slots <= self._live.get(key_id, 0):
            return CONCURRENCY, 1.0
        window = self._windows.get(key_id)
        if window is None:
            return ADMITTED, 0.0
        window.roll(int(now))
        waits = [(0.0, ADMITTED)]
        if 0 <= requests_max < window.requests + 1:
            excess = window.requests + 1 - requests_max
            waits.append((_wait(window, [b.requests for b in window.buckets], excess, now), REQUESTS))
        if 0 <= tokens_max < window.tokens + tokens:
            excess = window.tokens + tokens - tokens_max
            waits.append((_wait(window, [b.tokens for b in window.buckets], excess, now), TOKENS))
        wait, which = max(waits)
        return which, wait

    def note(self, key_id: str, tokens: int, now: float) -> None:
        """Count an admitted request, wherever it was admitted."""
        window = self._windows.get(key_id)
        if window is None:
            window = self._windows[key_id] = _Window()
            if len(self._windows) > MAX_KEYS:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(key_id)
            window.roll(int(now))
        window.add(int(now), tokens)
        self._live[key_id] = self._live.get(key_id, 0) + 1

    def settle(self, key_id: str, second: float, delta: int) -> None:
        """The request admitted at `second` ended; `delta`: tokens used minus tokens reserved."""
        live = self._live.get(key_id, 0) - 1
        if live > 0:
            self._live[key_id] = live
        else:
            self._live.pop(key_id, None)
        window = self._windows.get(key_id)
        if delta == 0 or window is None:
            return
        for bucket in reversed(window.buckets):
            if bucket.second <= int(second):
                if bucket.second == int(second):
                    change = max(delta, -bucket.tokens)
                    bucket.tokens += change
                    window.tokens += change
                return


def _wait(window: _Window, held: list[int], excess: int, now: float) -> float:
    for bucket, amount in zip(window.buckets, held, strict=True):
        excess -= amount
        if excess <= 0:
            return bucket.second + WINDOW_SECONDS + 1 - now
    return float(WINDOW_SECONDS + 1)
