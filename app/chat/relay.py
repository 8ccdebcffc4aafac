"""The events of an engine's stream on their way to the client."""

from __future__ import annotations

import asyncio

from starlette.types import Send

from app.chat.events import EventSplitter, StreamRewriter
from app.chat.generate import Attempt

# Events closer to one another than this leave a few at a time: nobody reads two hundred tokens a second one by
# one, and waking up for each of them is most of what a stream costs.
GATHER_SECONDS = 0.005
# Those that follow one another faster still come several at a time by themselves.
FASTEST_SECONDS = 0.0005


async def relay(attempt: Attempt, rewriter: StreamRewriter, send: Send, *, threaded: bool = False) -> None:
    """Pass events on as they come, those that came together in one piece. Raises EOFError on a cut.

    `threaded`: the rewriter may wait for another server, so it must not hold up the event loop.
    """
    splitter = EventSplitter()
    clock = asyncio.get_running_loop().time
    chunk, before = attempt.first, clock()
    while chunk:
        out = b""
        payloads = splitter.feed(chunk)
        for payload in payloads:
            if payload == b"[DONE]":
                attempt.complete = True
                break
            out += await asyncio.to_thread(rewriter.feed, payload) if threaded else rewriter.feed(payload)
        if out:
            await send({"type": "http.response.body", "body": out, "more_body": True})
        if attempt.complete:
            return
        now = clock()
        if FASTEST_SECONDS < (now - before) / (len(payloads) or 1) < GATHER_SECONDS:
            attempt.hold()
            await asyncio.sleep(GATHER_SECONDS)
        before = now
        chunk = await attempt.read()
    raise EOFError("the engine closed the stream without [DONE]")
