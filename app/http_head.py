"""uvicorn's HTTP protocol with two changes: a bound on the head of a request, one write for that of an answer."""

from __future__ import annotations

import asyncio
from typing import cast

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

# Other servers allow 8 to 64 KiB; the longest honest head here is a key and a few idempotency headers.
MAX_HEAD_BYTES = 64 * 1024
_CONTINUE = b"HTTP/1.1 100 "


class HeadTooLarge(Exception):
    """More than `MAX_HEAD_BYTES` of request line and headers."""


class BoundedHead(HttpToolsProtocol):
    """uvicorn's protocol, which by itself keeps headers in memory for as long as they come."""

    # Bytes since the head began; None between heads. The parser tells of a header when it is whole, so one
    # header without end is seen only by counting what arrives, and many small ones in one read only by the
    # parser.
    _arrived: int | None = 0
    _told = 0

    def data_received(self, data: bytes) -> None:
        """Feed the parser, or end the connection."""
        if self._arrived is not None:
            if self._arrived > MAX_HEAD_BYTES:
                self.send_400_response(_refusal())
                return
            self._arrived += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A head begins; of the same read, what came before it does not count."""
        self._arrived = self._told = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: what follows is the body, which has a limit of its own."""
        self._arrived = None
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cycle.transport = cast(asyncio.Transport, _HeadWithBody(self.transport, self.loop))
        super()._start_asgi_task(cycle, app)

    def _count(self, size: int) -> None:
        self._told += size
        if self._told > MAX_HEAD_BYTES:
            # The parser turns it into the error that uvicorn answers with 400.
            raise HeadTooLarge(_refusal())


class _HeadWithBody:
    """Sends an answer's head together with what follows it in the same turn of the loop.

    uvicorn writes both by themselves: two system calls, and a client that wakes up for nothing.
    """

    __slots__ = ("_head", "_loop", "_transport", "_writing")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""
        self._writing = False

    def write(self, data: bytes) -> None:
        """Write, or keep the head for a moment."""
        if self._writing or data.startswith(_CONTINUE):
            self._transport.write(self._head + data if self._head else data)
            self._head = b""
            return
        self._writing = True
        self._head = data
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        """Close behind what was written."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """As the transport's."""
        return self._transport.is_closing()


def _refusal() -> str:
    return f"Request line and headers are larger than {MAX_HEAD_BYTES} bytes."
