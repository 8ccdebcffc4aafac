"""Whether a candidate is the denied term, or ordinary words in which its letters meet by chance.

Two explanations of the same stretch are compared: that its author wrote ordinary words, and that he wrote the term
and disguised it. Each costs twice the negative log of its probability; see `ordinary.cost`.
"""

from __future__ import annotations

from guardrails.words.ordinary import (
    TERM,
    chinese_words,
    cost,
    crossing_cost,
    english_words,
    is_alphabetic,
    is_han,
)
from guardrails.words.pattern import Pattern
from guardrails.words.reading import Reading, number_on, spaced_on, too_wide
from guardrails.words.skeleton import digit_of, same_numeral
from guardrails.words.term import Boundary, Level, Term

STRADDLES, STRADDLES_WORD, STRADDLES_TORN = 12, 20, 8
"""How much less probable ordinary words across a term's edge may be and still rescue it.

That there are such words at all is telling: around a term that was meant there hardly ever are.
"""
_SENTENCE, _CLAUSE, _LINE = frozenset("。！？!?；;…"), frozenset("，,、：:"), frozenset("\n")
_BRACKETS = frozenset("《》“”\"'‘’()（）「」【】[]〈〉")
_LIST = frozenset("/-|")
_JOINING = frozenset(" \n.,;:!?'\"()/-_&+…–—’‘“”·•|，。、；：！？（）")


def is_term(text: str, pattern: Pattern, term: Term, reading: Reading) -> bool:
    """The verdict on one candidate. Looks no further than `reading.horizon` allows."""
    if any(map(too_wide, reading.gaps)):
        return False
    disguised = _swaps(pattern, reading)
    if disguised is None or _inside_word(text, pattern, reading):
        return False
    torn = [
        at for at, gap in enumerate(reading.gaps) if gap and not (at in pattern.breaks and _own_break(gap))
    ]
    if any(at in pattern.breaks for at in torn) and not reading.spaced:
        # The term's own words, but in two sentences.
        return False
    if term.level is Level.LOW and (torn or disguised):
        return False
    if torn and not _may_be_torn(text, reading, len(torn)):
        return False
    han = sum(map(is_han, reading.letters))
    if not han:
        return True
    if term.level is Level.HIGH and not pattern.cost and term.boundary is not Boundary.WORD:
        return True
    if pattern.cost:
        return _meant(pattern, reading, torn)
    if torn:
        return len(torn) > 1 or not _by_chance(reading, torn[0])
    margin = STRADDLES_WORD if term.boundary is Boundary.WORD else STRADDLES
    return term.boundary is Boundary.ANY or not _straddles(reading, margin)


def _swaps(pattern: Pattern, reading: Reading) -> bool | None:
    """Whether letters are written with others of the same skeleton; None where that is not the same word."""
    leet = numerals = exact = 0
    for wanted, found, original in zip(pattern.letters, reading.letters, reading.originals, strict=True):
        if wanted == found:
            exact += 1
        elif same_numeral(wanted, found):
            numerals += 1
        elif ({wanted, found} == {"i", "l"} and original in "I|") or (
            bool(digit_of(wanted)) != bool(digit_of(found)) and not is_han(wanted) and not is_han(found)
        ):
            leet += 1
        else:
            return None
    if leet and not exact:
        return None
    if numerals and not exact and reading.originals.isascii() and is_han(pattern.letters[0]):
        # 六四 is not every 64.
        return None
    return bool(leet or numerals)


def _inside_word(text: str, pattern: Pattern, reading: Reading) -> bool:
    """Whether an alphabetic word or a number goes on beyond the candidate."""
    for edge, beside in ((reading.letters[0], reading.before[-1:]), (reading.letters[-1], reading.after[:1])):
        if is_alphabetic(edge) and beside and is_alphabetic(beside):
            return True
        if edge.isdigit() and beside.isdigit():
            return True
    if pattern.letters.isdigit() and (any(reading.gaps) or number_on(text, reading.first, reading.last)):
        return True
    return (
        reading.spaced and is_alphabetic(reading.letters[0]) and spaced_on(text, reading.first, reading.last)
    )


def _own_break(gap: str) -> bool:
    """Whether separators may stand between the words of a term: not the end of a sentence."""
    return gap.strip() == gap or not any(char in ".!?;:,。！？；：，" for char in gap)


def _may_be_torn(text: str, reading: Reading, tears: int) -> bool:
    """Alphabetic words torn apart: not where the pieces are words themselves, such as `pen is`."""
    if not all(map(is_alphabetic, reading.letters)):
        return True
    if len(reading.letters) < 3:
        return False
    if reading.spaced:
        return True
    if not all(piece in english_words() for piece in _pieces(reading)):
        return True
    # Nobody joins words with such signs.
    return all(not gap or not set(gap) & _JOINING for gap in reading.gaps)


def _pieces(reading: Reading) -> list[str]:
    pieces = [""]
    for letter, gap in zip(reading.letters, reading.gaps, strict=True):
        if gap:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def _straddles(reading: Reading, margin: int) -> bool:
    """Whether ordinary words that cross the term's edges explain the text: 大 in 大|麻烦."""
    before, after = _han(reading.before), _han(reading.after)
    apart = cost(before) + min(TERM, cost(reading.letters)) + cost(after)
    start = len(before)
    across = crossing_cost(before + reading.letters + after, start, start + len(reading.letters))
    return across <= apart + margin


def _by_chance(reading: Reading, at: int) -> bool:
    """Whether the end of one stretch and the beginning of the next only happen to make the term: 很大。麻烦."""
    before, after = _han(reading.before), _han(reading.after)
    head, tail, gap = reading.letters[:at], reading.letters[at:], reading.gaps[at]
    if _SENTENCE & set(gap) and all(len(one) > 1 and one in chinese_words() for one in (head, tail)):
        return True
    left, right = before + head, tail + after
    across = min(crossing_cost(left, len(before)) + cost(right), cost(left) + crossing_cost(right, len(tail)))
    meant = cost(before) + min(TERM, cost(reading.letters)) + cost(after) + _break_cost(gap)
    return across + _oddness(gap) <= meant + STRADDLES_TORN


def _meant(pattern: Pattern, reading: Reading, torn: list[int]) -> bool:
    """Whether a term with a character swapped is the better explanation."""
    before, after = _han(reading.before), _han(reading.after)
    gaps = [reading.gaps[at] for at in torn]
    pieces = _pieces(reading) if torn else [reading.letters]
    pieces[0] = before + pieces[0]
    pieces[-1] += after
    ordinary = sum(map(cost, pieces)) + sum(map(_oddness, gaps))
    return cost(before) + pattern.cost + cost(after) + sum(map(_break_cost, gaps)) <= ordinary


def _break_cost(gap: str) -> int:
    """How unlikely separators are inside a term."""
    kinds = set(gap)
    if kinds & _SENTENCE:
        return 10
    if kinds & _CLAUSE:
        return 8
    if kinds & _LINE:
        return 4 if gap.count("\n") <= 2 else 10
    if kinds & _BRACKETS or kinds & _LIST:
        return 3
    return 3 if not gap.strip() else 0


def _oddness(gap: str) -> int:
    """How unlikely separators are between ordinary Chinese words."""
    plain = _SENTENCE | _CLAUSE | _LINE | _BRACKETS | _LIST | {" "}
    return 0 if set(gap) & plain else 8


def _han(letters: str) -> str:
    return "".join(filter(is_han, letters))
