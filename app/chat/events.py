"""Server-sent events: splitting what the engine sends, rewriting it for the client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from app.chat.guarded import ChoiceGuard
from app.chat.rails import OutputRail

DONE = b"data: [DONE]\n\n"
_BREAK = b"\n\n"
# What a guarded answer has beside its choices.
_CHUNK_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage"})


def event(data: Mapping[str, Any]) -> bytes:
    """One event of a stream."""
    return b"data: " + orjson.dumps(data) + _BREAK


class EventSplitter:
    """Cuts a byte stream into the payloads of its `data:` events, however the bytes were split on the way."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The payloads that are complete with `chunk`."""
        *whole, self._rest = (self._rest + chunk).split(_BREAK)
        return [block[5:].strip() for block in whole if block.startswith(b"data:")]


class EngineFailed(Exception):
    """The engine reported an error inside a stream."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(str(error.get("message", "the engine failed")))
        self.error = error


class StreamRewriter:
    """Turns an engine's chunks into the client's.

    The model is named as the client named it, the text goes through the output rail, token counts are read
    off, and the last chunk is kept back until the stream has ended, because it carries the `atelier` object.
    """

    def __init__(
        self, *, model: str, include_usage: bool, rail: OutputRail | None, on_text: Callable[[str], None]
    ) -> None:
        self._model = model
        self._include_usage = include_usage
        self._guarded = ChoiceGuard(rail) if rail is not None else None
        self._on_text = on_text
        self._held: dict[str, Any] | None = None
        self.usage: Mapping[str, Any] | None = None
        self.started = False

    def feed(self, payload: bytes) -> bytes:
        """What may be sent for one payload. Raises EngineFailed for an error event."""
        chunk: dict[str, Any] = orjson.loads(payload)
        if "error" in chunk:
            raise EngineFailed(chunk["error"])
        chunk["model"] = self._model
        choices = chunk.get("choices")
        if not choices:
            return self._usage_chunk(chunk)
        if not self._include_usage:
            chunk.pop("usage", None)
        finished = False
        for choice in choices:
            finished |= self._pass(choice)
        if self._guarded is not None:
            only_checked(chunk)
        if finished:
            return self._hold(chunk)
        if self._guarded is not None and not any(map(_says, choices)):
            return b""
        return event(chunk)

    def close(self, atelier: Mapping[str, Any]) -> bytes:
        """The last chunk, with the `atelier` object, and the end of the stream."""
        last = self._held or {"object": "chat.completion.chunk", "model": self._model, "choices": []}
        self._held = None
        last["atelier"] = atelier
        return event(last) + DONE

    def _usage_chunk(self, chunk: dict[str, Any]) -> bytes:
        if chunk.get("usage"):
            self.usage = chunk["usage"]
        return self._hold(chunk) if self._include_usage else b""

    def _hold(self, chunk: dict[str, Any]) -> bytes:
        # Several choices finish one after the other, and usage may follow: only the end of the stream tells
        # which chunk is the last one.
        before, self._held = self._held, chunk
        return event(before) if before is not None else b""

    def _pass(self, choice: dict[str, Any]) -> bool:
        """Take a choice's text, through the rail where there is one; whether the choice ends here."""
        self.started = True
        finished = choice.get("finish_reason") is not None
        if self._guarded is not None:
            text = self._guarded.delta(choice)
        else:
            text = (choice["delta"].get("content") if "delta" in choice else choice.get("text")) or ""
        if text:
            self._on_text(text)
        return finished


def only_checked(chunk: dict[str, Any]) -> None:
    """Leave out what an engine adds beside the choices, such as the prompt's tokens."""
    for name in chunk.keys() - _CHUNK_FIELDS:
        del chunk[name]


def _says(choice: Mapping[str, Any]) -> bool:
    """Whether a piece of a guarded choice holds anything for the client."""
    return bool(
        choice["delta"] if "delta" in choice and choice["delta"] != {"content": ""} else choice.get("text")
    )
