"""The check of texts and streams for denied terms."""

from __future__ import annotations

from collections.abc import Sequence

from guardrails.normalise import characters
from guardrails.verdict import Decision, Span, Verdict
from guardrails.words.decode import has_code
from guardrails.words.decoded import DecodedScanner, decoded_after
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
        self._plain = Scanner(dictionary)
        self._decoded: DecodedScanner | None = None
        self._held = ""
        self._quiet = ""
        self._out = 0
        self._logged: list[Hit] = []
        self._blocked: Hit | None = None

    def feed(self, text: str) -> str:
        """What may leave now."""
        if self._blocked is not None or not text:
            return ""
        if _unseen(text):
            # They belong to what comes before or after. Ten thousand of them are one piece, not ten thousand.
            self._quiet += text
            return ""
        text, self._quiet = self._quiet + text, ""
        plain, decoded = self._plain, self._decoded
        hits = self._scan(text)
        certain = min((hit.certain for hit in hits if hit.term.action is Action.BLOCK), default=None)
        self._held += text
        if certain is not None:
            # What leaves must not depend on how much came after the moment of certainty.
            self._plain, self._decoded = plain, decoded
            hits = self._scan(text[: certain - plain.end])
            return self._block(hits, self._safe())
        self._log(hits)
        return self._release(self._safe())

    def finish(self) -> str:
        """What was still held."""
        return self.close("")

    def close(self, text: str) -> str:
        """`feed` and `finish` in one, without working out what to hold between them."""
        if self._blocked is not None:
            return ""
        text = self._quiet + text
        self._held += text
        hits = self._scan(text, last=True)
        blocks = [hit for hit in hits if hit.term.action is Action.BLOCK]
        if blocks:
            return self._block(hits, min(hit.start for hit in blocks))
        self._log(hits)
        return self._release(self._plain.end)

    def verdicts(self) -> tuple[Verdict, ...]:
        """The term that blocked, then those that are only logged."""
        found = [] if self._blocked is None else [_verdict(self._blocked, Decision.BLOCK)]
        return (*found, *(_verdict(hit, Decision.ALLOW) for hit in self._logged))

    def _scan(self, text: str, *, last: bool = False) -> list[Hit]:
        """What became certain, in the text as it stands and with its codes undone."""
        if self._decoded is None and has_code(text):
            self._decoded = decoded_after(self._plain)
        self._plain, hits = self._plain.finish(text) if last else self._plain.feed(text)
        if self._decoded is not None:
            self._decoded, more = self._decoded.feed(text, last=last)
            hits = hits + more
        return hits

    def _safe(self) -> int:
        return self._plain.safe if self._decoded is None else min(self._plain.safe, self._decoded.safe)

    def _log(self, hits: Sequence[Hit]) -> None:
        for hit in hits:
            if len(self._logged) < _MOST_LOGGED and all(
                (one.term, one.start) != (hit.term, hit.start) for one in self._logged
            ):
                self._logged.append(hit)

    def _block(self, hits: Sequence[Hit], safe: int) -> str:
        blocks = [hit for hit in hits if hit.term.action is Action.BLOCK]
        self._blocked = min(blocks, key=lambda hit: (hit.certain, hit.start, -hit.end, hit.term.id))
        self._log(
            [hit for hit in hits if hit.term.action is Action.LOG and hit.certain <= self._blocked.certain]
        )
        out = self._release(safe)
        self._held = ""
        return out

    def _release(self, safe: int) -> str:
        size = safe - self._out
        out, self._held, self._out = self._held[:size], self._held[size:], safe
        return out


def _unseen(text: str) -> bool:
    """Whether a piece shows nothing."""
    fold = characters().fold
    return not fold(text[0]) and not fold(text[-1]) and not any(map(fold, text))


def _verdict(hit: Hit, decision: Decision) -> Verdict:
    return Verdict(NAME, decision, hit.term.tag, (Span(hit.start, hit.end),), (hit.term.id,))
