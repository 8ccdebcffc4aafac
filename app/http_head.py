"""A bound on what a client may send before its request's headers end."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Other servers allow 8 to 64 KiB; the longest honest head here is a key and a few idempotency headers.
MAX_HEAD_BYTES = 64 * 1024


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

    def _count(self, size: int) -> None:
        self._told += size
        if self._told > MAX_HEAD_BYTES:
            # The parser turns it into the error that uvicorn answers with 400.
            raise HeadTooLarge(_refusal())


def _refusal() -> str:
    return f"Request line and headers are larger than {MAX_HEAD_BYTES} bytes."
