"""Asking a running gateway a list of questions, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import httpx


async def ask_all(
    rows: Sequence[Mapping[str, Any]],
    base_url: str,
    authorization: str,
    model: str,
    concurrency: int,
    seconds: float,
    on_done: Callable[[int], None],
) -> list[dict[str, Any]]:
    """`{text, verdict, reasons, citations, seconds, error}` for each row's `messages`, in order."""
    slots = asyncio.Semaphore(concurrency)
    done = 0
    async with httpx.AsyncClient(
        base_url=base_url, headers={"authorization": authorization}, timeout=seconds
    ) as client:

        async def one(row: Mapping[str, Any]) -> dict[str, Any]:
            nonlocal done
            async with slots:
                answer = await _ask(client, row, model)
            done += 1
            on_done(done)
            return answer

        return list(await asyncio.gather(*(one(row) for row in rows)))


async def _ask(client: httpx.AsyncClient, row: Mapping[str, Any], model: str) -> dict[str, Any]:
    body = {"model": model, "messages": row["messages"], "temperature": 0, "seed": 0}
    started = perf_counter()
    try:
        answer = await client.post("/v1/chat/completions", json=body)
        if answer.is_error:
            return _failed(f"status {answer.status_code}: {answer.text[:300]}", started)
        found = answer.json()
        choice = found["choices"][0]
    except (httpx.TransportError, ValueError, KeyError, IndexError) as error:
        return _failed(repr(error), started)
    atelier = found.get("atelier") or {}
    return {
        "text": choice["message"].get("content") or "",
        "finish_reason": choice.get("finish_reason"),
        "verdict": answer.headers.get("x-atelier-verdict") or atelier.get("verdict", ""),
        "reasons": atelier.get("reasons", []),
        "citations": atelier.get("citations", []),
        "seconds": perf_counter() - started,
        "error": "",
    }


def _failed(error: str, started: float) -> dict[str, Any]:
    return {
        "text": "", "finish_reason": None, "verdict": "", "reasons": [], "citations": [],
        "seconds": perf_counter() - started, "error": error,
    }  # fmt: skip
