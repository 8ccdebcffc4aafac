"""Heads of answers leave with their body, and without it where it comes later or never."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from app.http_head import BoundedHead

HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}
BODY = {"type": "http.response.body", "body": b"body"}


class App:
    """Sends its head at once and its body when `go` is set."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await send(dict(HEAD))
        if scope["path"] == "/late":
            await self.go.wait()
        await send(dict(BODY))


@contextlib.asynccontextmanager
async def served(app: App) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    config = uvicorn.Config(app, port=0, http=BoundedHead, lifespan="off", log_config=None, ws="none")
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname()[:2])
    try:
        async with asyncio.timeout(10):
            yield reader, writer
    finally:
        writer.close()
        server.should_exit = True
        await server.shutdown()


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\ncontent-length: 2\r\n"])
async def test_two_answers_on_one_connection(line: bytes) -> None:
    async with served(App()) as (reader, writer):
        for _ in range(2):
            writer.write(line + b"host: x\r\n\r\n" + (b"{}" if b"POST" in line else b""))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
            assert await reader.readexactly(4) == b"body"


async def test_a_head_does_not_wait_for_a_late_body() -> None:
    app = App()
    async with served(app) as (reader, writer):
        writer.write(b"GET /late HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        app.go.set()
        assert await reader.readexactly(4) == b"body"


async def test_a_head_without_a_body() -> None:
    async with served(App()) as (reader, writer):
        for _ in range(2):
            writer.write(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_client_that_asks_to_continue_is_answered_at_once() -> None:
    async with served(App()) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        assert await reader.readexactly(4) == b"body"


async def test_the_connection_ends_behind_the_answer_where_the_client_wants_it() -> None:
    async with served(App()) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"\r\n\r\nbody")
