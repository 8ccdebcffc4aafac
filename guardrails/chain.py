"""The chain: every check in its order, before an answer is written and while it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from guardrails.language import detect
from guardrails.message import Message
from guardrails.output import Output
from guardrails.policy.policy import Policy
from guardrails.policy.ports import Reply
from guardrails.session import Session, Ticket
from guardrails.trace import Trace, TraceEntry
from guardrails.verdict import Decision, Verdict

INPUT = "input"
# What a question may be long; the checks before see all of it, and so does the engine.
MAX_QUESTION = 4000
HISTORY = 12
_SUMMARY = 200


@dataclass(frozen=True, slots=True)
class InputOutcome:
    """What is to happen with a request: a fixed reply, or an answer written from `messages`.

    `messages`: the conversation as an engine may see it, masked; `kept`: their positions among those that came,
    without what was refused in an earlier request. `others`: masked likewise, in the order given.
    `grounded`: the engine's short prompt, instead of `messages`; None where there are no documents.
    """

    messages: tuple[Message, ...]
    kept: tuple[int, ...]
    others: tuple[str, ...]
    lang: str
    verdicts: tuple[Verdict, ...] = ()
    trace: tuple[TraceEntry, ...] = ()
    reply: str | None = None
    grounded: tuple[Message, ...] | None = None
    basis: Reply | None = None
    citations: tuple[str, ...] = ()
    ticket: Ticket | None = None
    counted: tuple[str, ...] = field(default=())


class Chain:
    """The checks of one policy. Holds nothing of a request, so one chain serves all of them."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._checks = policy.settings.checks

    def check_input(
        self, messages: Sequence[Message], *, others: Sequence[str] = (), session: Session | None = None
    ) -> InputOutcome:
        """Every check of a request. `others`: more texts an engine would see, such as tool definitions."""
        screened = self.screen(messages, others=others)
        return screened if screened.reply is not None else self.respond(screened, session or Session())

    def screen(self, messages: Sequence[Message], *, others: Sequence[str] = ()) -> InputOutcome:
        """The checks of the text alone: words, fraud, privacy, attacks, the wish for a person."""
        trace = Trace()
        kept = self._not_refused(messages)
        messages = [messages[position] for position in kept]
        question = _last_user(messages)
        lang = detect(question) if question else "zh"
        texts = [message.content for message in messages] + list(others)
        words = trace.run("words", self._checks.words, INPUT, lambda: self._worst(texts))
        fraud = trace.run("fraud", self._checks.fraud, INPUT, lambda: self._fraud(question, messages, lang))
        masked = self._masked(trace, texts)
        attack = trace.run("attack", self._checks.attack, INPUT, lambda: self._attacks(messages))
        handoff = trace.run("handoff", self._checks.handoff, INPUT, lambda: self.policy.handoff(question))
        outcome = InputOutcome(
            messages=tuple(
                replace(message, content=content) for message, content in zip(messages, masked, strict=False)
            ),
            kept=tuple(kept),
            others=tuple(masked[len(messages) :]),
            lang=lang,
        )
        verdicts = trace.verdicts
        if fraud.decision is Decision.WARN:
            # Who is in danger gets the warning, not a refusal for the words the swindler used. Both are fixed texts.
            verdicts = [verdict for verdict in verdicts if verdict is not words]
        outcome = replace(outcome, verdicts=tuple(verdicts), trace=tuple(trace.entries))
        return self._screened(outcome, words, fraud, attack, handoff)

    def _screened(
        self, outcome: InputOutcome, words: Verdict, fraud: Verdict, attack: Verdict, handoff: Verdict
    ) -> InputOutcome:
        """The fixed reply that follows from the verdicts, if one does."""
        if fraud.decision is Decision.WARN:
            return self._fixed(outcome, "warning", fraud.reason, counted="warned", ticket=True)
        if any(verdict.failed and verdict.decision is Decision.BLOCK for verdict in outcome.verdicts):
            return self._fixed(outcome, "check_failed", counted="refused")
        if words.decision is Decision.BLOCK:
            return self._fixed(outcome, "refusal", words.reason, counted="refused")
        if fraud.decision is Decision.BLOCK:
            return self._fixed(outcome, "probe", fraud.reason, counted="refused")
        if attack.decision is Decision.BLOCK:
            return self._fixed(outcome, "refusal", attack.reason, counted="refused")
        for verdict in (fraud, handoff):
            if verdict.decision is Decision.HANDOFF:
                return self._fixed(outcome, "handoff", verdict.reason, ticket=True)
        return outcome

    def respond(self, outcome: InputOutcome, session: Session) -> InputOutcome:
        """What the documents say: an approved answer, a grounded prompt, or the fallback ladder."""
        answers = self.policy.answers
        settings = self._checks.answers
        if answers is None:
            return outcome
        recent = _recent(outcome.messages)
        found: list[Reply] = []

        def decide() -> Verdict:
            found.append(answers.respond(recent, outcome.lang))
            return _verdict_of(found[0])

        trace = Trace()
        verdict = trace.run("answers", settings, INPUT, decide)
        outcome = replace(
            outcome,
            verdicts=outcome.verdicts + tuple(trace.verdicts),
            trace=outcome.trace + tuple(trace.entries),
        )
        if verdict.failed or not found:
            closed = verdict.decision is Decision.BLOCK
            return self._fixed(outcome, "check_failed") if closed else outcome
        reply = found[0]
        outcome = replace(outcome, citations=reply.citations)
        enforced = settings.mode.value == "enforce"
        if reply.kind == "grounded" or not enforced:
            grounded = answers.ground(reply, recent, outcome.lang) if reply.kind == "grounded" else None
            return replace(outcome, grounded=grounded, basis=reply if grounded else None)
        if reply.kind == "approved":
            return replace(outcome, reply=reply.text)
        return self._ladder(outcome, reply, recent, session)

    def _ladder(
        self, outcome: InputOutcome, reply: Reply, recent: Sequence[Message], session: Session
    ) -> InputOutcome:
        """Clarify once, then the nearest questions, then a person."""
        answers, ladder, lang = self.policy.answers, self.policy.settings.ladder, outcome.lang
        assert answers is not None
        topics = answers.topics(lang)
        if reply.reason == "greeting":
            return replace(outcome, reply=self.policy.replies.text("greeting", lang, topics=topics))
        if reply.kind == "clarify" and not session.clarified and reply.text:
            text = self.policy.replies.text("clarify", lang, question=reply.text)
            return replace(outcome, reply=text, counted=("clarified",))
        if session.unknown + 1 >= ladder.handoff_after:
            verdict = Verdict("answers", Decision.HANDOFF, "unanswered")
            outcome = replace(outcome, verdicts=(*outcome.verdicts, verdict), counted=("unknown",))
            return self._fixed(outcome, "handoff_unknown", "unanswered", ticket=True)
        if reply.kind == "out_of_domain":
            text = self.policy.replies.text("out_of_domain", lang, topics=topics)
        else:
            nearest = answers.nearest(recent, lang, ladder.nearest) if ladder.nearest else ()
            text = self.policy.replies.text("unknown", lang, nearest=nearest)
        return replace(outcome, reply=text, counted=("unknown",))

    def open_output(self, outcome: InputOutcome) -> Output:
        """The guard of the answer that is written for `outcome`."""
        return Output(self.policy, outcome.lang, outcome.basis, _recent(outcome.messages))

    def mask(self, text: str) -> str:
        """`text` as it may be written down."""
        return self.policy.privacy.mask(text)[0]

    def _fixed(
        self, outcome: InputOutcome, name: str, reason: str = "", *, counted: str = "", ticket: bool = False
    ) -> InputOutcome:
        return replace(
            outcome,
            reply=self.policy.replies.text(name, outcome.lang, reason=reason),
            counted=(*outcome.counted, counted) if counted else outcome.counted,
            ticket=self._ticket(outcome, reason or name) if ticket else None,
        )

    def _ticket(self, outcome: InputOutcome, reason: str) -> Ticket:
        digest = sha256()
        for message in outcome.messages:
            digest.update(f"{message.role}\0{message.content}\0".encode("utf-8", "surrogatepass"))
        asked = [message.content for message in outcome.messages if message.role == "user"]
        try:
            # Also where masking is off for the engine: a ticket leaves the service.
            summary = " / ".join(self.mask(text[:MAX_QUESTION])[:_SUMMARY] for text in asked[-3:])
        except Exception:
            summary = ""
        return Ticket(reason, outcome.lang, summary, outcome.citations, digest.hexdigest(), len(asked))

    def _not_refused(self, messages: Sequence[Message]) -> list[int]:
        """All but what was refused before: a client repeats the whole conversation with each request."""
        refusals = {
            self.policy.replies.text(name, lang)
            for name in ("refusal", "probe", "answer_refused")
            for lang in ("zh", "en")
        }
        kept: list[int] = []
        for position, message in enumerate(messages):
            refused = message.role == "assistant" and message.content.strip() in refusals
            if refused and kept and messages[kept[-1]].role == "user":
                kept.pop()
            elif not refused:
                kept.append(position)
        return kept

    def _worst(self, texts: Sequence[str]) -> Verdict:
        """The first text's verdict that blocks, else the first that is not allow."""
        found = [self.policy.words.check(text) for text in texts if text]
        blocked = [verdict for verdict in found if verdict.decision is Decision.BLOCK]
        noted = [verdict for verdict in found if verdict.decision is not Decision.ALLOW]
        return (blocked or noted or [Verdict("words", Decision.ALLOW)])[0]

    def _fraud(self, question: str, messages: Sequence[Message], lang: str) -> Verdict:
        history = [message.content for message in messages if message.role == "user"][-HISTORY:-1]
        return self.policy.fraud.check(question, history, lang)

    def _attacks(self, messages: Sequence[Message]) -> Verdict:
        for message in messages:
            if message.role in {"user", "tool", "function"}:
                verdict = self.policy.attack(message.content)
                if verdict.decision is not Decision.ALLOW:
                    return verdict
        return Verdict("attack", Decision.ALLOW)

    def _masked(self, trace: Trace, texts: Sequence[str]) -> list[str]:
        """`texts` as the engine may see them. A privacy check that broke lets none of them through."""
        masked = list(texts)

        def hide() -> Verdict:
            found = [self.policy.privacy.mask(text) for text in texts]
            masked[:] = [text for text, _ in found]
            return next(
                (verdict for _, verdict in found if verdict.decision is not Decision.ALLOW),
                Verdict("privacy", Decision.ALLOW),
            )

        verdict = trace.run("privacy", self._checks.privacy, INPUT, hide)
        return masked if verdict.decision is not Decision.ALLOW else list(texts)


def _verdict_of(reply: Reply) -> Verdict:
    """How a reply of the documents counts."""
    fallback = reply.kind not in {"approved", "grounded"} and reply.reason != "greeting"
    return Verdict(
        "answers",
        Decision.FALLBACK if fallback else Decision.ALLOW,
        f"{reply.kind}.{reply.reason}" if reply.reason else reply.kind,
        evidence=reply.citations,
        score=reply.confidence,
    )


def _last_user(messages: Sequence[Message]) -> str:
    return next((message.content for message in reversed(messages) if message.role == "user"), "")


def _recent(messages: Sequence[Message]) -> list[Message]:
    """The end of a conversation, each message cut to what a question may be long."""
    return [replace(message, content=message.content[:MAX_QUESTION]) for message in messages[-HISTORY:]]
