"""The client's side of HTTP/1.1 to an engine, against a server that answers byte for byte what a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine.wire import HIGH_WATER, ConnectionStale, Line, Wire

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Engine:
    """Answers each request with the next script: pieces to write, a pause before each; None closes."""

    def __init__(self, *scripts: list[bytes | None]) -> None:
        self.scripts = list(scripts)
        self.requests: list[bytes] = []
        self.connections = 0
        self.closed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.scripts:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                for piece in self.scripts.pop(0):
                    if piece is None:
                        writer.close()
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.closed.set()
            writer.close()


@contextlib.asynccontextmanager
async def wired(engine: Engine, token: str = "") -> AsyncIterator[Wire]:
    server = await asyncio.start_server(engine.serve, "127.0.0.1", 0)
    wire = Wire(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", token)
    try:
        async with asyncio.timeout(20):
            yield wire
    finally:
        wire.close()
        server.close()


def framed(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def whole(body: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join([OK[:-2], *lines, b"content-length: %d" % len(body), b"", body])


async def body_of(line: Line) -> bytes:
    assert await line.head() == 200
    parts = []
    while part := await line.read():
        parts.append(part)
    return b"".join(parts)


def cut(raw: bytes, at: list[int]) -> list[bytes | None]:
    places = sorted({0, *(place % (len(raw) + 1) for place in at), len(raw)})
    return [raw[start:end] for start, end in itertools.pairwise(places)]


@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(st.binary(min_size=1, max_size=300), max_size=6),
    at=st.lists(st.integers(0, 5000), max_size=12),
    chunked=st.booleans(),
)
def test_an_answer_is_the_same_wherever_it_was_cut(pieces: list[bytes], at: list[int], chunked: bool) -> None:
    body = b"".join(pieces)
    raw = CHUNKED + framed(*pieces) + b"0\r\n\r\n" if chunked else whole(body)

    async def run() -> None:
        engine = Engine(cut(raw, at), [whole(b"next")])
        async with wired(engine) as wire:
            for wanted in (body, b"next"):
                line = await wire.post("/v1/x", b"{}", 10)
                assert await body_of(line) == wanted
                line.end()
        assert engine.connections == 1

    asyncio.run(run())


async def test_what_is_sent() -> None:
    engine = Engine([whole(b"x")])
    async with wired(engine, token="t0k") as wire:
        (await wire.post("/v1/chat/completions", b'{"a":1}', 10)).end()
        await asyncio.wait_for(engine.closed.wait(), 5)
    (request,) = engine.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"authorization: Bearer t0k" in head
    assert b"content-type: application/json" in head
    assert body == b'{"a":1}'


async def test_a_unix_socket(tmp_path: Path) -> None:
    engine = Engine([whole(b"over a socket")])
    async with await asyncio.start_unix_server(engine.serve, tmp_path / "e.sock"):
        wire = Wire(f"unix://{tmp_path}/e.sock", "")
        line = await wire.post("/", b"", 10)
        assert await body_of(line) == b"over a socket"
        line.end()
        wire.close()


async def test_a_burst_opens_connections_and_the_next_one_uses_them() -> None:
    engine = Engine(*[[whole(b"%d" % n)] for n in range(30)])
    async with wired(engine) as wire:
        for _ in range(2):
            lines = await asyncio.gather(*(wire.post("/", b"", 10) for _ in range(15)))
            for line in lines:
                await body_of(line)
                line.end()
    assert engine.connections == 15


async def test_leaving_an_answer_closes_its_connection() -> None:
    engine = Engine([CHUNKED, framed(b"one")])
    async with wired(engine) as wire:
        line = await wire.post("/", b"", 10)
        assert await line.head() == 200
        line.end()
        await asyncio.wait_for(engine.closed.wait(), 5)
        assert line.closed


async def test_an_answer_whose_frame_is_late_does_not_cost_its_connection() -> None:
    engine = Engine([CHUNKED, framed(b"data: [DONE]\n\n"), b"0\r\n", b"\r\n"], [whole(b"second")])
    async with wired(engine) as wire:
        line = await wire.post("/", b"", 10)
        await line.head()
        while await line.read() != b"data: [DONE]\n\n":
            pass
        line.end(complete=True)
        await asyncio.sleep(0.05)
        line = await wire.post("/", b"", 10)
        assert await body_of(line) == b"second"
        line.end()
    assert engine.connections == 1


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([None], ConnectionResetError),
        ([OK + b"content-length: 10\r\n\r\nshort", None], ConnectionResetError),
        ([CHUNKED + framed(b"some"), None], ConnectionResetError),
        ([b"SSH-2.0-OpenSSH\r\n"], ConnectionAbortedError),
        ([CHUNKED + b"zz\r\n"], ConnectionAbortedError),
    ],
)
async def test_what_is_broken_off_or_not_http_is_an_error(
    script: list[bytes | None], error: type[OSError]
) -> None:
    async with wired(Engine(script)) as wire:
        line = await wire.post("/", b"", 10)
        with pytest.raises(error):
            await body_of(line)
        line.end()
        assert line.closed


async def test_a_kept_connection_that_was_closed_meanwhile_is_told_apart() -> None:
    engine = Engine([whole(b"x")], [None])
    async with wired(engine) as wire:
        line = await wire.post("/", b"", 10)
        await body_of(line)
        line.end()
        line = await wire.post("/", b"", 10)
        with pytest.raises(ConnectionStale):
            await line.head()
        line.end()
    assert engine.connections == 1


async def test_a_connection_closed_between_two_requests_is_not_used_again() -> None:
    engine = Engine([whole(b"x"), None], [whole(b"y")])
    async with wired(engine) as wire:
        for wanted in (b"x", b"y"):
            line = await wire.post("/", b"", 10)
            assert await body_of(line) == wanted
            line.end()
            await asyncio.sleep(0.05)
    assert engine.connections == 2


async def test_connection_close_is_honoured() -> None:
    engine = Engine([whole(b"x", b"connection: close")], [whole(b"y")])
    async with wired(engine) as wire:
        for wanted in (b"x", b"y"):
            line = await wire.post("/", b"", 10)
            assert await body_of(line) == wanted
            line.end()
    assert engine.connections == 2


async def test_bytes_nobody_asked_for_end_the_connection() -> None:
    engine = Engine([whole(b"x"), whole(b"unasked")], [whole(b"y")])
    async with wired(engine) as wire:
        line = await wire.post("/", b"", 10)
        await body_of(line)
        line.end()
        await asyncio.sleep(0.05)
        line = await wire.post("/", b"", 10)
        assert await body_of(line) == b"y"
        line.end()


@pytest.mark.parametrize("script", [[], [CHUNKED], [CHUNKED + framed(b"some")]])
async def test_silence_is_an_error(script: list[bytes | None]) -> None:
    async with wired(Engine(script, [])) as wire:
        line = await wire.post("/", b"", 0.1)
        with pytest.raises(TimeoutError):
            await body_of(line)
        line.end()
        assert line.closed


async def test_a_slow_reader_holds_the_engine_back_and_loses_nothing() -> None:
    pieces = [bytes([n]) * 65536 for n in range(200)]
    engine = Engine([CHUNKED, *(framed(piece) for piece in pieces), b"0\r\n\r\n"], [whole(b"next")])
    async with wired(engine) as wire:
        line = await wire.post("/", b"", 10)
        await line.head()
        await asyncio.sleep(0.3)
        largest, parts = 0, []
        while part := await line.read():
            largest = max(largest, len(part))
            parts.append(part)
        line.end()
        assert b"".join(parts) == b"".join(pieces)
        # What was read at once when the bound was passed may come on top.
        assert largest <= HIGH_WATER + 512 * 1024
        line = await wire.post("/", b"", 10)
        assert await body_of(line) == b"next"
        line.end()
    assert engine.connections == 1


async def test_what_is_held_comes_with_the_next_read() -> None:
    pieces = [b"%03d" % n for n in range(50)]
    engine = Engine(
        [CHUNKED, *(framed(piece) for piece in pieces), b"0\r\n\r\n"], [whole(b"next")], [whole(b"last")]
    )
    async with wired(engine) as wire:
        line = await wire.post("/", b"", 10)
        await line.head()
        parts = []
        while part := await line.read():
            parts.append(part)
            line.hold()
            await asyncio.sleep(0.005)
        line.end()
        assert b"".join(parts) == b"".join(pieces)
        line = await wire.post("/", b"", 10)
        await line.head()
        line.hold()
        line.end()  # Left while it is held.
        line = await wire.post("/", b"", 10)
        assert await body_of(line) == b"last"
        line.end()


@pytest.mark.parametrize("leave", [Wire.close, lambda wire: None])
async def test_closing_and_cancelling_wake_the_reader(leave: Callable[[Wire], None]) -> None:
    async with wired(Engine([CHUNKED], [])) as wire:
        line = await wire.post("/", b"", 10)
        await line.head()
        reading = asyncio.create_task(line.read())
        await asyncio.sleep(0.01)
        leave(wire)
        reading.cancel() if leave is not Wire.close else None
        with pytest.raises((ConnectionAbortedError, asyncio.CancelledError)):
            await reading
        line.end()
        assert line.closed


async def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await Wire(f"unix://{tmp_path}/none.sock", "").post("/", b"", 1)
