"""Runs of digits, and the longer numbers that several of them make with something between."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

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
_DIGIT = re.compile(f"[{DIGITS}]")
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


@dataclass(frozen=True, slots=True)
class Row:
    """Neighbouring groups, up to `MOST_DIGITS`, that might be read as one number from the first on."""

    groups: tuple[Group, ...]
    digits: str
    ends: dict[int, int]
    """Count of digits → how many groups make them."""

    def sizes(self, count: int) -> tuple[int, ...]:
        """The digits between separators, of the first `count` groups."""
        out = [len(self.groups[0].digits)]
        for before, group in zip(self.groups[: count - 1], self.groups[1:count], strict=True):
            if before.end == group.start:
                out[-1] += len(group.digits)
            else:
                out.append(len(group.digits))
        return tuple(out)


def rows(piece: Piece, start: int) -> Iterator[Row]:
    """A row for every group from `start` on."""
    coming = _groups(piece, start)
    ahead: deque[Group] = deque()
    count, more = 0, next(coming, None)
    while ahead or more is not None:
        while (
            more is not None and count <= MOST_DIGITS and (not ahead or _joined(piece.text, ahead[-1], more))
        ):
            ahead.append(more)
            count += len(more.digits)
            more = next(coming, None)
        yield _row(tuple(ahead))
        count -= len(ahead.popleft().digits)


def _row(groups: tuple[Group, ...]) -> Row:
    ends: dict[int, int] = {}
    total = 0
    for number, group in enumerate(groups, 1):
        total += len(group.digits)
        if total > MOST_DIGITS:
            groups = groups[: number - 1]
            break
        ends[total] = number
    return Row(groups, "".join([group.digits for group in groups]), ends)


def _joined(text: str, before: Group, after: Group) -> bool:
    gap = after.start - before.end
    return not gap or (gap <= MOST_BETWEEN and _GAP.fullmatch(text, before.end, after.start) is not None)


def _groups(piece: Piece, start: int) -> Iterator[Group]:
    text = piece.text
    for match in _GROUP.finditer(text, start):
        first, end = match.span()
        inside = first == start and _goes_on(piece, first)
        for at in range(first + 1, end) if piece.breaks else ():
            if at in piece.breaks:
                if not inside:
                    yield Group(first, at, values(text[first:at]))
                first, inside = at, False
        if not inside:
            yield Group(first, end, values(text[first:end]))


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


def open_run(piece: Piece, end: int) -> int:
    """Where the row begins that goes up to `end` and may be part of a longer number; `end` if there is none."""
    first = max(piece.low, end - LONGEST)
    found = _OPEN.search(piece.text, first, end)
    if found is None:
        return end
    kept = list(_groups(Piece(piece.text[:end], 0, piece.breaks), found.start()))
    count, start = 0, end
    for group in reversed(kept):
        count += len(group.digits)
        if count > MOST_DIGITS:
            break
        start = group.start
    return start
