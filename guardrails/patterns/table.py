"""Many named patterns over one text, in linear time whatever the pattern and whatever the text.

Two passes. The first, one automaton of plain words alone, says which words are in the text at all; it is all that
most texts cost. The second tries a pattern only where every word it names was found: gaps between words are what
makes automata slow, so they are left to the few patterns that can still match.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import re2

MAX_PATTERNS = 4000
MAX_LENGTH = 40_000
"""Characters of one pattern, its words written out."""
_WORD_MEMORY = 64 << 20
_PATTERN_MEMORY = 8 << 20
# An automaton without room for its states finds nothing and says nothing: this word must be found, or it has none.
_PROBE = "\x00probe\x00"
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
    pattern. `signals`: name → patterns, in which `{name}` stands for words or a part. A pattern is tried only in
    a text that has one of each of the words it names, so what may be missing must be written out or be a part.
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


@dataclass(frozen=True, slots=True)
class _Pattern:
    """`needs`: bits of the first pass's words; `enough`: they are all there is to it."""

    signal: str
    needs: int
    regex: Any
    enough: bool


class PatternTable:
    """The compiled patterns of a source. Unchangeable; pickles as its source."""

    def __init__(self, source: PatternSource) -> None:
        self.source = source
        self._first: Any = re2.Set.SearchSet(_options(_WORD_MEMORY))
        self._bits: dict[str, int] = {}
        self._patterns: list[_Pattern] = []
        if sum(map(len, source.signals.values())) > MAX_PATTERNS:
            raise WrongPattern(f"more than {MAX_PATTERNS} patterns")
        self._words = {
            name: self._fragment("words", name, whole_words(text)) for name, text in source.words.items()
        }
        self._parts = {
            name: self._fragment("parts", name, f"(?:{text})") for name, text in source.parts.items()
        }
        for name, patterns in source.signals.items():
            self._add(name, patterns)
        self._compile()

    def found(self, folded: str, wanted: Collection[str] | None = None) -> frozenset[str]:
        """The signals in the text; of the `wanted` ones only, where they are given."""
        return self._second(folded, self._words_in(folded), wanted)

    def hinted(self, folded: str) -> frozenset[str]:
        """The signals whose words are all in the text: the first pass alone. Those found are among them."""
        there = self._words_in(folded)
        return frozenset([one.signal for one in self._patterns if one.needs & there == one.needs])

    def spans(self, signal: str, folded: str) -> list[tuple[int, int]]:
        """Where `signal` stands: the first match of each pattern that can match. For the few texts that have it."""
        there = self._words_in(folded)
        matches = (
            one.regex.search(folded)
            for one in self._patterns
            if one.signal == signal and one.needs & there == one.needs
        )
        return sorted(match.span() for match in matches if match is not None)

    def __reduce__(self) -> tuple[type[PatternTable], tuple[PatternSource]]:
        return PatternTable, (self.source,)

    def _words_in(self, folded: str) -> int:
        there = 0
        if self._bits:
            for at in self._first.Match(folded) or ():
                there |= 1 << at
        return there

    def _second(self, folded: str, there: int, wanted: Collection[str] | None) -> frozenset[str]:
        found: set[str] = set()
        encoded = b""
        for one in self._patterns:
            if one.needs & there != one.needs or one.signal in found:
                continue
            if wanted is not None and one.signal not in wanted:
                continue
            encoded = encoded or folded.encode()
            if one.enough or one.regex.search(encoded) is not None:
                found.add(one.signal)
        return frozenset(found)

    def _fragment(self, section: str, name: str, text: str) -> str:
        if len(text) > MAX_LENGTH:
            raise WrongPattern(f"longer than {MAX_LENGTH} characters", section, name)
        _check(text, section, name)
        return text

    def _add(self, signal: str, patterns: Sequence[str]) -> None:
        # Patterns that need the same words are one pattern.
        together: dict[int, list[str]] = {}
        alone: list[str] = []
        for place in range(len(patterns)):
            text, needs = self._written_out(signal, place)
            _check(text, "signals", signal, place)
            if needs:
                together.setdefault(sum(1 << self._bit(self._words[name]) for name in needs), []).append(text)
            else:
                alone.append(text)
        for needed, texts in together.items():
            regex = _compiled("|".join(f"(?:{text})" for text in texts), "signals", signal)
            self._patterns.append(_Pattern(signal, needed, regex, enough=False))
        for text in alone:
            regex = _compiled(text, "signals", signal)
            self._patterns.append(_Pattern(signal, 1 << self._bit(text), regex, enough=True))

    def _written_out(self, signal: str, place: int) -> tuple[str, frozenset[str]]:
        """A pattern with its words in it, and their names; none of it where it is nothing but words."""
        pattern = self.source.signals[signal][place]
        names = _NAME.findall(pattern)
        if unknown := [name for name in names if name not in self._words and name not in self._parts]:
            raise WrongPattern(f"unknown words `{{{unknown[0]}}}`", "signals", signal, place)
        text = _NAME.sub(lambda name: self._words.get(name[1]) or self._parts[name[1]], pattern)
        if len(text) > MAX_LENGTH:
            raise WrongPattern(f"longer than {MAX_LENGTH} characters", "signals", signal, place)
        only_words = len(names) == 1 and pattern == f"{{{names[0]}}}"
        return text, frozenset() if only_words else frozenset(name for name in names if name in self._words)

    def _bit(self, text: str) -> int:
        return self._bits.setdefault(text, len(self._bits))

    def _compile(self) -> None:
        if not self._bits:
            return
        for text in self._bits:
            self._first.Add(text)
        self._first.Add(_PROBE)
        try:
            self._first.Compile()
        except re2.error as error:
            raise WrongPattern(f"the patterns together are too large: {error}") from None
        if len(self._bits) not in (self._first.Match(_PROBE) or ()):
            raise WrongPattern("the patterns together are too large to run")


def whole_words(text: str) -> str:
    r"""`a|b|…` as one group, `\b` put where an alternative begins or ends with a Latin letter or a digit."""
    return f"(?:{'|'.join(_bounded(one) for one in alternatives(text))})"


def alternatives(text: str) -> list[str]:
    """`text` cut at every `|` that is in no brackets."""
    out, depth, last, at, in_class = [], 0, 0, 0, False
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 1
        elif in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
        elif char in "()":
            depth += 1 if char == "(" else -1
        elif char == "|" and not depth:
            out.append(text[last:at])
            last = at + 1
        at += 1
    out.append(text[last:])
    return [one.strip() for one in out if one.strip()]


def _bounded(text: str) -> str:
    before = r"\b" if text[0].isascii() and text[0].isalnum() else ""
    after = r"\b" if text[-1].isascii() and text[-1].isalnum() and text[-2:-1] != "\\" else ""
    return f"{before}{text}{after}"


def _options(memory: int) -> Any:
    options = re2.Options()
    options.max_mem = memory
    options.log_errors = False
    options.never_capture = True
    return options


def _compiled(text: str, section: str = "", name: str = "", place: int = 0) -> Any:
    try:
        return re2.compile(text, _options(_PATTERN_MEMORY))
    except (re2.error, UnicodeEncodeError) as error:
        said = error.args[0] if error.args else error
        said = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
        raise WrongPattern(f"not a pattern: {said}", section, name, place) from None


def _check(text: str, section: str, name: str, place: int = 0) -> None:
    regex = _compiled(text, section, name, place)
    if section == "signals" and regex.search("") is not None:
        raise WrongPattern("matches an empty text", section, name, place)
