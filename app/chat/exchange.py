"""What is known of one request while it is answered, and what is written down at its end."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from app.chat.rails import InputResult, OutputRail
from app.chat.route import Route
from app.identity.keys import KeyRecord
from app.identity.limits import Admission
from app.identity.scopes import Scope, has_scope
from app.record.audit_event import AuditEvent
from app.record.metrics import BASE, OTHER, Metrics
from guardrails.trace import TraceEntry
from guardrails.verdict import Verdict, strongest

_MAX_SPANS = 16

log = logging.getLogger("atelier.chat")


@dataclass(slots=True)
class Exchange:
    """One request and its answer. Filled in as the request goes; closed exactly once."""

    request_id: str
    action: str
    started: float = field(default_factory=perf_counter)
    key: KeyRecord | None = None
    route: Route | None = None
    model: str = ""
    admission: Admission | None = None
    verdicts: tuple[Verdict, ...] = ()
    trace: tuple[TraceEntry, ...] = ()
    citations: tuple[str, ...] = ()
    policy: str = ""
    ignored: tuple[str, ...] = ()
    engine: str = ""
    first_token: float | None = None
    pieces: int = 0
    usage: Mapping[str, Any] | None = None
    text: hashlib.blake2b = field(default_factory=lambda: hashlib.blake2b(digest_size=32))
    asked_text: str | None = None
    """The prompt as it came, where texts are written down at all."""
    kept_text: list[str] | None = None
    """What of prompt and answer is written down; nothing before a policy has said what may be."""
    write_down: Callable[[str], str] | None = None
    closed: bool = False

    @property
    def tokens(self) -> tuple[int, int]:
        """Prompt and completion tokens as the engine counted; of a stream broken off, the pieces that came."""
        usage = self.usage
        if usage is None:
            return 0, self.pieces
        return int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)

    @property
    def version(self) -> str:
        """The adapter version that answers, or `base`."""
        return (self.route.version if self.route else None) or BASE

    def checked(self, result: InputResult) -> None:
        """Take over what the input rails found."""
        self.verdicts, self.trace = result.verdicts, result.trace
        self.citations, self.policy, self.ignored = result.citations, result.policy, result.ignored
        if self.asked_text is not None:
            self.write_down = result.write_down
            written = self.asked_text if result.text is None else result.text
            # An empty text: the policy wants none of it written down, the answer included.
            self.kept_text = [written, "\n"] if written else None

    def guarded(self, rail: OutputRail | None) -> None:
        """Take over what the output rail found, also of an answer that broke off."""
        if rail is None:
            return
        found = rail.verdicts()
        self.verdicts += found
        self.trace += rail.trace()
        cited = [item for verdict in found if verdict.check == "facts" for item in verdict.evidence]
        self.citations = tuple(dict.fromkeys((*self.citations, *cited)))

    def on_text(self, text: str) -> None:
        """Note a piece of the answer: its time, its digest."""
        if self.first_token is None:
            self.first_token = perf_counter()
        self.pieces += 1
        # A lone surrogate cannot be encoded; the digest must not fail on what an engine may produce.
        self.text.update(text.encode("utf-8", "surrogatepass"))
        if self.kept_text is not None:
            self.kept_text.append(text)

    def atelier(self) -> dict[str, Any]:
        """The `atelier` object of the answer."""
        out: dict[str, Any] = {
            "request_id": self.request_id,
            "version": self.version,
            "track": self.route.track if self.route else "stable",
            "verdict": strongest(self.verdicts).value,
            "reasons": list(dict.fromkeys(verdict.reason for verdict in self.verdicts if verdict.reason)),
            "citations": list(self.citations),
        }
        if self.ignored:
            out["ignored"] = list(self.ignored)
        if self.trace and self.key is not None and has_scope(self.key.scopes, Scope.AUDIT):
            out["policy"] = self.policy
            out["checks"] = [_shown(entry) for entry in self.trace]
        return out

    def headers(self) -> dict[str, str]:
        """Headers of every answer."""
        return {
            "x-request-id": self.request_id,
            "x-atelier-version": self.version if self.route else "none",
            "x-atelier-verdict": strongest(self.verdicts).value,
        }


def audit_event(exchange: Exchange, outcome: str) -> AuditEvent:
    """The audit record of a chat request: who, when, what answered, how it went; the text only as a digest."""
    prompt, completion = exchange.tokens
    return AuditEvent(
        id=exchange.request_id,
        kind="chat",
        actor=exchange.key.id if exchange.key else "",
        action=exchange.action,
        subject=exchange.model,
        outcome=outcome,
        request_id=exchange.request_id,
        model=exchange.route.label if exchange.route else "",
        version=exchange.version if exchange.route else "",
        verdict=strongest(exchange.verdicts).value,
        prompt_tokens=prompt,
        completion_tokens=completion,
        text_digest=exchange.text.hexdigest(),
        text=_written(exchange),
        details={"policy": exchange.policy, "checks": [_shown(entry) for entry in exchange.trace]}
        if exchange.trace
        else None,
    )


def _written(exchange: Exchange) -> str | None:
    """Prompt and answer as they may be written down."""
    if exchange.kept_text is None:
        return None
    prompt, answer = exchange.kept_text[:2], "".join(exchange.kept_text[2:])
    if exchange.write_down is not None:
        try:
            answer = exchange.write_down(answer)
        except Exception as error:
            # The type alone: an exception's text may quote the answer.
            log.error("answer not written down", extra={"error": type(error).__name__})
            answer = ""
    return "".join((*prompt, answer))


def _shown(entry: TraceEntry) -> dict[str, Any]:
    """An entry of the trace as it is written down and shown: where something was found, never what."""
    shown = {
        "check": entry.check,
        "phase": entry.phase,
        "mode": entry.mode,
        "result": entry.result,
        "ms": entry.ms,
    }
    if entry.reason:
        shown["reason"] = entry.reason
    if entry.spans:
        shown["spans"] = entry.spans[:_MAX_SPANS]
    if entry.held is not None:
        shown["held"] = entry.held
    return shown


def measure(exchange: Exchange, metrics: Metrics, status: int, code: str) -> None:
    """Count one finished request."""
    assistant = exchange.route.label if exchange.route else OTHER
    version = exchange.version if exchange.route else OTHER
    metrics.requests.labels(assistant, version, str(status), strongest(exchange.verdicts).value).inc()
    for entry in exchange.trace:
        metrics.verdicts.labels(entry.check, entry.phase, entry.mode, entry.result, version).inc()
        metrics.check_seconds.labels(entry.check, entry.phase).observe(entry.ms / 1000)
        if entry.held is not None:
            metrics.held.labels(entry.check).observe(entry.held)
    if code:
        metrics.errors.labels(code).inc()
    if exchange.route is None or status >= 400:
        return
    ended = perf_counter()
    series = metrics.chat_series(assistant, version)
    series.duration.observe(ended - exchange.started)
    prompt, completion = exchange.tokens
    series.prompt_tokens.inc(prompt)
    series.completion_tokens.inc(completion)
    if exchange.first_token is not None:
        series.first_token.observe(exchange.first_token - exchange.started)
        if completion > 1:
            series.token_time.observe((ended - exchange.first_token) / (completion - 1))
