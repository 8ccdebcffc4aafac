"""Hides private data while a text is written; a whole text is a stream of one piece."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from guardrails.privacy.characters import DIGITS, fold, seen
from guardrails.privacy.find import BEFORE, Find, Piece, Recogniser
from guardrails.privacy.mask import masked
from guardrails.privacy.postal_address import may_go_on
from guardrails.privacy.rules import PrivacyFile
from guardrails.privacy.secrets import KEY_BLOCK
from guardrails.verdict import Decision, Span, Verdict

CHECK = "privacy"
# A text without any of these has nothing to hide, and none of it may become anything.
_OF_INTEREST = re.compile(f"[!-~{DIGITS}市区县镇乡州址家住寄區縣鎮鄉\uff01-\uff5e\U0001d400-\U0001d7ff]")
_BLOCK_END = re.compile(r"-----END [A-Z ]{0,24}PRIVATE KEY-----")
_BLOCK_END_LENGTH = 64
# A long text is read in such pieces, which bounds what is looked at again after a find.
_BLOCK = 256
_SHORT = 1024
# A text with more finds is a list of private data. The rest of it is hidden without looking for where each ends.
MOST_FINDS = 2000
_WORTH_HIDING = re.compile(f"[{DIGITS}A-Za-z@\uff10-\uff5a]")
# Spans noted of one text; the rest are hidden without being listed.
MOST_SPANS = 1000


@dataclass(frozen=True, slots=True)
class Rules:
    """What a stream works with; unchangeable."""

    file: PrivacyFile
    recognisers: tuple[Recogniser, ...]
    allowed: frozenset[str]

    def keeps(self, find: Find) -> bool:
        """Whether a find may be read by all."""
        return find.name in self.allowed


class MaskingStream:
    """One text. `feed` gives out what cannot become private any more."""

    def __init__(self, rules: Rules, on_find: Callable[[Find], None] | None = None) -> None:
        self._rules = rules
        self._on_find = on_find
        self._text = ""  # Folded: what was before, and from `_low` on what is held.
        self._low = 0
        self._breaks: set[int] = set()  # Folded characters with something unseen before them.
        self._break_coming = False
        self._held = ""  # The original of what is held, with what nobody sees.
        self._places: list[int] = []  # Where each folded character from `_low` on stands in it.
        self._given = 0  # Characters of the original before `_held`.
        self._swallowing: Swallowing | None = None
        self._expecting = False  # Whether any letter might begin a find here.
        self._kinds: dict[str, None] = {}
        self._finds = 0
        self._spans: list[Span] = []
        self._listed = False  # Whether the last find is among them.

    def feed(self, text: str) -> str:
        """Take what came, return what may leave now."""
        if len(text) <= _SHORT:
            return self._feed(text)
        return "".join([self._feed(text[at : at + _BLOCK]) for at in range(0, len(text), _BLOCK)])

    def whole(self, text: str) -> str:
        """A text that has all come."""
        if len(text) > _SHORT:
            return self.feed(text) + self.finish()
        if _OF_INTEREST.search(text) is None:
            return text
        self._append(text)
        return self._release(last=True)

    def _feed(self, text: str) -> str:
        idle = not self._held and self._swallowing is None and not self._expecting
        if idle and _OF_INTEREST.search(text) is None:
            self._pass(text)
            return text
        self._append(text)
        return self._release(last=False)

    def finish(self) -> str:
        """The text has ended: return what was still held."""
        return self._release(last=True)

    def verdicts(self) -> tuple[Verdict, ...]:
        """MASK with the kinds and places found, or nothing."""
        if not self._kinds:
            return ()
        return (Verdict(CHECK, Decision.MASK, ",".join(self._kinds), tuple(self._spans)),)

    def _pass(self, text: str) -> None:
        """Nothing of `text` is held: it only came before what will."""
        visible, places = seen(text)
        self._text = (self._text + fold(visible[-BEFORE:]))[-BEFORE:]
        self._low = len(self._text)
        self._breaks.clear()
        self._break_coming = (places is not None and (not places or places[-1] < len(text) - 1)) or (
            self._break_coming and not visible
        )
        self._given += len(text)

    def _append(self, text: str) -> None:
        visible, places = seen(text)
        at, offset = len(self._text), len(self._held)
        self._text += fold(visible)
        self._held += text
        if places is None:
            self._places.extend(range(offset, offset + len(text)))
        else:
            self._places.extend([offset + place for place in places])
            expected = 0
            for number, place in enumerate(places):
                if place != expected:
                    self._breaks.add(at + number)
                expected = place + 1
        if visible:
            if self._break_coming:
                self._breaks.add(at)
            self._break_coming = places is not None and places[-1] < len(text) - 1
        else:
            self._break_coming = self._break_coming or bool(text)

    def _release(self, *, last: bool) -> str:
        """What is decided of the held text, with its finds hidden."""
        if self._swallowing is not None and not self._swallow(last=last):
            return ""
        out: list[str] = []
        while True:
            if self._finds >= MOST_FINDS:
                out.append(self._hide_all())
                return "".join(out)
            piece = Piece(self._text, self._low, frozenset(self._breaks))
            end = len(piece.text)
            high = end if last else min([one.held(piece) for one in self._rules.recognisers], default=end)
            find = _first(self._rules.recognisers, piece)
            if find is None or find.start >= high:
                out.append(self._cut(max(high, self._low)))
                return "".join(out)
            if self._on_find is not None:
                self._on_find(find)
            until, tail = _extent(find, piece.text)
            if self._rules.keeps(find):
                out.append(self._cut(until))
                continue
            out.append(self._cut(find.start))
            out.append(self._hide(find, until - find.start))
            if tail is not None and until == end and not last:
                self._swallowing = Swallowing(find.open_ended, tail)
                return "".join(out)

    def _hide(self, find: Find, count: int) -> str:
        """The mask of what is held first. It also takes the find's place before what follows, for the recognisers:
        they would read it there in a masked text."""
        mask = masked(find, self._rules.file.kinds.of(find.kind))
        self._kinds[find.kind] = None
        self._finds += 1
        start = self._given
        self._drop(count, fold(mask))
        self._listed = len(self._spans) < MOST_SPANS
        if self._listed:
            self._spans.append(Span(start, self._given))
        return mask

    def _hide_all(self) -> str:
        out = _WORTH_HIDING.sub("*", self._held)
        self._move(len(self._places), len(self._held), fold(seen(out)[0]))
        return out

    def _swallow(self, *, last: bool) -> bool:
        """Drop what belongs to the find before; whether it ended."""
        assert self._swallowing is not None
        text = self._text[self._low :]
        count, tail = _belonging(self._swallowing.chars, self._swallowing.tail, text)
        ended = tail is None or count < len(text) or last
        self._swallowing = None if ended else Swallowing(self._swallowing.chars, tail or "")
        if count:
            self._drop(count, "")
            if self._listed:
                self._spans[-1] = Span(self._spans[-1].start, self._given)
        return ended

    def _cut(self, low: int) -> str:
        """Hold from `low` on; the original of what was held before that."""
        count = low - self._low
        offset = self._places[count] if count < len(self._places) else len(self._held)
        out = self._held[:offset]
        self._move(count, offset, self._text[self._low : low])
        return out

    def _drop(self, count: int, instead: str) -> None:
        """Let go of the first `count` characters that are held, as if they had been `instead`."""
        self._move(count, self._places[count - 1] + 1, instead)

    def _move(self, count: int, offset: int, instead: str) -> None:
        self._held = self._held[offset:]
        self._places = [place - offset for place in self._places[count:]]
        self._given += offset
        before = (self._text[: self._low] + instead)[-BEFORE:]
        shift = len(before) - self._low - count
        self._breaks = {place + shift for place in self._breaks if place >= self._low + count}
        self._text = before + self._text[self._low + count :]
        self._low = len(before)
        self._expecting = may_go_on(before)


@dataclass(frozen=True, slots=True)
class Swallowing:
    """A find that has not ended. `tail`: the last of it, as far as it may hold the beginning of its end."""

    chars: str
    tail: str


def _first(recognisers: Sequence[Recogniser], piece: Piece) -> Find | None:
    """The find that begins first; of two, the earlier recogniser's."""
    first = None
    for one in recognisers:
        find = one.search(piece, piece.low)
        if find is not None and (first is None or find.start < first.start):
            first = find
    return first


def _extent(find: Find, text: str) -> tuple[int, str | None]:
    """Where a find ends with all that belongs to it, and its tail if it may go on."""
    if not find.open_ended:
        return find.end, None
    count, tail = _belonging(find.open_ended, "", text[find.end :])
    return find.end + count, tail


def _belonging(chars: str, tail: str, text: str) -> tuple[int, str | None]:
    """How many characters of `text` go on with an open find, and its tail if it has not come to its own end."""
    match = _class(chars).match(text)
    count = match.end() if match is not None else 0
    if chars != KEY_BLOCK:
        return count, ""
    together = tail + text[:count]
    end = _BLOCK_END.search(together)
    if end is not None:
        return end.end() - len(tail), None
    return count, together[-_BLOCK_END_LENGTH:]


@cache
def _class(chars: str) -> re.Pattern[str]:
    return re.compile(f"{chars}*")
