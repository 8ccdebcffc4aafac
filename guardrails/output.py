"""The guard of one answer: every text of it passes through its checks before it may leave.

Facts come first, because they may put a sentence of the documents in place of another; then privacy; words are
last, so that nothing is added behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from guardrails.message import Message
from guardrails.policy.policy import Policy
from guardrails.policy.ports import Reply, TextStream
from guardrails.policy.settings import CheckSettings, Mode
from guardrails.trace import FAILED, Trace, TraceEntry, failure
from guardrails.verdict import Decision, Verdict, strongest

OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Channel:
    """One text of an answer: a choice's content or its reasoning."""

    choice: int
    kind: str = "content"


class Stage:
    """One check on one stream, under its mode and failure policy."""

    def __init__(self, name: str, settings: CheckSettings, open_: Callable[[], TextStream]) -> None:
        self.name = name
        self.settings = settings
        self.seconds = 0.0
        self.error: Verdict | None = None
        self._owed = ""
        self._held = 0
        self._feeds = 0
        self._stream: TextStream | None = None
        try:
            self._stream = open_()
        except Exception as error:
            self._fail(error)

    @property
    def mean_held(self) -> float:
        """Characters held back after a piece, on average."""
        return self._held / self._feeds if self._feeds else 0.0

    def feed(self, text: str) -> str:
        """What may leave of `text` and of what was held before."""
        return self._step(text, last=False)

    def finish(self) -> str:
        """What was still held."""
        return self._step("", last=True)

    def _step(self, text: str, *, last: bool) -> str:
        if self._stream is None:
            return self._without(text)
        started = perf_counter()
        try:
            out = self._stream.finish() if last else self._stream.feed(text)
        except Exception as error:
            owed = self._owed + text
            self._fail(error)
            return self._without(owed)
        self.seconds += perf_counter() - started
        if self.settings.mode is not Mode.ENFORCE:
            return text
        # What went in and has not come out: owed to the reader if the check breaks and its failure policy is open.
        owed = self._owed + text
        self._owed = owed[len(out) :] if owed.startswith(out) else ""
        self._held += len(self._owed)
        self._feeds += 1
        return out

    def _fail(self, error: Exception) -> None:
        self.error = failure(self.name, self.settings, error)
        self._stream = None

    def _without(self, text: str) -> str:
        if self.settings.mode is not Mode.ENFORCE:
            return text
        assert self.error is not None
        return "" if self.error.decision is Decision.BLOCK else text

    def verdicts(self) -> tuple[Verdict, ...]:
        """What the check found so far, and its failure."""
        found = self._stream.verdicts() if self._stream is not None else ()
        return (*found, self.error) if self.error is not None else tuple(found)


