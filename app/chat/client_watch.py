"""Noticing that a client has gone while its answer is being made."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from starlette.types import Receive


class ClientGone(Exception):
    """The client closed the connection before its answer was complete."""


class ClientWatch:
    """Cancels the surrounding task when the client disconnects, and turns that into ClientGone.

    Without it a request whose client left would keep its engine slot until the last token.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._watch: asyncio.Task[None] | None = None
        self.gone = False

    async def __aenter__(self) -> Self:
        owner = asyncio.current_task()
        assert owner is not None
        self._watch = asyncio.create_task(self._wait(owner))
        return self

    async def _wait(self, owner: asyncio.Task[object]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        owner.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._watch is not None
        self._watch.cancel()
        if self.gone and isinstance(error, asyncio.CancelledError):
            owner = asyncio.current_task()
            # Only our own cancellation is taken back: a shutdown that came as well still counts.
            if owner is not None and owner.uncancel() == 0:
                raise ClientGone from None
