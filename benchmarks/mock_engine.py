"""An engine that answers at once, for measuring what the gateway adds and nothing else.

    python -m benchmarks.mock_engine --port 9000 --version bench@0123456789ab

It speaks as much of vLLM's API as a gateway uses, with vLLM's chunk format. `max_tokens` of a request is the
number of chunks (or of counted tokens) of its answer, each chunk in a write of its own; `seed` is the pause
between two chunks in microseconds. Prompts are not read. Never a stand-in for vLLM in a test.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import cast

import orjson
import uvloop

EPOCH = "0" * 16
MODEL_CONFIG = {"model_type": "mock", "hidden_size": 1, "num_hidden_layers": 1}
PROMPT_TOKENS = 20
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_IDENTITY = b'"id":"chatcmpl-0123456789abcdef0123456789abcdef","created":1700000000,"model":"base"'
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)


def base_description() -> dict[str, object]:
    """What `GET /atelier/base` answers."""
    return {
        "model": "base",
        "fingerprint": "0" * 64,
        "config": MODEL_CONFIG,
        "max_lora_rank": 64,
        "max_loras": 4,
        "max_cpu_loras": 16,
        "epoch": EPOCH,
    }


def answer(tokens: int) -> bytes:
    """A whole answer, as the body of one response."""
    usage = _usage(tokens)
    return (
        b"{" + _IDENTITY + b',"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant",'
        b'"content":"Good morning, how can I help you?","refusal":null,"tool_calls":[]},"logprobs":null,'
        b'"finish_reason":"length","stop_reason":null}],"usage":' + usage + b',"prompt_logprobs":null}'
    )


def chunk(number: int, last: bool) -> bytes:
    """One event of a stream."""
    delta = b'{"role":"assistant","content":"word "}' if number == 0 else b'{"content":"word "}'
    reason = b'"length"' if last else b"null"
    return (
        b"data: {" + _IDENTITY + b',"object":"chat.completion.chunk","choices":[{"index":0,"delta":'
        b"" + delta + b',"logprobs":null,"finish_reason":' + reason + b',"token_ids":null}]}\n\n'
    )


def stream_end(tokens: int) -> bytes:
    """The usage event and the end mark."""
    return (
        b"data: {" + _IDENTITY + b',"object":"chat.completion.chunk","choices":[],"usage":'
        b"" + _usage(tokens) + b"}\n\ndata: [DONE]\n\n"
    )


def _usage(tokens: int) -> bytes:
    return orjson.dumps(
        {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": tokens,
            "total_tokens": PROMPT_TOKENS + tokens,
        }
    )


def _response(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class MockEngine(asyncio.Protocol):
    """One connection. Requests on it come one after the other, as HTTP/1.1 clients without pipelining do."""

    def __init__(self, versions: tuple[str, ...]) -> None:
        residency = {"epoch": EPOCH, "adapters": versions, "running": 0, "waiting": 0}
        self._fixed = {
            b"/atelier/base": _response(orjson.dumps(base_description())),
            b"/atelier/residency": _response(orjson.dumps(residency)),
            b"/health": _response(b"{}"),
        }
        self._buffer = b""
        self._streaming: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        # uvloop's transports do not derive from asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone: stop writing to it."""
        if self._streaming is not None:
            self._streaming.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer as soon as a request is whole."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._buffer, 0, end)
        if length is not None:
            whole = end + 4 + int(length[1])
        elif self._buffer.startswith(b"GET"):
            whole = end + 4
        elif not self._buffer.endswith(b"0\r\n\r\n"):
            return  # A chunked body whose end has not come.
        else:
            whole = len(self._buffer)
        if len(self._buffer) < whole:
            return
        request, self._buffer = self._buffer[:whole], self._buffer[whole:]
        path = request.split(b" ", 2)[1]
        fixed = self._fixed.get(path)
        if fixed is not None:
            self._transport.write(fixed)
            return
        body = request[end + 4 :]
        self._complete(orjson.loads(body[body.find(b"{") : body.rfind(b"}") + 1]))

    def _complete(self, request: dict[str, object]) -> None:
        tokens = int(str(request.get("max_tokens") or request.get("max_completion_tokens") or 1))
        if not request.get("stream"):
            self._transport.write(_response(answer(tokens)))
            return
        self._streaming = asyncio.create_task(self._stream(tokens, int(str(request.get("seed") or 0)) / 1e6))

    async def _stream(self, tokens: int, pause: float) -> None:
        self._transport.write(_STREAM_HEAD)
        for number in range(tokens):
            self._transport.write(_framed(chunk(number, number == tokens - 1)))
            # Also without a pause the loop turns, so that every chunk is a write of its own.
            await asyncio.sleep(pause)
        self._transport.write(_framed(stream_end(tokens)) + b"0\r\n\r\n")


async def serve(host: str, port: int, versions: tuple[str, ...]) -> None:
    """Listen until cancelled."""
    make: Callable[[], asyncio.Protocol] = lambda: MockEngine(versions)  # noqa: E731
    server = await asyncio.get_running_loop().create_server(make, host, port)
    forever: Awaitable[None] = server.serve_forever()
    await forever


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--version", action="append", default=[], help="adapter it claims to hold")
    options = parser.parse_args()
    uvloop.run(serve("127.0.0.1", options.port, tuple(options.version)))


if __name__ == "__main__":
    main()