class Output:
    """Guards the texts of one answer; `n` choices are `n` channels."""

    def __init__(
        self, policy: Policy, lang: str, basis: Reply | None = None, messages: Sequence[Message] = ()
    ) -> None:
        self._policy = policy
        self._lang = lang
        self._basis = basis
        self._messages = messages
        self._stages: dict[Channel, list[Stage]] = {}
        self._emitted: dict[Channel, bool] = {}
        self._blocked: dict[int, str] = {}
        self._told: set[int] = set()
        self._whole = Trace()
        self._added: list[Verdict] = []

    @property
    def waits(self) -> bool:
        """Whether a check may wait for another server, so that an event loop must not call this."""
        settings = self._policy.settings
        return (
            self._basis is not None
            and settings.facts.judge is not None
            and settings.checks.facts.mode is not Mode.OFF
        )

    def feed(self, channel: Channel, text: str) -> str:
        """What may leave of the channel now."""
        if channel.choice in self._blocked:
            return self._refusal(channel)
        for stage in self._opened(channel):
            text = stage.feed(text)
            if self._stopped(channel, stage):
                return self._refused(channel, stage, text)
        self._emitted[channel] = self._emitted.get(channel, False) or bool(text.strip())
        return text

    def finish(self, channel: Channel) -> str:
        """What was still held; where nothing of an answer was left, a text that says so."""
        if channel.choice in self._blocked:
            return self._refusal(channel)
        text = ""
        for stage in self._opened(channel):
            text = stage.feed(text) if text else ""
            text += stage.finish()
            if self._stopped(channel, stage):
                return self._refused(channel, stage, text)
        withheld = any(
            verdict.decision in {Decision.REPLACE, Decision.FALLBACK}
            for stage in self._opened(channel)
            for verdict in stage.verdicts()
        )
        if channel.kind == "content" and not text.strip() and not self._emitted.get(channel) and withheld:
            return self._instead(channel)
        return text

    def _instead(self, channel: Channel) -> str:
        """An answer of which nothing was left: the documents' own words, else the text that says so."""
        stated = self._basis.text if self._basis is not None else ""
        passed = self.check_whole(channel.choice, stated) if stated else None
        if passed:
            self._added.append(Verdict("facts", Decision.REPLACE, "stated", evidence=self._cited()))
            return passed
        self._blocked.pop(channel.choice, None)
        self._added.append(Verdict("facts", Decision.FALLBACK, "withheld"))
        return self._policy.replies.text("withheld", self._lang)

    def _cited(self) -> tuple[str, ...]:
        return self._basis.citations if self._basis is not None else ()

    def check_whole(self, choice: int, text: str) -> str | None:
        """A text that leaves in one piece, such as a tool call's argument; None if it must not leave."""
        if choice in self._blocked:
            return None
        checks = self._policy.settings.checks
        words = self._whole.run("words", checks.words, OUTPUT, lambda: self._policy.words.check(text))
        masked = [text]

        def hide() -> Verdict:
            masked[0], verdict = self._policy.privacy.mask(text)
            return verdict

        privacy = self._whole.run("privacy", checks.privacy, OUTPUT, hide)
        if Decision.BLOCK in {words.decision, privacy.decision}:
            self._blocked[choice] = words.reason or privacy.reason
            return None
        if words.decision is not Decision.ALLOW:
            stream = self._policy.words.open()
            masked[0] = stream.feed(masked[0]) + stream.finish()
        return (
            masked[0]
            if privacy.decision is not Decision.ALLOW or words.decision is not Decision.ALLOW
            else text
        )

    def blocked(self, choice: int) -> bool:
        """Whether this choice was refused: its text ended with the refusal."""
        return choice in self._blocked

    def verdicts(self) -> tuple[Verdict, ...]:
        """Every verdict that counts."""
        found = [
            verdict
            for stages in self._stages.values()
            for stage in stages
            if stage.settings.mode is Mode.ENFORCE
            for verdict in stage.verdicts()
            if verdict.decision is not Decision.ALLOW or verdict.failed
        ]
        return (*found, *self._whole.verdicts, *self._added)

    def trace(self) -> tuple[TraceEntry, ...]:
        """One entry a check and channel."""
        trace = Trace()
        for stages in self._stages.values():
            for stage in stages:
                found = stage.verdicts()
                decision = strongest(found)
                chosen = next((v for v in found if v.failed), None) or next(
                    (v for v in found if v.decision is decision), Verdict(stage.name, Decision.ALLOW)
                )
                trace.note(
                    chosen,
                    stage.name,
                    stage.settings,
                    OUTPUT,
                    stage.seconds * 1000,
                    round(stage.mean_held, 3),
                )
        return (*trace.entries, *self._whole.entries)

    def _opened(self, channel: Channel) -> list[Stage]:
        if channel not in self._stages:
            self._stages[channel] = self._open(channel)
        return self._stages[channel]

    def _open(self, channel: Channel) -> list[Stage]:
        policy, checks = self._policy, self._policy.settings.checks
        stages = []
        answers, basis = policy.answers, self._basis
        if channel.kind == "content" and answers is not None and basis is not None:
            stages.append(("facts", checks.facts, lambda: answers.open(basis, self._messages, self._lang)))
        stages.append(("privacy", checks.privacy, policy.privacy.open))
        stages.append(("words", checks.words, policy.words.open))
        return [
            Stage(name, settings, open_) for name, settings, open_ in stages if settings.mode is not Mode.OFF
        ]

    def _stopped(self, channel: Channel, stage: Stage) -> bool:
        if stage.settings.mode is not Mode.ENFORCE:
            return False
        for verdict in stage.verdicts():
            if verdict.decision is Decision.BLOCK:
                self._blocked[channel.choice] = verdict.reason
                return True
        return False

    def _refused(self, channel: Channel, stage: Stage, text: str) -> str:
        """The last piece of a refused channel: what was clean before the refusal, and the refusal."""
        # Only what comes out of the last stage has passed every check.
        text = text if stage is self._stages[channel][-1] and stage.error is None else ""
        self._emitted[channel] = self._emitted.get(channel, False) or bool(text.strip())
        return text + self._refusal(channel)

    def _refusal(self, channel: Channel) -> str:
        """The refusal, once a choice and in its content: another channel may be hidden from the reader."""
        if channel.kind != "content" or channel.choice in self._told:
            return ""
        self._told.add(channel.choice)
        name = "check_failed" if self._blocked[channel.choice] == FAILED else "answer_refused"
        refusal = self._policy.replies.text(name, self._lang)
        return f"\n{refusal}" if self._emitted.get(channel) else refusal
