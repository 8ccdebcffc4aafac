"""Many named patterns over one text, in linear time whatever the pattern and whatever the text.

Two passes. The first, one automaton of literals, says which pieces that patterns cannot do without are in the text.
The second tries a pattern only where all its pieces are there, and that is seldom.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import daachorse
import re2

from guardrails.patterns.literals import alternatives, requirements

MAX_PATTERNS = 4000
MAX_LENGTH = 40_000
"""Characters of one pattern, its words written out."""
_PATTERN_MEMORY = 8 << 20
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
    """`needs`: the pieces it cannot do without. Compiled when it is first tried: many never are."""

    __slots__ = ("_compiled", "needs", "signal", "text")

    def __init__(self, signal: str, needs: frozenset[int], text: str) -> None:
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

    def __reduce__(self) -> tuple[type[_Pattern], tuple[str, frozenset[int], str]]:
        return _Pattern, (self.signal, self.needs, self.text)


class Look:
    """A text after the first pass. `hinted`: the signals whose pieces are all there; those found are among them."""

    __slots__ = ("_candidates", "_encoded", "hinted")

    def __init__(self, folded: str, candidates: Sequence[_Pattern]) -> None:
        self._candidates = candidates
        self._encoded = folded.encode()
        self.hinted = frozenset([one.signal for one in candidates])

    def found(self, wanted: Collection[str]) -> frozenset[str]:
        """Those of the `wanted` signals that are in the text."""
        found: set[str] = set()
        for one in self._candidates:
            if (
                one.signal in wanted
                and one.signal not in found
                and one.regex.search(self._encoded) is not None
            ):
                found.add(one.signal)
        return frozenset(found)


class Scan:
    """A whole text after the first pass, and from it what the first pass says of its parts.

    `hinted`: the signals whose pieces are all somewhere in the text; those of every part are among them.
    """

    __slots__ = ("_candidates", "_matches", "_stands_for", "hinted")

    def __init__(
        self,
        matches: Sequence[tuple[int, int, int]],
        candidates: Sequence[_Pattern],
        stands_for: Sequence[frozenset[int]],
    ) -> None:
        """`matches`: literals of the text by their end. `stands_for`: of each literal its pieces."""
        self._matches = matches
        self._candidates = candidates
        self._stands_for = stands_for
        self.hinted = frozenset([one.signal for one in candidates])

    def parts(self, parts: Sequence[str], wanted: Collection[str]) -> Iterator[Look]:
        """The first pass over each of `parts`, which make up the text, for the `wanted` signals alone."""
        candidates = [one for one in self._candidates if one.signal in wanted]
        matches, at, start = self._matches, 0, 0
        for part in parts:
            end = start + len(part)
            literals = set()
            while at < len(matches) and matches[at][1] <= end:
                # What crosses the beginning of a part is in none.
                if matches[at][0] >= start:
                    literals.add(matches[at][2])
                at += 1
            start = end
            there = frozenset[int]().union(*[self._stands_for[literal] for literal in literals])
            yield Look(part, [one for one in candidates if one.needs <= there])


class PatternTable:
    """The patterns of a source, each checked. Unchangeable. `plain`: the signals without gaps in any pattern."""

    def __init__(self, source: PatternSource) -> None:
        self.source = source
        if sum(map(len, source.signals.values())) > MAX_PATTERNS:
            raise WrongPattern(f"more than {MAX_PATTERNS} patterns")
        self._words = {
            name: _checked(whole_words(text), "words", name) for name, text in source.words.items()
        }
        self._parts = {name: _checked(f"(?:{text})", "parts", name) for name, text in source.parts.items()}
        pieces: dict[frozenset[str], int] = {}
        patterns = [
            one for name, texts in source.signals.items() for one in self._compiled(name, texts, pieces)
        ]
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
        gaps = {one.signal for one in patterns if ".{" in one.text or ".*" in one.text}
        self.plain = frozenset(one.signal for one in patterns) - gaps
        needed = frozenset[int]().union(*(one.needs for one in patterns))
        used = {literals: piece for literals, piece in pieces.items() if piece in needed}
        self._literals, self._stands_for = _automaton(used)
        self._needless, self._patterns = _by_rarest_piece(patterns)

    def look(self, folded: str) -> Look:
        """The first pass alone."""
        return Look(folded, self._candidates(self._matches(folded)))

    def scan(self, folded: str) -> Scan:
        """The first pass over a text of which parts are looked at."""
        matches = self._matches(folded)
        return Scan(matches, self._candidates(matches), self._stands_for)

    def found(self, folded: str) -> frozenset[str]:
        """The signals in the text."""
        look = self.look(folded)
        return look.found(look.hinted)

    def spans(self, signal: str, folded: str) -> list[tuple[int, int]]:
        """Where `signal` stands: the first match of each pattern that can match. For the few texts that have it."""
        candidates = [one for one in self._candidates(self._matches(folded)) if one.signal == signal]
        matches = (one.regex.search(folded) for one in candidates)
        return sorted(match.span() for match in matches if match is not None)

    def _matches(self, folded: str) -> list[tuple[int, int, int]]:
        return [] if self._literals is None else self._literals.find_overlapping(folded)

    def _candidates(self, matches: Sequence[tuple[int, int, int]]) -> list[_Pattern]:
        """The patterns whose pieces are all there."""
        stands_for, patterns = self._stands_for, self._patterns
        there = frozenset[int]().union(*[stands_for[literal] for literal in {match[2] for match in matches}])
        found = list(self._needless)
        for piece in sorted(there & patterns.keys()):
            found += [one for one in patterns[piece] if one.needs <= there]
        return found

    def _compiled(
        self, signal: str, patterns: Sequence[str], pieces: dict[frozenset[str], int]
    ) -> list[_Pattern]:
        """The patterns of a signal; those that need the same pieces as one."""
        together: dict[frozenset[int], list[str]] = {}
        for place in range(len(patterns)):
            text = _checked(self._written_out(signal, place), "signals", signal, place)
            for one in alternatives(text):
                needs = frozenset(
                    [pieces.setdefault(literals, len(pieces)) for literals in requirements(one)]
                )
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


def _automaton(pieces: Mapping[frozenset[str], int]) -> tuple[Any, list[frozenset[int]]]:
    """The automaton of all literals, and for each of them the pieces it stands for."""
    stands_for: dict[str, set[int]] = {}
    for literals, piece in pieces.items():
        for literal in literals:
            stands_for.setdefault(literal, set()).add(piece)
    if not stands_for:
        return None, []
    return daachorse.CharwiseDoubleArrayAhoCorasick(list(stands_for)), list(
        map(frozenset, stands_for.values())
    )


def _by_rarest_piece(patterns: Sequence[_Pattern]) -> tuple[list[_Pattern], dict[int, list[_Pattern]]]:
    """The patterns that need no piece; each other one under the one of its pieces that fewest patterns need."""
    count = Counter(piece for one in patterns for piece in one.needs)
    needless: list[_Pattern] = []
    out: dict[int, list[_Pattern]] = {}
    for one in patterns:
        if one.needs:
            out.setdefault(min(one.needs, key=lambda piece: (count[piece], piece)), []).append(one)
        else:
            needless.append(one)
    return needless, out


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
