"""Many named patterns over one text, in linear time whatever the pattern and whatever the text.

Two passes. The first, one automaton of literals, says which pieces that patterns cannot do without are in the text.
The second tries a pattern only where all its pieces are there, and that is seldom.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import daachorse
import re2

from guardrails.patterns.literals import alternatives, requirements

MAX_PATTERNS = 4000
MAX_LENGTH = 40_000
"""Characters of one pattern, its words written out."""
MAX_TOTAL = 4_000_000
"""Of all patterns together."""
_PATTERN_MEMORY = 8 << 20
_LANES = 3
_NAME = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class WrongPattern(ValueError):
    """A pattern that cannot be taken. `section`, `name` and `place`: where it stands among `PatternSource`."""

    def __init__(self, message: str, section: str = "", name: str = "", place: int = 0) -> None:
        super().__init__(message)
        self.section = section
        self.name = name
        self.place = place


@dataclass(frozen=True, slots=True)
class PatternSource:
    """Patterns in the syntax of RE2, for folded texts.

    `words`: name → alternatives between `|`, whole words where they are Latin. `parts`: name → any piece of a
    pattern. `signals`: name → patterns, in which `{name}` stands for words or a part.
    """

    words: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    signals: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def over(self, base: PatternSource) -> PatternSource:
        """These added to `base`: words and parts of the same name in place of its own, signals beside them."""
        signals = {name: tuple(patterns) for name, patterns in base.signals.items()}
        for name, patterns in self.signals.items():
            signals[name] = (*signals.get(name, ()), *patterns)
        return PatternSource({**base.words, **self.words}, {**base.parts, **self.parts}, signals)


class _Pattern:
    """`needs`: the bits of the pieces it cannot do without. Compiled when it is first tried: many never are."""

    __slots__ = ("_compiled", "needs", "signal", "text")

    def __init__(self, signal: str, needs: int, text: str) -> None:
        self.signal = signal
        self.needs = needs
        self.text = text
        self._compiled: Any = None

    @property
    def regex(self) -> Any:
        if self._compiled is None:
            # Two threads may both do this once; either result is good.
            self._compiled = _regex(self.text)
        return self._compiled

    def __reduce__(self) -> tuple[type[_Pattern], tuple[str, int, str]]:
        return _Pattern, (self.signal, self.needs, self.text)


_Signed = tuple[int, _Pattern]
"""A pattern with the bit of its signal."""


class Look:
    """A stretch of a text after the first pass. `hinted`: the bits of the signals whose pieces are all there; those
    found are among them."""

    __slots__ = ("_candidates", "_encoded", "_text", "hinted")

    def __init__(self, text: str, candidates: Sequence[_Signed]) -> None:
        """`candidates`: patterns whose pieces are there, each with the bit of its signal."""
        self._candidates = candidates
        self._text = text
        self._encoded: bytes | None = None
        hinted = 0
        for bit, _ in candidates:
            hinted |= bit
        self.hinted = hinted

    def found(self, wanted: int) -> int:
        """Those of the `wanted` signals that are in the stretch."""
        if self._encoded is None:
            self._encoded = self._text.encode()
        found = 0
        for bit, one in self._candidates:
            if bit & wanted & ~found and one.regex.search(self._encoded) is not None:
                found |= bit
        return found

    def spans(self, wanted: int) -> list[tuple[int, int]]:
        """Where the `wanted` signals stand: the first match of each pattern."""
        matches = (one.regex.search(self._text) for bit, one in self._candidates if bit & wanted)
        return sorted(match.span() for match in matches if match is not None)


class Scan:
    """The literals of a text, and what they say of any stretch of it: what crosses its ends is not in it."""

    __slots__ = ("_ends", "_lanes", "_matches", "_needless", "_patterns", "_text")

    def __init__(
        self,
        text: str,
        matches: Sequence[tuple[int, int, int]],
        lanes: Sequence[int],
        needless: Sequence[_Signed],
        patterns: Sequence[_Signed],
    ) -> None:
        """`matches`: the literals of the text, by their end. `lanes`: of each literal, the bits of the `patterns` of
        which it is the rarest, second and third rarest piece, side by side. `needless`: patterns that need none."""
        self._text = text
        self._matches = matches
        self._ends = [match[1] for match in matches]
        self._lanes = lanes
        self._needless = needless
        self._patterns = patterns

    def look(self, start: int, end: int) -> Look:
        """The first pass over `text[start:end]`."""
        seen, lanes, width = 0, self._lanes, len(self._patterns)
        first, last = bisect_right(self._ends, start), bisect_right(self._ends, end)
        for at, _, literal in self._matches[first:last]:
            if at >= start:
                seen |= lanes[literal]
        there = seen & seen >> width & seen >> 2 * width
        found = list(self._needless)
        while there:
            lowest = there & -there
            there ^= lowest
            found.append(self._patterns[lowest.bit_length() - 1])
        return Look(self._text[start:end], found)


class PatternTable:
    """The patterns of a source, each checked. Unchangeable.

    `bits`: signal → its bit. `plain`: the bits of the signals without gaps in any pattern.
    """

    def __init__(self, source: PatternSource) -> None:
        self.source = source
        if sum(map(len, source.signals.values())) > MAX_PATTERNS:
            raise WrongPattern(f"more than {MAX_PATTERNS} patterns")
        self._words = {
            name: _checked(whole_words(text), "words", name) for name, text in source.words.items()
        }
        self._parts = {name: _checked(f"(?:{text})", "parts", name) for name, text in source.parts.items()}
        pieces: dict[frozenset[str], int] = {}
        patterns: list[_Pattern] = []
        total = 0
        for name, texts in source.signals.items():
            written = [self._written_out(name, place) for place in range(len(texts))]
            total += sum(map(len, written))
            if total > MAX_TOTAL:
                raise WrongPattern(
                    f"all patterns together are longer than {MAX_TOTAL} characters", "signals", name
                )
            patterns += self._compiled(name, written, pieces)
        self._set_up(pieces, patterns)

    def only(self, signals: Collection[str]) -> PatternTable:
        """The table of these signals alone."""
        table = object.__new__(PatternTable)
        table.__setstate__((self.source, self._pieces, [one for one in self._all if one.signal in signals]))
        return table

    def __getstate__(self) -> tuple[PatternSource, Mapping[frozenset[str], int], Sequence[_Pattern]]:
        return self.source, self._pieces, self._all

    def __setstate__(
        self, state: tuple[PatternSource, Mapping[frozenset[str], int], Sequence[_Pattern]]
    ) -> None:
        self.source = state[0]
        self._set_up(state[1], state[2])

    def _set_up(self, pieces: Mapping[frozenset[str], int], patterns: Sequence[_Pattern]) -> None:
        self._pieces = pieces
        self._all = patterns
        self.bits = {name: 1 << at for at, name in enumerate(dict.fromkeys(one.signal for one in patterns))}
        gaps = self.mask(one.signal for one in patterns if ".{" in one.text or ".*" in one.text)
        self.plain = self.mask(self.bits) & ~gaps
        needed = 0
        for one in patterns:
            needed |= one.needs
        used = {literals: bit for literals, bit in pieces.items() if needed & bit}
        signed = [(self.bits[one.signal], one) for one in patterns]
        self._needless = [pair for pair in signed if not pair[1].needs]
        self._frequency = {bit: min(1.0, sum(map(_frequency, literals))) for literals, bit in used.items()}
        self._patterns = [pair for pair in signed if pair[1].needs]
        # Bit n of a lane: the n-th of these patterns. What needs fewer pieces than there are lanes fills the others
        # with its last, what needs more is asked for the rarest.
        lanes: dict[int, int] = {}
        for at, (_, one) in enumerate(self._patterns):
            needs = sorted(_single_bits(one.needs), key=self._frequency.__getitem__)
            for number in range(_LANES):
                piece = needs[min(number, len(needs) - 1)]
                lanes[piece] = lanes.get(piece, 0) | 1 << at + number * len(self._patterns)
        self._automaton, self._lanes = _automaton(used, lanes)

    def mask(self, signals: Iterable[str]) -> int:
        """The bits of these signals; none for one that no pattern finds."""
        mask = 0
        for name in signals:
            mask |= self.bits.get(name, 0)
        return mask

    def frequency(self, mask: int) -> float:
        """A guess at how often a text has the pieces of one of these signals, only good for comparing: short
        literals are frequent, and patterns that need several pieces are not."""
        return sum(
            math.prod(self._frequency[bit] for bit in _single_bits(one.needs))
            for one in self._all
            if self.bits[one.signal] & mask
        )

    def names(self, mask: int) -> frozenset[str]:
        """The signals of these bits."""
        return frozenset([name for name, bit in self.bits.items() if bit & mask])

    def scan(self, folded: str) -> Scan:
        """The first pass alone."""
        matches = [] if self._automaton is None else self._automaton.find_overlapping(folded)
        return Scan(folded, matches, self._lanes, self._needless, self._patterns)

    def look(self, folded: str) -> Look:
        """The first pass over the whole text."""
        return self.scan(folded).look(0, len(folded))

    def found(self, folded: str) -> frozenset[str]:
        """The signals in the text."""
        look = self.look(folded)
        return self.names(look.found(look.hinted))

    def spans(self, signal: str, folded: str) -> list[tuple[int, int]]:
        """Where `signal` stands: the first match of each pattern that can match. For the few texts that have it."""
        return self.look(folded).spans(self.mask([signal]))

    def _compiled(
        self, signal: str, patterns: Sequence[str], pieces: dict[frozenset[str], int]
    ) -> list[_Pattern]:
        """The patterns of a signal, written out; those that need the same pieces as one."""
        together: dict[int, list[str]] = {}
        for place, pattern in enumerate(patterns):
            for one in alternatives(_checked(pattern, "signals", signal, place)):
                needs = 0
                for literals in requirements(one):
                    needs |= pieces.setdefault(literals, 1 << len(pieces))
                together.setdefault(needs, []).append(one)
        return [
            _Pattern(signal, needs, "|".join(f"(?:{text})" for text in texts))
            for needs, texts in together.items()
        ]

    def _written_out(self, signal: str, place: int) -> str:
        """A pattern with its words in it."""
        pattern = self.source.signals[signal][place]
        unknown = [
            name for name in _NAME.findall(pattern) if name not in self._words and name not in self._parts
        ]
        if unknown:
            raise WrongPattern(f"unknown words `{{{unknown[0]}}}`", "signals", signal, place)
        return _NAME.sub(lambda name: self._words.get(name[1]) or self._parts[name[1]], pattern)


def whole_words(text: str) -> str:
    r"""`a|b|…` as one group, `\b` put where an alternative begins or ends with a Latin letter or a digit."""
    return f"(?:{'|'.join(_bounded(one) for one in alternatives(text))})"


def _bounded(text: str) -> str:
    before = r"\b" if text[0].isascii() and text[0].isalnum() else ""
    after = r"\b" if text[-1].isascii() and text[-1].isalnum() and text[-2:-1] != "\\" else ""
    return f"{before}{text}{after}"


def _automaton(pieces: Mapping[frozenset[str], int], lanes: Mapping[int, int]) -> tuple[Any, list[int]]:
    """The automaton of the literals of pieces that are in a lane, and the lanes of each."""
    of_literal: dict[str, int] = {}
    for literals, bit in pieces.items():
        for literal in literals if bit in lanes else ():
            of_literal[literal] = of_literal.get(literal, 0) | lanes[bit]
    if not of_literal:
        return None, []
    return daachorse.CharwiseDoubleArrayAhoCorasick(list(of_literal)), list(of_literal.values())


def _frequency(literal: str) -> float:
    return 0.3 * math.pow(0.08, len(literal.encode("utf-8", "surrogatepass")) / 3)


def _single_bits(mask: int) -> list[int]:
    out = []
    while mask:
        out.append(mask & -mask)
        mask &= mask - 1
    return out


def _options() -> Any:
    options = re2.Options()
    options.max_mem = _PATTERN_MEMORY
    options.log_errors = False
    options.never_capture = True
    return options


def _regex(text: str, section: str = "", name: str = "", place: int = 0) -> Any:
    try:
        return re2.compile(text, _options())
    except (re2.error, UnicodeEncodeError) as error:
        said = error.args[0] if error.args else error
        said = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
        raise WrongPattern(f"not a pattern: {said}", section, name, place) from None


def _checked(text: str, section: str, name: str, place: int = 0) -> str:
    if len(text) > MAX_LENGTH:
        raise WrongPattern(f"longer than {MAX_LENGTH} characters", section, name, place)
    regex = _regex(text, section, name, place)
    if section == "signals" and regex.search("") is not None:
        raise WrongPattern("matches an empty text", section, name, place)
    return text
