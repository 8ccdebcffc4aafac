"""Requests as bytes on a socket: what no HTTP client would send."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RawAnswer:
    """What came back: status 0 when the connection was closed without an answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def error(self) -> dict[str, Any]:
        """The OpenAI error object; AssertionError when the body is something else."""
        found = json.loads(self.body)["error"]
        assert found.keys() >= {"message", "type", "param", "code"}
        assert found["message"]
        assert isinstance(found, dict)
        return found


def send(port: int, pieces: Iterable[bytes], *, timeout: float = 60.0) -> RawAnswer:
    """Send `pieces` on one connection and read one answer; a refusal may come before all is sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return _read(connection)


def _read(connection: socket.socket) -> RawAnswer:
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65_536)
            if not piece:
                return RawAnswer(0, {}, data)
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        while len(body) < length:
            piece = connection.recv(65_536)
            if not piece:
                break
            body += piece
    except ConnectionResetError:
        return RawAnswer(0, {}, data)
    return RawAnswer(int(first.split()[1]), headers, body)


def request(
    method: str, path: str, *, headers: Iterable[tuple[str, str]] = (), body: bytes = b"", length: bool = True
) -> bytes:
    """One request; `content-length` unless `length` is False."""
    lines = [f"{method} {path} HTTP/1.1", "host: atelier", "connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    if length:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(total: int, size: int = 1 << 20) -> Iterable[bytes]:
    """The chunks of a body of `total` bytes whose length is not told beforehand."""
    chunk = b"%x\r\n" % size + b" " * size + b"\r\n"
    for _ in range(total // size):
        yield chunk
    yield b"0\r\n\r\n"
