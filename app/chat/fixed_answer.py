"""An answer that no engine wrote, in the form the client asked for: a refusal, a warning, an approved sentence."""

from __future__ import annotations

from time import time
from typing import Any

from app.chat.exchange import Exchange
from guardrails.verdict import Decision, strongest


def finish_reason(exchange: Exchange) -> str:
    """`content_filter` for a refusal, `stop` for every other answer of the rails."""
    return "content_filter" if strongest(exchange.verdicts) is Decision.BLOCK else "stop"


def fixed_answer(exchange: Exchange, text: str, *, chat: bool, choices: int) -> dict[str, Any]:
    """The body of an unstreamed answer."""
    head = _head(exchange, "chat.completion" if chat else "text_completion")
    reason = finish_reason(exchange)
    part = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    return head | {
        "choices": [{"index": i, "finish_reason": reason, "logprobs": None, **part} for i in range(choices)],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }


def fixed_chunk(exchange: Exchange, text: str, *, chat: bool, choices: int) -> dict[str, Any]:
    """The only chunk of a streamed answer."""
    head = _head(exchange, "chat.completion.chunk" if chat else "text_completion")
    reason = finish_reason(exchange)
    part = {"delta": {"role": "assistant", "content": text}} if chat else {"text": text}
    return head | {
        "choices": [{"index": i, "finish_reason": reason, "logprobs": None, **part} for i in range(choices)]
    }


def _head(exchange: Exchange, kind: str) -> dict[str, Any]:
    return {
        "id": f"{'chatcmpl' if kind.startswith('chat') else 'cmpl'}-{exchange.request_id}",
        "object": kind,
        "created": int(time()),
        "model": exchange.model,
        "atelier": exchange.atelier(),
    }
