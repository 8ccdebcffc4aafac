"""One connection that many requests share, for short commands on the way of every request.

A pool gives each waiting command a connection of its own: a burst then opens dozens, and on a busy machine runs
into its own time limit. Here commands are written one behind the other and answered in the same order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import redis.exceptions as errors
from hiredis import Reader, pack_command
from redis.asyncio import Connection, Redis

Argument = str | bytes | int | float


class Lane:
    """Connects on first use, with the settings of `redis`, and again after a failure.

    A command is never sent twice: its sender must know whether that would be safe.
    `timeout`: a server that is silent for this many seconds, at most about twice as many, counts as away.
    """

    def __init__(self, redis: Redis, *, timeout: float = 1.0) -> None:
        self._pool = redis.connection_pool
        self._timeout = timeout
        self._connection: Connection | None = None
        self._loop: asyncio.AbstractEventLoop
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._connecting = asyncio.Lock()
        self._answers = 0
        self._watched = False

    async def call(self, *command: Argument) -> Any:
        """The answer. Raises redis-py's errors: wrap in `guarded`."""
        return await self._post(self._connection or await self._connect(), command)

    def post(self, *command: Argument) -> asyncio.Future[Any] | None:
        """Send without waiting; the answer to come, or None where there is no connection and nothing was sent."""
        return None if self._connection is None else self._post(self._connection, command)

    def _post(self, connection: Connection, command: tuple[Argument, ...]) -> asyncio.Future[Any]:
        writer = connection._writer
        assert writer is not None
        answer: asyncio.Future[Any] = self._loop.create_future()
        # No await between these two lines: answers belong to waiters by their order alone.
        self._waiting.append(answer)
        # redis-py's own packing is written in Python and costs more than the rest of a call.
        writer.transport.write(pack_command(command))  # type: ignore[arg-type]
        if not self._watched:
            self._watch()
        return answer

    async def evalsha(self, digest: str, keys: int, *arguments: Argument) -> Any:
        return await self.call("EVALSHA", digest, keys, *arguments)

    async def eval(self, source: str, keys: int, *arguments: Argument) -> Any:
        return await self.call("EVAL", source, keys, *arguments)

    async def _connect(self) -> Connection:
        # One connects, the burst behind it waits: else each would open its own and lose all but the last.
        async with self._connecting:
            if self._connection is None:
                connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
                await connection.connect()
                self._loop = asyncio.get_running_loop()
                # From here on answers go to their waiters without redis-py's stream, reader and parser.
                connection._writer.transport.set_protocol(_Answers(self, connection))
                self._connection = connection
            assert self._connection is not None
            return self._connection

    def resolve(self, answer: Any) -> None:
        """Give the next answer to who waits for it."""
        self._answers += 1
        waiter = self._waiting.popleft()
        if waiter.done():
            return  # Its caller was cancelled; the answer still had to be counted off.
        if isinstance(answer, errors.RedisError):
            waiter.set_exception(answer)
        else:
            waiter.set_result(answer)

    def drop(self, connection: Connection, error: BaseException) -> None:
        """Give `connection` up: who waits gets `error`, the next command connects again."""
        if self._connection is not connection:
            return
        self._connection = None
        connection._close()  # type: ignore[no-untyped-call]
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            if not waiter.done():
                waiter.set_exception(errors.ConnectionError(str(error)))

    def _watch(self) -> None:
        """Notice a server that is silent, at the cost of one timer a second instead of one per command."""
        self._watched = True
        self._loop.call_later(self._timeout, self._suspect, self._connection, self._answers)

    def _silent(self, connection: Connection | None, answers: int) -> bool:
        return self._connection is connection and bool(self._waiting) and self._answers == answers

    def _suspect(self, connection: Connection | None, answers: int) -> None:
        if self._silent(connection, answers):
            # A second look: if this process itself was held up, the answers are here and only wait to be read.
            self._loop.call_later(self._timeout / 10, self._give_up, connection, answers)
        else:
            self._go_on()

    def _give_up(self, connection: Connection | None, answers: int) -> None:
        if connection is not None and self._silent(connection, answers):
            self.drop(connection, errors.TimeoutError(f"no answer within {self._timeout} seconds"))
        self._go_on()

    def _go_on(self) -> None:
        self._watched = False
        if self._waiting:
            self._watch()

    async def close(self) -> None:
        if self._connection is not None:
            self.drop(self._connection, errors.ConnectionError("closed"))


class _Answers(asyncio.Protocol):
    """The receiving end of a lane's connection."""

    def __init__(self, lane: Lane, connection: Connection) -> None:
        self._lane = lane
        self._connection = connection
        self._reader = Reader(protocolError=errors.InvalidResponse, replyError=connection._parser.parse_error)

    def data_received(self, data: bytes) -> None:
        """Answers, whole or in pieces."""
        reader = self._reader
        try:
            reader.feed(data)
            while (answer := reader.gets()) is not False:
                self._lane.resolve(answer)
        except (errors.InvalidResponse, IndexError) as broken:
            # Not RESP, or more answers than questions: who waits could get another's.
            self._lane.drop(self._connection, errors.ConnectionError(f"not an answer: {broken}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The server closed it, or we did."""
        self._lane.drop(self._connection, exc or errors.ConnectionError("the connection was closed"))
