"""The connection to Redis or Valkey, and the one word for its absence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from types import TracebackType
from urllib.parse import urlsplit

import redis.exceptions as errors
from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.state.keyspace import Keyspace

SCHEMES = ("unix", "redis", "rediss")
MAX_CONNECTIONS = 32
WAIT_SLICE_MS = 200

# ResponseErrors by which a server says that it cannot write now: they pass, as an outage does.
_REFUSALS = (errors.ReadOnlyError, errors.OutOfMemoryError, errors.ClusterDownError)
_REFUSAL_WORDS = ("MISCONF", "NOREPLICAS", "UNKILLABLE", "BUSY ")


class StateUnavailable(Exception):
    """Redis cannot be reached, does not answer in time, or refuses writes for now."""


class guarded:
    """Translate every way in which Redis can be away into `StateUnavailable`.

    A class, not `@contextmanager`: this wraps the per-request calls, and a generator costs ten times more.
    """

    __slots__ = ("_doing",)

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and is_outage(error):
            raise StateUnavailable(f"Redis is unavailable during {self._doing}: {error}") from error


def is_outage(error: BaseException) -> bool:
    """True for errors that mean "Redis is away", false for those that mean "the request was wrong"."""
    if isinstance(error, (errors.ConnectionError, errors.TimeoutError, OSError, TimeoutError, *_REFUSALS)):
        return True
    return isinstance(error, errors.ResponseError) and str(error).startswith(_REFUSAL_WORDS)


class _Sending:
    """Send without `asyncio.wait_for`, which redis-py uses.

    On Python 3.11 that loses a cancellation that arrives while the bytes are written: a cancelled task runs on
    for ever. It also makes one task per command, a quarter of a round trip's cost.
    """

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        timeout = self.socket_timeout
        # None takes redis-py's way without wait_for; one task at a time uses a connection.
        self.socket_timeout: float | None = None
        try:
            if not self.is_connected:  # type: ignore[attr-defined]
                self.socket_timeout = timeout
                await self.connect_check_health(check_health=False)  # type: ignore[attr-defined]
                self.socket_timeout = None
            async with asyncio.timeout(timeout):
                await super().send_packed_command(command, check_health)  # type: ignore[misc]
        except TimeoutError as error:
            raise errors.TimeoutError("Timeout writing to socket") from error
        finally:
            self.socket_timeout = timeout


class _UnixConnection(_Sending, UnixDomainSocketConnection):
    pass


class _TcpConnection(_Sending, Connection):
    pass


class _TlsConnection(_Sending, SSLConnection):
    pass


_CONNECTIONS = {"unix": _UnixConnection, "redis": _TcpConnection, "rediss": _TlsConnection}


def connect(url: str, *, timeout: float = 1.0) -> Redis:
    """A client for `unix:///path.sock`, `redis://` or `rediss://`; connects on first use.

    `timeout` (seconds) bounds connecting and each answer. Replies are bytes. Connections broken by a restart
    of the server are replaced on the next call. Raises ValueError for another scheme.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ValueError(
            f"state url has scheme {parts.scheme!r}; "
            "use unix:///path/to/valkey.sock, redis://host:port/db or rediss://host:port/db"
        )
    pool = BlockingConnectionPool.from_url(
        url,
        # A burst waits for a free connection. Opening one for each waiter takes longer than the wait: two hundred
        # at once ran into the time limit on a busy machine.
        max_connections=MAX_CONNECTIONS,
        timeout=timeout,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        # One immediate second try covers a pooled connection that died with the server. Not after a timeout:
        # the command may have run, and the caller has waited long enough.
        retry=Retry(NoBackoff(), 1, supported_errors=(errors.ConnectionError,)),
        # RESP2 without client info: nothing here needs RESP3, and the handshake stays one command.
        protocol=2,
        driver_info=None,
    )
    pool.connection_class = _CONNECTIONS[parts.scheme]
    return Redis.from_pool(pool)


def text(reply: bytes | str) -> str:
    """A reply as text: redis-py's types allow both, and `connect` gives bytes."""
    return reply.decode() if isinstance(reply, bytes) else reply


async def persisted(redis: Redis, *, timeout: float, names: Keyspace | None = None) -> bool:
    """Wait until every write before this call is on the server's disk; False after `timeout` seconds.

    Needed because `appendfsync everysec` may hold acknowledged writes in memory for two seconds while an
    fsync is running. Also False for a server without an append-only file. Raises StateUnavailable.
    """
    deadline = time.monotonic() + timeout
    with guarded("waiting for the append-only file"):
        # A connection by hand: `redis.client()` loses its connection to the pool when it is cancelled.
        one = await redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            # WAITAOF waits for this connection's last write, so make one; everything earlier lies before it.
            await one.send_command("INCR", (names or Keyspace()).durable)
            await one.read_response()
            while time.monotonic() < deadline:
                # In slices, because one long wait would trip the connection's own time limit.
                await one.send_command("WAITAOF", 1, 0, WAIT_SLICE_MS)
                if (await one.read_response())[0] >= 1:
                    return True
        except errors.ResponseError as error:
            if is_outage(error):
                raise
            return False  # No append-only file, or a server that does not know WAITAOF.
        finally:
            await redis.connection_pool.release(one)
    return False
