"""Client of one engine's routes: what it serves, what it holds, load, unload, completions for probing.

The engine is a vLLM server with our plugin, on a Unix socket or an HTTP address.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import aiohttp
import orjson


class EngineError(Exception):
    """Any failure of a call to an engine."""


class EngineDown(EngineError):
    """The engine cannot be reached or did not answer in time: try again later."""


class EngineFault(EngineError):
    """The engine answered, but with a fault (5xx, or a body that is not what the contract says)."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class AdapterRefused(EngineError):
    """The engine will not take or use this adapter; asking again gives the same answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Residency:
    """What an engine holds now. `epoch` changes with every start of the engine."""

    epoch: str
    adapters: frozenset[str]
    running: int
    waiting: int


@dataclass(frozen=True, slots=True)
class EngineTimeouts:
    """Seconds. `base`: the engine hashes its weights first; `load` covers reading the adapter's;
    `unload` the end of its requests; `completion` waits behind users' requests.
    """

    connect: float = 2.0
    status: float = 5.0
    base: float = 600.0
    load: float = 120.0
    unload: float = 60.0
    completion: float = 120.0


def split_engine_url(url: str) -> tuple[str | None, str]:
    """(`socket path` or None, base URL) of `unix:/path`, `unix:///path` or `http(s)://host:port`.

    Raises ValueError for any other form.
    """
    parts = urlsplit(url)
    if parts.scheme == "unix" and parts.path and not parts.netloc:
        return parts.path, "http://engine"
    if parts.scheme in {"http", "https"} and parts.netloc:
        return None, url.rstrip("/")
    raise ValueError(f"engine address {url!r} is neither unix:///path/to/socket nor http://host:port")


class EngineApi:
    """Calls to one engine. Use as an async context manager, or call `close`."""

    def __init__(self, url: str, token: str | None, timeouts: EngineTimeouts | None = None) -> None:
        self.url = url
        self._socket, self._base = split_engine_url(url)
        self._token = token
        self._timeouts = timeouts or EngineTimeouts()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; the object can be used again afterwards."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def base(self) -> Mapping[str, Any]:
        """The base model's description, as the plugin publishes it. Raises EngineError."""
        return await self._call("GET", "/atelier/base", None, self._timeouts.base)

    async def residency(self) -> Residency:
        """What the engine holds now. Raises EngineError."""
        body = await self._call("GET", "/atelier/residency", None, self._timeouts.status)
        try:
            return Residency(
                str(body["epoch"]), frozenset(body["adapters"]), int(body["running"]), int(body["waiting"])
            )
        except (KeyError, TypeError, ValueError) as error:
            raise EngineFault(f"engine {self.url}: residency without {error}", 200) from error

    async def load(self, name: str, path: Path) -> str:
        """Load the adapter in folder `path` under `name`; the engine's epoch. Idempotent.

        Raises AdapterRefused with the engine's message, EngineDown, EngineFault.
        """
        body = await self._call(
            "POST", "/atelier/adapters", {"name": name, "path": str(path)}, self._timeouts.load
        )
        return str(body.get("epoch", ""))

    async def unload(self, name: str) -> bool:
        """Remove `name`; returns once the engine's core has let go of it. False when it was not held.

        Raises EngineFault (503) when its requests go on: it takes no new ones then, and removing it again
        goes on from there. It is listed no more by `residency`, but held until this returns.
        """
        try:
            await self._call("DELETE", f"/atelier/adapters/{quote(name)}", None, self._timeouts.unload)
        except AdapterRefused as refused:
            if refused.status == 404:
                return False
            raise
        return True

    async def complete(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """POST /v1/completions. Raises AdapterRefused for a 4xx, EngineDown, EngineFault."""
        return await self._call("POST", "/v1/completions", request, self._timeouts.completion)

    async def tokenize(self, model: str, prompt: str) -> tuple[int, ...]:
        """The token ids of `prompt` as this engine reads it, special tokens included. Raises EngineError."""
        body = await self._call(
            "POST", "/tokenize", {"model": model, "prompt": prompt}, self._timeouts.status
        )
        try:
            return tuple(int(token) for token in body["tokens"])
        except (KeyError, TypeError, ValueError) as error:
            raise EngineFault(f"engine {self.url}: /tokenize answered without tokens", 200) from error

    async def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None, timeout: float
    ) -> Mapping[str, Any]:
        limits = aiohttp.ClientTimeout(total=timeout, connect=self._timeouts.connect)
        try:
            async with self._open().request(
                method, self._base + path, data=None if body is None else orjson.dumps(body), timeout=limits
            ) as answer:
                status, raw = answer.status, await answer.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            why = (
                "no answer in time" if isinstance(error, TimeoutError | asyncio.TimeoutError) else str(error)
            )
            raise EngineDown(f"engine {self.url}: {method} {path}: {why}") from error
        if status == 200:
            return _object(raw, f"engine {self.url}: {method} {path}")
        message = f"engine {self.url}: {method} {path}: HTTP {status}: {_error_text(raw)}"
        # Not 503: the plugin says so for a single adapter while the engine goes on serving.
        if status in {502, 504}:
            raise EngineDown(message)
        if 400 <= status < 500 and status not in {401, 403, 408, 429}:
            raise AdapterRefused(message, status)
        raise EngineFault(message, status)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            headers = {"content-type": "application/json"}
            if self._token:
                headers["authorization"] = f"Bearer {self._token}"
            connector = aiohttp.UnixConnector(self._socket) if self._socket else aiohttp.TCPConnector()
            self._session = aiohttp.ClientSession(connector=connector, headers=headers)
        return self._session


def _object(raw: bytes, where: str) -> Mapping[str, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise EngineFault(f"{where}: the answer is not JSON ({error})", 200) from error
    if not isinstance(body, dict):
        raise EngineFault(f"{where}: the answer is not a JSON object", 200)
    return body


def _error_text(raw: bytes) -> str:
    """The message of an OpenAI-style or FastAPI-style error body, else the start of the body."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw[:300].decode("utf-8", "replace")
    if isinstance(body, dict):
        error = body.get("error", body.get("detail", body))
        if isinstance(error, dict):
            error = error.get("message", error)
        return str(error)[:2000]
    return str(body)[:2000]
