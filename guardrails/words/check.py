"""The check of texts and streams for denied terms."""

from __future__ import annotations

from collections.abc import Sequence

from guardrails.verdict import Decision, Span, Verdict
from guardrails.words.dictionary import Dictionary, make_dictionary
from guardrails.words.scanner import Hit, Scanner
from guardrails.words.term import Action, Term

NAME = "words"
_MOST_LOGGED = 20


class WordCheck:
    """Denied terms and allowed phrases of one policy. Unchangeable, and pickles as built."""

    def __init__(
        self, deny: Sequence[Term], allow: Sequence[str] = (), engine: str = "pyahocorasick"
    ) -> None:
        self._dictionary = make_dictionary(deny, allow, engine)

    def check(self, text: str) -> Verdict:
        """BLOCK with the first term that is certain, else ALLOW; there the terms that are only logged are told."""
        stream = WordStream(self._dictionary)
        stream.close(text)
        return next(iter(stream.verdicts()), Verdict(NAME, Decision.ALLOW))

    def open(self) -> WordStream:
        """Guard one answer."""
        return WordStream(self._dictionary)


class WordStream:
    """Lets out what can no longer become part of a denied term; nothing after one was certain."""

    def __init__(self, dictionary: Dictionary) -> None:
        self._scanner = Scanner(dictionary)
        self._held = ""
        self._out = 0
        self._logged: list[Hit] = []
        self._blocked: Hit | None = None

    def feed(self, text: str) -> str:
        """What may leave now."""
        if self._blocked is not None or not text:
            return ""
        before = self._scanner
        self._scanner, hits = before.feed(text)
        certain = min((hit.certain for hit in hits if hit.term.action is Action.BLOCK), default=None)
        self._held += text
        if certain is None:
            self._logged += hits[:_MOST_LOGGED]
            return self._release(self._scanner.safe)
        # What leaves must not depend on how much came after the moment of certainty.
        self._scanner, hits = before.feed(text[: certain - before.end])
        return self._block(hits, self._scanner.safe)

    def finish(self) -> str:
        """What was still held."""
        return self.close("")

    def close(self, text: str) -> str:
        """`feed` and `finish` in one, without working out what to hold between them."""
        if self._blocked is not None:
            return ""
        self._held += text
        self._scanner, hits = self._scanner.finish(text)
        blocks = [hit for hit in hits if hit.term.action is Action.BLOCK]
        if blocks:
            return self._block(hits, min(hit.start for hit in blocks))
        self._logged += hits[:_MOST_LOGGED]
        return self._release(self._scanner.end)

    def verdicts(self) -> tuple[Verdict, ...]:
        """The term that blocked, then those that are only logged."""
        found = [] if self._blocked is None else [_verdict(self._blocked, Decision.BLOCK)]
        return (*found, *(_verdict(hit, Decision.ALLOW) for hit in self._logged[:_MOST_LOGGED]))

    def _block(self, hits: Sequence[Hit], safe: int) -> str:
        blocks = [hit for hit in hits if hit.term.action is Action.BLOCK]
        self._blocked = min(blocks, key=lambda hit: (hit.certain, hit.start, -hit.end, hit.term.id))
        self._logged += [
            hit for hit in hits if hit.term.action is Action.LOG and hit.certain <= self._blocked.certain
        ]
        out = self._release(safe)
        self._held = ""
        return out

    def _release(self, safe: int) -> str:
        size = safe - self._out
        out, self._held, self._out = self._held[:size], self._held[size:], safe
        return out


def _verdict(hit: Hit, decision: Decision) -> Verdict:
    return Verdict(NAME, decision, hit.term.tag, (Span(hit.start, hit.end),), (hit.term.id,))
