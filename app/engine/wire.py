"""HTTP/1.1 to one engine over kept connections: a POST and its answer, nothing else.

On every request's and every streamed chunk's way. A general client costs three times as much there: objects
for what an engine never uses, a task and timers a request, a queue between the socket and the reader.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import cast
from urllib.parse import urlsplit

import httptools

from adapters.engine_api import split_engine_url

CONNECT_SECONDS = 5.0
# Kept for the next request; a burst opens more and closes them at its end.
MAX_IDLE = 256
# A reader slower than its engine holds it back from here on.
HIGH_WATER = 256 * 1024


class ConnectionStale(ConnectionError):
    """A kept connection turned out to be closed before anything of the answer had come.

    It says nothing about the engine: it may have closed it for its age as it was used again.
    """


class Line(asyncio.Protocol):
    """One connection, one exchange at a time: `begin`, then `head`, then `read` until it gives nothing."""

    def __init__(self, home: Wire, loop: asyncio.AbstractEventLoop) -> None:
        self._home = home
        self._loop = loop
        self._transport: asyncio.Transport
        self._parser: httptools.HttpResponseParser
        self._waiter: asyncio.Future[None] | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._paused = False
        self._silence = 0.0
        self._heard = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._error: OSError | None = None
        self._used = 0
        self._answered = False
        self._whole = True
        self._left = False
        self._lasting = False
        self._closed = False
        self.status = 0

    # The event loop's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        # uvloop's transports do not derive from asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The engine closed it, or we did."""
        self._closed = True
        self._home.forget(self)
        if not self._whole:
            kind = ConnectionStale if self._used > 1 and not self._answered else ConnectionResetError
            self._fail(kind(str(exc or "the engine closed the connection")))

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer."""
        self._heard = self._loop.time()
        self._answered = True
        if self._whole:
            self._transport.abort()  # Nothing was asked: what follows could not be told from a later answer.
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionAbortedError(f"not HTTP: {error}"))
            self.abort()
            return
        if self._size > HIGH_WATER and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    # The parser's side.

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self.status = self._parser.get_status_code()
        # Asked here: at the end of a message the parser has forgotten it.
        self._lasting = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """A piece of the body, without its framing."""
        self._parts.append(body)
        self._size += len(body)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        self._whole = self.status >= 200
        if self._left:
            self._keep_or_close()

    # The caller's side.

    def begin(self, request: bytes, silence: float) -> None:
        """Send a whole request. `silence`: seconds without a byte after which reading raises TimeoutError."""
        self._used += 1
        self._parser = httptools.HttpResponseParser(self)
        self._parts.clear()
        self._size = self.status = 0
        self._answered = self._whole = False
        self._error = None
        self._silence = silence
        self._heard = self._loop.time()
        self._transport.write(request)

    async def head(self) -> int:
        """The answer's status. Raises ConnectionStale, OSError."""
        while self.status < 200:
            await self._more()
        return self.status

    async def read(self) -> bytes:
        """What has come of the body since the last call, at least something; nothing at its end. Raises OSError."""
        if self._paused and not self._closed:
            self._paused = False
            self._heard = self._loop.time()
            self._transport.resume_reading()
        while not self._parts:
            if self._whole:
                return b""
            await self._more()
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._size = 0
        return data

    def hold(self) -> None:
        """Leave what comes to the operating system until the next `read`."""
        if not self._paused and not self._whole and not self._closed:
            self._paused = True
            self._transport.pause_reading()

    def end(self, *, complete: bool = False) -> None:
        """The caller is done with this answer. If it is not whole this closes the connection, and so makes the
        engine stop generating; `complete`: unless only the frame around the answer can still be missing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if complete and not self._whole and not self._paused:
            self._left = True
        else:
            self._keep_or_close()

    def _keep_or_close(self) -> None:
        self._left = False
        if self._whole and not self._closed and self._lasting:
            if self._paused:
                self._paused = False
                self._transport.resume_reading()
            self._home.take_back(self)
        else:
            self.abort()

    def abort(self) -> None:
        """Close it at once; who reads from it gets an error."""
        if not self._whole:
            self._whole = True
            self._fail(ConnectionAbortedError("the connection was closed here"))
        if not self._closed:
            self._closed = True
            self._transport.abort()

    @property
    def closed(self) -> bool:
        """Whether it cannot be used any more."""
        return self._closed or self._transport.is_closing()

    async def _more(self) -> None:
        if self._error is not None:
            raise self._error
        if self._timer is None:
            self._timer = self._loop.call_later(self._silence, self._listen)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._error is not None and not self._parts:
            raise self._error

    def _listen(self) -> None:
        # One timer an answer: set again for the time that is left, not once for every piece.
        left = self._heard + self._silence - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._listen)
            return
        self._timer = None
        if self._waiter is not None:
            self._fail(TimeoutError(f"the engine was silent for {self._silence:g} seconds"))

    def _fail(self, error: OSError) -> None:
        self._error = self._error or error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Wire:
    """The connections to the engine at `http://…`, `https://…` or `unix:///path`. Raises ValueError for another."""

    def __init__(self, url: str, token: str) -> None:
        self._socket, base = split_engine_url(url)
        parts = urlsplit(base)
        self._host, self._path = parts.hostname or "", parts.path
        self._ssl = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._ssl else 80)
        lines = [f"host: {parts.netloc.rpartition('@')[2]}", "content-type: application/json"]
        if token:
            lines.append(f"authorization: Bearer {token}")
        self._head = "\r\n".join(lines)
        self._idle: list[Line] = []
        self._all: set[Line] = set()

    async def post(self, path: str, payload: bytes, silence: float) -> Line:
        """Send `payload` as JSON; the connection, on which the answer comes: its `end` must be called.

        Raises OSError when there is no connection to be had; TimeoutError is one.
        """
        line = self._kept() or await self._open()
        head = f"POST {self._path}{path} HTTP/1.1\r\n{self._head}\r\ncontent-length: {len(payload)}\r\n\r\n"
        line.begin(head.encode("latin-1") + payload, silence)
        return line

    def _kept(self) -> Line | None:
        while self._idle:
            # The one used last: the others may grow old and be closed by the engine.
            line = self._idle.pop()
            if not line.closed:
                return line
        return None

    async def _open(self) -> Line:
        loop = asyncio.get_running_loop()

        def make() -> Line:
            return Line(self, loop)

        async with asyncio.timeout(CONNECT_SECONDS):
            if self._socket is not None:
                _, line = await loop.create_unix_connection(make, self._socket)
            else:
                _, line = await loop.create_connection(make, self._host, self._port, ssl=self._ssl)
        self._all.add(line)
        return line

    def take_back(self, line: Line) -> None:
        """Keep `line` for the next request."""
        if len(self._idle) < MAX_IDLE:
            self._idle.append(line)
        else:
            line.abort()

    def forget(self, line: Line) -> None:
        """`line` is closed."""
        self._all.discard(line)
        if line in self._idle:
            self._idle.remove(line)

    def close(self) -> None:
        """Close every connection, those in use as well."""
        for line in list(self._all):
            line.abort()
        self._idle.clear()
