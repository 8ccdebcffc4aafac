"""Noticing that a client has gone while its answer is being made."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from starlette.types import Receive


class ClientGone(Exception):
    """The client closed the connection before its answer was complete."""


# An answer that takes no longer than this costs no watching task.
PATIENCE_SECONDS = 0.02


class ClientWatch:
    """Cancels the surrounding task when the client disconnects, and turns that into ClientGone.

    Without it a request whose client left would keep its engine slot until the last token.
    """

    __slots__ = ("_later", "_owner", "_receive", "_watch", "gone")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._watch: asyncio.Task[None] | None = None
        self.gone = False

    def __enter__(self) -> Self:
        owner = asyncio.current_task()
        assert owner is not None
        self._owner: asyncio.Task[object] = owner
        self._later = owner.get_loop().call_later(PATIENCE_SECONDS, self._begin)
        return self

    def _begin(self) -> None:
        self._watch = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._owner.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._later.cancel()
        if self._watch is not None:
            self._watch.cancel()
        # Only our own cancellation is taken back: a shutdown that came as well still counts.
        if self.gone and isinstance(error, asyncio.CancelledError) and self._owner.uncancel() == 0:
            raise ClientGone from None
