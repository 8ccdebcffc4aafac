"""A candidate as it stands in its text: its letters, what separates them, and what stands beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guardrails.normalise import characters
from guardrails.words.ordinary import is_alphabetic, is_han
from guardrails.words.skeleton import digit_of, plain

LONGEST_GAP = 12
"""Separators that may stand between two letters of a term."""
UNSEEN = 24
"""Invisible characters beyond which the neighbour of a term no longer counts."""
BEFORE, AFTER = 6, 4
"""Chinese characters looked at on either side."""
_AROUND_SPACED = 6


@dataclass(frozen=True, slots=True)
class Reading:
    """`letters[i]` is preceded by the separators `gaps[i]`, the first by none. `first`, `last`: its place."""

    letters: str
    gaps: tuple[str, ...]
    originals: str
    first: int
    last: int
    before: str
    after: str

    @property
    def spaced(self) -> bool:
        """Whether every letter stands alone."""
        return len(self.letters) > 2 and all(self.gaps[1:])


def read(text: str, origins: Sequence[int], start: int, end: int) -> Reading:
    """What `skeleton(text)[start:end]` is in the text."""
    first, last = int(origins[start]), int(origins[end - 1])
    skipped = 0
    while start - skipped > 0 and origins[start - skipped - 1] == first:
        skipped += 1
    letters, gaps, originals, gap = [], [], [], ""
    for at in range(first, last + 1):
        found = plain(text[at])
        for letter in found:
            letters.append(letter)
            gaps.append(gap)
            originals.append(text[at])
            gap = ""
        if not found:
            gap += characters().fold(text[at])
    part = slice(skipped, skipped + end - start)
    gaps = ["", *gaps[part][1:]]
    return Reading(
        "".join(letters[part]),
        tuple(gaps),
        "".join(originals[part]),
        first,
        last,
        before(text, first),
        after(text, last + 1),
    )


def before(text: str, place: int) -> str:
    """The letters that stand directly before: Chinese up to `BEFORE`, or one other; nearest last."""
    found = ""
    for at in range(place - 1, max(-1, place - 1 - UNSEEN - BEFORE), -1):
        letters = plain(text[at])
        if not letters:
            if characters().fold(text[at]):
                break
            continue
        if not is_han(letters[-1]):
            return found or letters[-1]
        found = letters + found
        if len(found) >= BEFORE:
            break
    return found


def after(text: str, place: int) -> str:
    """The letters that stand directly after: Chinese up to `AFTER`, or one other."""
    found = ""
    for at in range(place, min(len(text), place + UNSEEN + AFTER)):
        letters = plain(text[at])
        if not letters:
            if characters().fold(text[at]):
                break
            continue
        if not is_han(letters[0]):
            return found or letters[0]
        found += letters
        if len(found) >= AFTER:
            break
    return found[:AFTER]


def horizon(text: str, place: int, edge: str) -> int | None:
    """How far the text must have come to judge what ends at `place` in the letter `edge`; None: not yet."""
    han = 0
    visible = 0
    for at in range(place, min(len(text), place + UNSEEN + AFTER)):
        letters = plain(text[at])
        if not letters and not characters().fold(text[at]):
            continue
        if is_han(edge):
            if not letters or not is_han(letters[0]):
                return at + 1
            han += 1
            if han >= AFTER:
                return at + 1
        else:
            visible += 1
            if (visible == 1 and letters) or visible >= _AROUND_SPACED:
                return at + 1
    limit = place + UNSEEN + AFTER
    return limit if len(text) >= limit else None


def too_wide(gap: str) -> bool:
    """Whether separators tear a term apart."""
    return len(gap) > LONGEST_GAP


def spaced_on(text: str, first: int, last: int) -> bool:
    """Whether a spaced-out word goes on beyond `first` or `last`: h e _l l_ o."""
    return _alone(text, first - 1, -1) or _alone(text, last + 1, 1)


def _alone(text: str, at: int, step: int) -> bool:
    steps = 0
    while 0 <= at < len(text) and not plain(text[at]) and steps < 3:
        at += step
        steps += 1
    if not 0 <= at < len(text) or steps == 3:
        return False
    letters = plain(text[at])
    beyond = at + step
    alone = not 0 <= beyond < len(text) or not plain(text[beyond])
    return bool(letters) and alone and is_alphabetic(letters[0])


def number_on(text: str, first: int, last: int) -> bool:
    """Whether a number goes on beyond its digits: 1,_64_ or _64_.5."""
    return any(
        0 <= at < len(text)
        and text[at] in ".,．，"
        and 0 <= at + step < len(text)
        and bool(digit_of(plain(text[at + step]) or " "))
        for at, step in ((first - 1, -1), (last + 1, 1))
    )
