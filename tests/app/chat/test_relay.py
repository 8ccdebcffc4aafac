"""Streams through a real connection: all of it arrives, in order, the first event at once, fast ones together."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from starlette.types import Message

from app.chat.events import StreamRewriter
from app.chat.generate import Attempt
from app.chat.relay import relay
from app.engine.pool import close_engine, open_engine

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def event(number: int, reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": f"{number} "}, "finish_reason": reason}
    return {"id": "x", "model": "base", "choices": [choice]}


def framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def streamed(count: int, pause: float, *, cut: bool = False) -> list[bytes]:
    """What `relay` sends of `count` events that come `pause` seconds apart."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        for number in range(count):
            writer.write(framed(b"data: " + orjson.dumps(event(number)) + b"\n\n"))
            await asyncio.sleep(pause)
        if not cut:
            writer.write(framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        writer.close()

    sent: list[bytes] = []

    async def send(message: Message) -> None:
        sent.append(message["body"])

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    engine = open_engine("e", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "")
    texts: list[str] = []
    rewriter = StreamRewriter(model="m", include_usage=False, rail=None, on_text=texts.append)
    try:
        async with asyncio.timeout(20):
            with Attempt(engine) as attempt:
                await attempt.begin("/", b"", 10)
                await relay(attempt, rewriter, send)
        assert texts == [f"{number} " for number in range(count)]
        return sent
    finally:
        await close_engine(engine)
        server.close()


@pytest.mark.parametrize("pause", [0.0, 0.002, 0.02])
async def test_every_event_arrives_in_order_at_every_pace(pause: float) -> None:
    sent = await streamed(40, pause)
    events = b"".join(sent).removesuffix(b"\n\n").split(b"\n\n")
    assert [orjson.loads(one[6:])["choices"][0]["delta"]["content"] for one in events] == [
        f"{number} " for number in range(40)
    ]


async def test_slow_events_leave_one_by_one_and_fast_ones_together() -> None:
    slow, fast = await streamed(10, 0.05), await streamed(60, 0.002)
    assert [one.count(b"data: ") for one in slow] == [1] * 10
    assert fast[0].count(b"data: ") == 1, "the first token does not wait for others"
    assert len(fast) < 45


async def test_a_stream_that_is_cut_is_an_error() -> None:
    with pytest.raises((EOFError, ConnectionError)):
        await streamed(5, 0.002, cut=True)
