"""Asking a child process whether it answers: HTTP and Redis, over a Unix socket or TCP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

Address = Path | tuple[str, int]
"""A Unix socket, or host and port."""


def http_ready(address: Address, *paths: str, token: str = "") -> Callable[[], Awaitable[bool]]:
    """A probe: does `GET path` answer 200, for every path? `token` is sent as the bearer, if there is one."""
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    requests = [
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{bearer}Connection: close\r\n\r\n".encode()
        for path in paths
    ]

    async def probe() -> bool:
        for request in requests:
            if (await _first_line(address, request)).split(b" ")[1:2] != [b"200"]:
                return False
        return True

    return probe


def redis_ready(address: Address) -> Callable[[], Awaitable[bool]]:
    """A probe: does PING answer? A server that still loads its data says no."""

    async def probe() -> bool:
        return await _first_line(address, b"*1\r\n$4\r\nPING\r\n") == b"+PONG\r\n"

    return probe


async def _first_line(address: Address, request: bytes) -> bytes:
    """The answer's first line; empty if nobody listens. The caller sets the time limit."""
    try:
        if isinstance(address, Path):
            reader, writer = await asyncio.open_unix_connection(address)
        else:
            reader, writer = await asyncio.open_connection(*address)
    except OSError:
        return b""
    try:
        writer.write(request)
        await writer.drain()
        return await reader.readline()
    except (OSError, ValueError):  # ValueError: a line without end, so not the protocol asked for
        return b""
    finally:
        writer.close()
