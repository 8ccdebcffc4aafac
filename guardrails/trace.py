"""What each check did on one request: run, timed and written down, whether it worked or not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from guardrails.policy.settings import CheckSettings, Mode, OnFailure
from guardrails.verdict import Decision, Verdict

log = logging.getLogger("atelier.guardrails")

FAILED = "check_failed"


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """One run of one check. `result` is a decision, `failed` or `off`; nothing here quotes the text."""

    check: str
    phase: str
    mode: str
    result: str
    reason: str
    ms: float
    spans: tuple[tuple[int, int], ...] = ()
    held: float | None = None


class Trace:
    """Runs checks under their settings; collects the verdicts that count and an entry for every run."""

    def __init__(self) -> None:
        self.entries: list[TraceEntry] = []
        self.verdicts: list[Verdict] = []

    def run(self, name: str, settings: CheckSettings, phase: str, call: Callable[[], Verdict]) -> Verdict:
        """The verdict of `call` as far as the mode lets it act; allow otherwise. Never raises."""
        if settings.mode is Mode.OFF:
            self.entries.append(TraceEntry(name, phase, "off", "off", "", 0.0))
            return Verdict(name, Decision.ALLOW)
        started = perf_counter()
        try:
            verdict = call()
        except Exception as error:
            verdict = failure(name, settings, error)
        ms = (perf_counter() - started) * 1000
        return self.note(verdict, name, settings, phase, ms)

    def note(
        self,
        verdict: Verdict,
        name: str,
        settings: CheckSettings,
        phase: str,
        ms: float,
        held: float | None = None,
    ) -> Verdict:
        """Write a run down; the verdict where it may act, else allow."""
        result = "failed" if verdict.failed else verdict.decision.value
        spans = tuple((span.start, span.end) for span in verdict.spans)
        self.entries.append(
            TraceEntry(name, phase, settings.mode.value, result, verdict.reason, round(ms, 4), spans, held)
        )
        if settings.mode is not Mode.ENFORCE:
            return Verdict(name, Decision.ALLOW)
        if verdict.decision is not Decision.ALLOW or verdict.failed:
            self.verdicts.append(verdict)
        return verdict


def failure(name: str, settings: CheckSettings, error: Exception) -> Verdict:
    """What a check that broke decides by its failure policy."""
    # The type alone: an exception's text may quote what the user wrote.
    log.error("check failed", extra={"check": name, "error": type(error).__name__})
    closed = settings.on_failure is OnFailure.CLOSED
    return Verdict(name, Decision.BLOCK if closed else Decision.ALLOW, FAILED, failed=True)
