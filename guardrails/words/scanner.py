"""The search in a text that grows. What it says depends on the text alone, not on the pieces it came in.

Of a text that has come so far: the candidates in it; those of them that can be judged, because as much has followed
as the judgement looks at; and the place up to which no later character can change anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from guardrails.normalise import characters
from guardrails.words.decode import END
from guardrails.words.dictionary import Allowed, Dictionary
from guardrails.words.judge import is_term
from guardrails.words.ordinary import is_alphabetic
from guardrails.words.reading import BEFORE, LONGEST_GAP, UNSEEN, horizon, read
from guardrails.words.skeleton import origins, plain, skeleton
from guardrails.words.term import Action, Term

_ALLOWED_REACH = 24
"""Characters an allowed phrase may have more in the text than it has letters, on either side of the term."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A denied term in the text: where, and how many characters had come when it was certain."""

    term: Term
    start: int
    end: int
    certain: int


@dataclass(frozen=True, slots=True)
class Scanner:
    """`text` starts at `base` of the whole; `safe`: what comes before this place is settled."""

    dictionary: Dictionary
    text: str = ""
    base: int = 0
    safe: int = 0

    @property
    def end(self) -> int:
        """Characters that have come."""
        return self.base + len(self.text)

    def feed(self, piece: str) -> tuple[Scanner, list[Hit]]:
        """After some more of the text: the scanner, and what became certain."""
        return self._scan(piece, last=False)

    def finish(self, piece: str = "") -> tuple[Scanner, list[Hit]]:
        """Likewise, with the end of the text."""
        return self._scan(piece, last=True)

    def _scan(self, piece: str, *, last: bool) -> tuple[Scanner, list[Hit]]:
        text, base, seen = self.text + piece, self.base, self.end
        form = skeleton(text)
        engine = self.dictionary.engine
        candidates = engine.find(form)
        if last and not candidates:
            return replace(self, text="", base=base + len(text), safe=base + len(text)), []
        places = origins(text)
        hits: list[Hit] = []
        held = len(text)
        for start, end, number in candidates:
            first = int(places[start])
            if _cannot_start(text, first, int(places[end - 1]) + 1):
                # Nothing was held back for it.
                continue
            needed, allowed = self._horizon(text, form, places, (start, end, number), last=last)
            if needed is None:
                held = min(held, first)
                continue
            certain = needed + base if needed <= len(text) else END
            if certain <= seen:
                continue
            for term in () if allowed else self._terms(text, places, start, end, number):
                hits.append(Hit(term, base + first, base + int(places[end - 1]) + 1, certain))
                if term.action is Action.BLOCK:
                    held = min(held, first)
        if not last:
            held = min(held, self._opening(text, form, places))
        safe = max(self.safe, base + held)
        kept = max(0, safe - base - _context(self.dictionary))
        return replace(self, text=text[kept:], base=base + kept, safe=safe), hits

    def _terms(self, text: str, places: Sequence[int], start: int, end: int, number: int) -> list[Term]:
        reading = read(text, places, start, end)
        terms = self.dictionary.terms
        return [
            terms[pattern.term]
            for pattern in self.dictionary.patterns[number]
            if is_term(text, pattern, terms[pattern.term], reading)
        ]

    def _horizon(
        self, text: str, form: str, places: Sequence[int], candidate: tuple[int, int, int], *, last: bool
    ) -> tuple[int | None, bool]:
        """(how much of the text decides a candidate, whether an allowed phrase covers it)."""
        start, end, number = candidate
        place = int(places[end - 1]) + 1
        needed = horizon(text, place, plain(text[place - 1])[-1])
        rescued = False
        for phrase in self.dictionary.allowed.get(number, ()):
            until, covers = _covered(text, form, places, (start, end), phrase)
            rescued = rescued or covers
            needed = None if until is None or needed is None else max(needed, until)
        if needed is None and last:
            needed = len(text) + 1
        return needed, rescued

    def _opening(self, text: str, form: str, places: Sequence[int]) -> int:
        """Where the last stretch starts that may still become a term."""
        engine = self.dictionary.engine
        at = max(0, len(form) - len(engine))
        while (at := engine.opening(form, at)) < len(form):
            place = int(places[at])
            if not _cannot_start(text, place, len(text)):
                return place
            at += 1
        return len(text)


def _context(dictionary: Dictionary) -> int:
    """Characters kept before what is not settled: as far as any judgement looks back."""
    reach = max((len(one.before) for those in dictionary.allowed.values() for one in those), default=0)
    return max(UNSEEN + BEFORE + 2, reach + _ALLOWED_REACH)


def _covered(
    text: str, form: str, places: Sequence[int], span: tuple[int, int], phrase: Allowed
) -> tuple[int | None, bool]:
    """(how much of the text decides whether an allowed phrase stands around a candidate, whether it does)."""
    start, end = span
    first, last = int(places[start]), int(places[end - 1])
    left = start - len(phrase.before)
    if left < 0 or form[left:start] != phrase.before:
        return 0, False
    if first - int(places[left]) > len(phrase.before) + _ALLOWED_REACH:
        return 0, False
    limit = last + 1 + len(phrase.after) + _ALLOWED_REACH
    for at, wanted in enumerate(phrase.after, end):
        if at >= len(form):
            return (None, False) if len(text) < limit else (limit, False)
        if form[at] != wanted or int(places[at]) >= limit:
            return min(limit, int(places[at]) + 1), False
    return int(places[end + len(phrase.after) - 1]) + 1, True


def _cannot_start(text: str, place: int, end: int) -> bool:
    """Whether no term starts at `place` and reaches `end`, whatever follows."""
    return _inside_word(text, place) or _torn(text, place, end)


def _inside_word(text: str, place: int) -> bool:
    """Whether an alphabetic word has begun before `place`: terms are whole words."""
    here = plain(text[place])
    before = plain(text[place - 1]) if place else ""
    return bool(before) and is_alphabetic(here[0]) and is_alphabetic(before[-1])


def _torn(text: str, place: int, end: int) -> bool:
    """Whether more separators stand somewhere than a term may have between its letters."""
    if end - place <= LONGEST_GAP:
        return False
    run = 0
    for char in text[place:end]:
        run = 0 if plain(char) else run + bool(characters().fold(char))
        if run > LONGEST_GAP:
            return True
    return False
