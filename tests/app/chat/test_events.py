"""The stream an engine sends, cut anywhere, rewritten for the client."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.events import DONE, EngineFailed, EventSplitter, StreamRewriter, event
from guardrails.trace import TraceEntry
from guardrails.verdict import Verdict

TEXT = st.text(max_size=12)
PAYLOAD = TEXT.map(lambda text: orjson.dumps({"t": text}))


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    """`data` in pieces that end at the given offsets."""
    edges = [0, *sorted(offset % (len(data) + 1) for offset in at), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(st.lists(PAYLOAD, max_size=12), st.lists(st.integers(0, 10_000), max_size=12))
def test_events_are_the_same_however_the_bytes_were_cut(payloads: list[bytes], at: list[int]) -> None:
    stream = b"".join(b"data: " + payload + b"\n\n" for payload in payloads)
    splitter = EventSplitter()
    assert [found for piece in cut(stream, at) for found in splitter.feed(piece)] == payloads


@given(st.lists(PAYLOAD, min_size=1, max_size=4), st.integers(1, 200))
def test_an_unfinished_event_is_not_given_out(payloads: list[bytes], missing: int) -> None:
    stream = b"".join(b"data: " + payload + b"\n\n" for payload in payloads)
    splitter = EventSplitter()
    found = splitter.feed(stream[:-1])
    assert found == payloads[:-1]
    assert splitter.feed(b"\n") == payloads[-1:]


def test_comments_and_other_fields_are_no_events() -> None:
    assert EventSplitter().feed(b": ping\n\nevent: x\n\ndata: {}\n\n") == [b"{}"]


class Upper:
    """A rail that holds a choice's text back until it ends, and changes it."""

    def __init__(self) -> None:
        self.held: dict[int, str] = {}

    @property
    def waits(self) -> bool:
        return False

    def feed(self, choice: int, text: str, kind: str = "content") -> str:
        self.held[choice] = self.held.get(choice, "") + text
        return ""

    def finish(self, choice: int, kind: str = "content") -> str:
        return self.held.pop(choice, "").upper()

    def check_whole(self, choice: int, text: str) -> str | None:
        return text.upper()

    def blocked(self, choice: int) -> bool:
        return False

    def trace(self) -> tuple[TraceEntry, ...]:
        return ()

    def verdicts(self) -> tuple[Verdict, ...]:
        return ()


def chunk(index: int, text: str, finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "model": "fees@0123456789ab",
        "choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}],
    }


def rewrite(
    chunks: list[dict[str, Any]],
    *,
    include_usage: bool = False,
    rail: Upper | None = None,
    on_text: Callable[[str], None] = lambda text: None,
) -> list[dict[str, Any]]:
    """The client's chunks for the engine's."""
    rewriter = StreamRewriter(model="fees", include_usage=include_usage, rail=rail, on_text=on_text)
    out = b"".join(rewriter.feed(orjson.dumps(one)) for one in chunks)
    out += rewriter.close({"verdict": "allow"})
    assert out.endswith(DONE)
    return [orjson.loads(payload) for payload in EventSplitter().feed(out) if payload != b"[DONE]"]


def text_of(chunks: list[dict[str, Any]], index: int) -> str:
    return "".join(
        choice["delta"].get("content") or ""
        for one in chunks
        for choice in one["choices"]
        if choice["index"] == index
    )


ANSWER = st.lists(st.tuples(st.integers(0, 2), TEXT), max_size=20)
USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


def stream_of(pieces: list[tuple[int, str]]) -> list[dict[str, Any]]:
    """An engine's stream of three choices, with the usage chunk at its end."""
    chunks = [chunk(index, text) for index, text in pieces]
    chunks += [chunk(index, "", "stop") for index in range(3)]
    return [*chunks, {"id": "c", "model": "x", "choices": [], "usage": USAGE}]


@given(ANSWER, st.booleans())
def test_text_and_order_are_kept_and_only_the_last_chunk_is_ours(
    pieces: list[tuple[int, str]], include_usage: bool
) -> None:
    seen: list[str] = []
    sent = stream_of(pieces)
    got = rewrite(sent, include_usage=include_usage, on_text=seen.append)
    for index in range(3):
        assert text_of(got, index) == "".join(text for i, text in pieces if i == index)
    assert "".join(seen) == "".join(text for _, text in pieces)
    assert {one["model"] for one in got} == {"fees"}
    assert ["atelier" in one for one in got] == [False] * (len(got) - 1) + [True]
    assert [one for one in got if one.get("usage")] == ([got[-1]] if include_usage else [])
    assert len(got) == len(sent) - (0 if include_usage else 1)


@given(ANSWER)
def test_what_a_rail_holds_back_leaves_before_the_choice_ends(pieces: list[tuple[int, str]]) -> None:
    got = rewrite(stream_of(pieces), rail=Upper())
    for index in range(3):
        assert text_of(got, index) == "".join(text for i, text in pieces if i == index).upper()
        ends = [
            n
            for n, one in enumerate(got)
            for choice in one["choices"]
            if choice["index"] == index and choice["finish_reason"]
        ]
        assert len(ends) == 1
        assert not any(
            choice["delta"].get("content")
            for one in got[ends[0] + 1 :]
            for choice in one["choices"]
            if choice["index"] == index
        )


def test_usage_is_read_whether_the_client_wants_it_or_not() -> None:
    rewriter = StreamRewriter(model="m", include_usage=False, rail=None, on_text=lambda text: None)
    assert rewriter.feed(orjson.dumps({"choices": [], "usage": USAGE})) == b""
    assert rewriter.usage == USAGE


def test_a_stream_without_any_chunk_still_ends_as_a_stream() -> None:
    (only,) = rewrite([])
    assert only["choices"] == []
    assert only["atelier"] == {"verdict": "allow"}


def test_an_error_event_of_the_engine_stops_the_rewriting() -> None:
    rewriter = StreamRewriter(model="m", include_usage=False, rail=None, on_text=lambda text: None)
    with pytest.raises(EngineFailed, match="out of memory"):
        rewriter.feed(b'{"error": {"message": "out of memory", "code": 500}}')


def test_an_event_is_one_line() -> None:
    assert event({"a": "x\ny"}) == b'data: {"a":"x\\ny"}\n\n'
