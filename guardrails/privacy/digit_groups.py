"""Runs of digits, and the longer numbers that several of them make with something between."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from guardrails.privacy.characters import DIGITS, HAN_DIGITS, OTHER_PLAIN, RINGED, SEPARATORS, values
from guardrails.privacy.find import Piece

# Separators between two groups, at most: `) - (` without its spaces.
MOST_BETWEEN = 4
# Digits of one number, at most: an account has up to thirty.
MOST_DIGITS = 30
# The longest such number as it is written, with a little to spare.
LONGEST = MOST_DIGITS * (MOST_BETWEEN + 1) + 8

# One kind of digits a group: `一13812345678` is not a longer number. Letters count only right behind a digit.
_GROUP = re.compile(
    f"[0-9]+|[{OTHER_PLAIN}]+|[{RINGED}]+|[{HAN_DIGITS}]+|(?<=[{DIGITS}])[OoIl]+|(?<=[{DIGITS}OoIl])[Xx]"
)
_GAP = re.compile(f"[{SEPARATORS}]*")
_FEWEST = 3
# Digits and what may stand between them, three of them at least; what is no group of its own falls out later.
_CHAIN = re.compile(f"[{DIGITS}](?:[{SEPARATORS}]{{0,{MOST_BETWEEN}}}[{DIGITS}OoIlXx]){{{_FEWEST - 1},}}")
_AFTER = re.compile(f"[{SEPARATORS}]{{0,{MOST_BETWEEN}}}[{DIGITS}OoIlXx]")
_BEFORE = re.compile(f"[{DIGITS}][{SEPARATORS}]{{0,{MOST_BETWEEN}}}$")
# What would make one word of a number's last digits and what follows: an address of mail, a longer code.
_WORD_AFTER = re.compile(r" ?[A-Za-z0-9@._%+\-\[(]")
_WORD_BEFORE = re.compile(r"[A-Za-z0-9@._%+\-]$")


@dataclass(frozen=True, slots=True)
class Group:
    """One run of digits of one kind; `digits` as plain ones."""

    start: int
    end: int
    digits: str


class Row:
    """Neighbouring groups that might be read as one number from the one at `first` on, up to `MOST_DIGITS`."""

    __slots__ = ("_ends", "_first", "_groups", "_offset", "digits", "start")

    def __init__(
        self, groups: Sequence[Group], ends: dict[int, int], first: int, offset: int, digits: str
    ) -> None:
        """`ends`: count of digits from the first group of all → how many groups make them."""
        self._groups = groups
        self._ends = ends
        self._first = first
        self._offset = offset
        self.digits = digits
        self.start = groups[first].start

    def ends_at(self, count: int) -> bool:
        """Whether a group ends with the first `count` digits."""
        return self._offset + count in self._ends

    def end(self, count: int) -> int:
        """Where that group ends in the text."""
        return self._groups[self._ends[self._offset + count] - 1].end

    def sizes(self, count: int) -> tuple[int, ...]:
        """The digits between separators, of the first `count` digits."""
        groups = self._groups[self._first : self._ends[self._offset + count]]
        out = [len(groups[0].digits)]
        for before, group in pairwise(groups):
            if before.end == group.start:
                out[-1] += len(group.digits)
            else:
                out.append(len(group.digits))
        return tuple(out)


def rows(piece: Piece, start: int) -> Iterator[Row]:
    """A row for every group from `start` on that has some digits to it."""
    for chain in _CHAIN.finditer(piece.text, start):
        run: list[Group] = []
        for group in _groups(piece, chain.start(), chain.end(), inside=chain.start() == start):
            if run and not _joined(piece.text, run[-1], group):
                yield from _rows(run)
                run = []
            run.append(group)
        yield from _rows(run)


def _rows(groups: list[Group]) -> Iterator[Row]:
    digits = "".join([group.digits for group in groups])
    ends, total = {}, 0
    for number, group in enumerate(groups, 1):
        total += len(group.digits)
        ends[total] = number
    offset = 0
    for number, group in enumerate(groups):
        if total - offset >= _FEWEST:
            yield Row(groups, ends, number, offset, digits[offset : offset + MOST_DIGITS])
        offset += len(group.digits)


def _joined(text: str, before: Group, after: Group) -> bool:
    gap = after.start - before.end
    return not gap or (gap <= MOST_BETWEEN and _GAP.fullmatch(text, before.end, after.start) is not None)


def _groups(piece: Piece, start: int, stop: int, *, inside: bool) -> Iterator[Group]:
    """`inside`: the first group may be the rest of one that began before `start` and is left out then."""
    text = piece.text
    inside = inside and _goes_on(piece, start)
    for match in _GROUP.finditer(text, start, stop):
        first, end = match.span()
        for at in range(first + 1, end) if piece.breaks else ():
            if at in piece.breaks:
                if not inside:
                    yield Group(first, at, _digits(text[first:at]))
                first, inside = at, False
        if not inside:
            yield Group(first, end, _digits(text[first:end]))
        inside = False


def _digits(text: str) -> str:
    return text if text.isascii() and text.isdecimal() else values(text)


def _goes_on(piece: Piece, at: int) -> bool:
    """Whether `at` is inside a group: what came before it was too long to be anything."""
    if not at or at in piece.breaks:
        return False
    match = _GROUP.match(piece.text, at - 1)
    return match is not None and match.end() > at


def stands_alone(text: str, start: int, end: int) -> bool:
    """Whether nothing beside a number could be read together with some of its digits."""
    return (
        _AFTER.match(text, end) is None
        and _WORD_AFTER.match(text, end) is None
        and _BEFORE.search(text, max(0, start - MOST_BETWEEN - 1), start) is None
        and _WORD_BEFORE.search(text, max(0, start - 1), start) is None
    )


_OPEN = re.compile(
    f"[{DIGITS}](?:[{SEPARATORS}]{{0,{MOST_BETWEEN}}}[{DIGITS}]|[OoIlXx])*[{SEPARATORS}]{{0,{MOST_BETWEEN}}}$"
)


_ANY = re.compile(f"[{DIGITS}]")


def any_digit(text: str, start: int) -> bool:
    """Whether there is one from `start` on."""
    return _ANY.search(text, start) is not None


def open_run(piece: Piece, end: int) -> int:
    """Where the row begins that goes up to `end` and may be part of a longer number; `end` if there is none."""
    first = max(piece.low, end - LONGEST)
    found = _OPEN.search(piece.text, first, end)
    if found is None:
        return end
    # The gaps are few enough all along, so that only the count of digits ends a number.
    count, start = 0, end
    for group in reversed(list(_groups(piece, found.start(), end, inside=True))):
        count += len(group.digits)
        if count > MOST_DIGITS:
            break
        start = group.start
    return start
