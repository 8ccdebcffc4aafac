"""The measuring client: HTTP/1.1 over one kept connection, so thin that the servers are what is measured."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Self, cast
from urllib.parse import urlsplit

import orjson

ANSWER_SECONDS = 120.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests of one contender go."""

    name: str
    url: str
    headers: Mapping[str, str]
    model: str

    def request(self, body: Mapping[str, Any], path: str = "/v1/chat/completions") -> bytes:
        """A request in wire form, so that no time goes into encoding while the clock runs."""
        raw = orjson.dumps({"model": self.model, **body})
        head = {
            "host": urlsplit(self.url).netloc or "engine",
            "content-type": "application/json",
            "content-length": str(len(raw)),
            **self.headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + raw


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. Times in seconds from the request's write: to its first body byte, to its end."""

    status: int
    raw: bytes
    first: float
    total: float

    @property
    def events(self) -> int:
        """Events of a stream, its end mark not counted."""
        return self.raw.count(b"data: {")


class Connection(asyncio.Protocol):
    """One kept connection; one request at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._waiting: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._body = self._whole = 0
        self._chunked = False
        self._first = 0.0

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect to `http://host:port` or `unix:///path`. Raises OSError."""
        loop = asyncio.get_running_loop()
        parts = urlsplit(url)
        if parts.scheme == "unix":
            _, connection = await loop.create_unix_connection(cls, parts.path)
        else:
            _, connection = await loop.create_connection(cls, str(parts.hostname), int(parts.port or 80))
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        # uvloop's transports do not derive from asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server closed it: what waits for an answer fails."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError("closed in mid-answer"))

    def data_received(self, data: bytes) -> None:
        """Take bytes; wake the caller with the last of them."""
        self._buffer += data
        if not self._body:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._body = end + 4
            head = bytes(self._buffer[: end + 2])
            self._chunked = _CHUNKED.search(head) is not None
            length = _LENGTH.search(head)
            self._whole = self._body + (int(length[1]) if length else 0)
        if not self._first and len(self._buffer) > self._body:
            self._first = perf_counter()
        # No event of an answer ends like this: each ends with a blank line of its own.
        done = self._buffer.endswith(b"\r\n0\r\n\r\n") if self._chunked else len(self._buffer) >= self._whole
        if done and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def call(self, request: bytes) -> Reply:
        """Send and wait for the whole answer. Raises ConnectionError, TimeoutError, RuntimeError unless 200."""
        assert self._transport is not None
        self._buffer.clear()
        self._body, self._first = 0, 0.0
        self._waiting = asyncio.get_running_loop().create_future()
        started = perf_counter()
        self._transport.write(request)
        await self._waiting
        ended = perf_counter()
        status = int(self._buffer[9:12])
        raw = bytes(self._buffer[self._body :])
        if status != 200:
            raise RuntimeError(f"{status}: {raw[:500]!r}")
        return Reply(status, raw, self._first - started, ended - started)

    def close(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.close()


async def requests_per_second(target: Target, request: bytes, *, connections: int, seconds: float) -> float:
    """Answers per second of `connections` callers that each send the next request at the last one's end."""
    opened = [await Connection.open(target.url) for _ in range(connections)]
    try:
        started = perf_counter()
        deadline = started + seconds

        async def caller(connection: Connection) -> int:
            count = 0
            while perf_counter() < deadline:
                await connection.call(request)
                count += 1
            return count

        async with asyncio.timeout(seconds + ANSWER_SECONDS):
            counts = await asyncio.gather(*(caller(connection) for connection in opened))
        return sum(counts) / (perf_counter() - started)
    finally:
        for connection in opened:
            connection.close()
