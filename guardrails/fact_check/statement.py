"""Sentences taken apart for comparison: each value, each denial with the words that it is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from guardrails.fact_check.features import Token, tokens
from guardrails.fact_check.names import Names
from guardrails.fact_check.polarity import Denial, denials
from guardrails.language import detect
from guardrails.values import value
from guardrails.values.numerals import fold
from guardrails.values.parse import parse_values
from guardrails.values.value import Value

_SEGMENT_END = re.compile(r"[；;。！？!?\n]|\.(?=\s|$)")
_CLAUSE_END = re.compile(r"[，；;。！？!?\n]|,(?!\d)|\.(?=\s|$)|(?<=[a-z ])(?: but | while | whereas )")
_PARALLEL = re.compile(
    r"[，、]|,(?!\d)|(?<![a-z])(?:and|or|but)(?! (?:above|over|more|less|below|under|fewer|older|later|longer)|[a-z])"
    r"|[和及或](?!以|超|更)"
)
_EXCEPT = re.compile(
    r"除(?!非)[^，。；外]{1,24}(?:之|以)?外|(?<![a-z])(?:except(?: for)?|apart from|other than|excluding) [^,.;]{2,40}"
)
"""What is left out says nothing of the subject."""
_APART = re.compile(r"[，、,;；。:]")
_FREE_WORD = re.compile(r"[免不无收零]|^@free$|^(?:free|charg|waiv|waiver|no|without|complimentary)$")
_LABEL = re.compile(r"(?:^|(?<=[。；;\n]))\s*([^:，,；;。\n]{1,60}):")
"""What stands before a colon is what follows is about, up to the next: 金卡：年费200元，挂失费50元。"""
MOST_VALUES = 60
"""Values of one sentence that are looked at; nobody writes more."""
# How much a word says about a value, by where it stands.
_NEAR, _BEHIND, _LATER, _OPENING, _BETWEEN, _FIRST, _REST = 1.0, 0.8, 0.35, 0.65, 0.45, 0.2, 0.2
_ABOUT, _BEFORE, _OVERRULED, _LABELLED = 0.6, 0.2, 0.45, 0.9
_WORDED = frozenset({value.FREE, value.UNLIMITED})


@dataclass(frozen=True, slots=True)
class Mention:
    """A value and the weighted features of what surrounds it."""

    value: Value
    about: dict[str, float]
    statement: int
    clause: int


@dataclass(frozen=True, slots=True)
class Clause:
    """A stretch of a sentence between commas: its words, the weighted words around, what it denies."""

    start: int
    end: int
    features: frozenset[str]
    about: dict[str, float]
    denials: tuple[Denial, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence or a table cell. `plain` is the folded text with its values blanked."""

    text: str
    folded: str
    plain: str
    lang: str
    citation: str
    mentions: tuple[Mention, ...]
    clauses: tuple[Clause, ...]
    segments: tuple[frozenset[str], ...]
    """The features of each part between semicolons."""
    features: frozenset[str]
    context: frozenset[str] = field(default=frozenset())


def blanked(folded: str, values: Sequence[Value]) -> str:
    """The folded text with a blank for every character of a value."""
    parts = []
    end = 0
    for one in values:
        parts.append(folded[end : one.start])
        parts.append(" " * (one.end - one.start))
        end = one.end
    parts.append(folded[end:])
    return "".join(parts)


def value_features(one: Value) -> tuple[str, ...]:
    """A value as a feature of its neighbours: 满10年 tells one line of a scale from another."""
    if one.kind in {value.FREE, value.UNLIMITED}:
        return (f"#{one.unit or one.kind}",)
    name = f"#{one.kind}:{one.unit}:{one.number.normalize():f}"
    if one.upper is not None:
        name += f"-{one.upper.normalize():f}"
    return (name, f"{name}{'>' if one.bound == value.MIN else '<'}") if one.bound else (name,)


def read_statement(
    text: str,
    index: int = 0,
    citation: str = "",
    about: frozenset[str] = frozenset(),
    before: frozenset[str] = frozenset(),
    *,
    cell: bool = False,
    names: Names | None = None,
) -> Statement:
    """One sentence. `about`: features of its heading; `before`: of the sentences it follows.

    A table's `cell` with its heads is one clause: what it denies, it denies of its heads.
    """
    folded = fold(text)
    named = tuple(names.tokens(folded)) if names is not None else ()
    values = [one for one in parse_values(text) if not _in_name(one, named)][:MOST_VALUES]
    plain = blanked(folded, values)
    # 免年费 is a value, and says what it is the value of.
    worded = blanked(folded, [one for one in values if one.kind not in _WORDED])
    found = tokens(_EXCEPT.sub(lambda match: " " * len(match[0]), worded)) + named
    layout = _Layout(plain, values, found, about, before, cell=cell)
    clauses = layout.clauses()
    mentions = tuple(
        Mention(one, layout.about_value(position), index, layout.clause_of(one.start))
        for position, one in enumerate(values)
    )
    whole = frozenset(token.feature for token in found) | frozenset(
        name for one in values for name in value_features(one)
    )
    return Statement(
        text,
        folded,
        plain,
        detect(text),
        citation,
        mentions,
        clauses,
        layout.segments(),
        whole,
        about | before,
    )


def _in_name(one: Value, named: Sequence[Token]) -> bool:
    """A bare number within a name, which counts nothing: 畅享500."""
    return one.kind == value.NUMBER and any(name.start <= one.start and one.end <= name.end for name in named)


def renumbered(statement: Statement, index: int) -> Statement:
    """The statement at another place of its ground."""
    return replace(
        statement, mentions=tuple(replace(mention, statement=index) for mention in statement.mentions)
    )


def family(one: Value) -> tuple[str, str]:
    """Values of one family stand side by side in a list: 首重12元，续重3元."""
    if one.kind in {value.AMOUNT, value.FREE}:
        return value.AMOUNT, ""
    if one.kind in {value.RATE, value.COUNT, value.PERIOD}:
        return one.kind, one.unit
    return one.kind, ""


class _Layout:
    """Where the values, clauses and segments of one sentence stand."""

    def __init__(
        self,
        plain: str,
        values: Sequence[Value],
        found: Sequence[Token],
        about: frozenset[str],
        before: frozenset[str],
        *,
        cell: bool,
    ) -> None:
        self._values = values
        self._about = about
        self._before = before
        self._plain = plain
        self._labels = [(one.start(1), one.end(1)) for one in _LABEL.finditer(plain)]
        self._cell = cell
        self._segments = _pieces(plain, _SEGMENT_END)
        self._clauses = [(0, len(plain))] if cell else _pieces(plain, _CLAUSE_END)
        marks = [(token.start, token.feature, self._within(token)) for token in found]
        for position, one in enumerate(values):
            marks += [(one.start, name, position) for name in value_features(one)]
        self._marks = sorted(marks)
        self._near = [self._near_start(position) for position in range(len(values))]

    def _within(self, token: Token) -> int:
        """The value that a word such as 免 is the whole of, -1 for words about a value: 免安装费 is about 安装费."""
        for position, one in enumerate(self._values):
            if one.kind in _WORDED and token.start < one.end and token.end > one.start:
                if one.kind == value.UNLIMITED:
                    return position
                said = self._plain[token.start : token.end] or token.feature
                return position if _FREE_WORD.search(token.feature) or _FREE_WORD.search(said) else -1
        return -1

    def clause_of(self, at: int) -> int:
        return next(
            (i for i, (start, end) in enumerate(self._clauses) if start <= at < end), len(self._clauses) - 1
        )

    def segments(self) -> tuple[frozenset[str], ...]:
        return tuple(
            frozenset(name for at, name, _ in self._marks if start <= at < end)
            for start, end in self._segments
        )

    def clauses(self) -> tuple[Clause, ...]:
        found = []
        for start, end in self._clauses:
            own = frozenset(name for at, name, _ in self._marks if start <= at < end)
            about = self._profile(start, start, end, end, -1)
            denied = denials(self._plain[start:end], start)
            if self._cell:
                denied = tuple(replace(one, denied=own) if one.weak else one for one in denied)
            found.append(Clause(start, end, own, about, denied))
        return tuple(found)

    def about_value(self, position: int) -> dict[str, float]:
        one = self._values[position]
        _, segment_end = self._segment(one.start)
        kin = family(one)
        following = next(
            (
                self._near[i]
                for i in range(position + 1, len(self._values))
                if family(self._values[i]) == kin and self._values[i].start < segment_end
            ),
            segment_end,
        )
        clause_end = self._clauses[self.clause_of(one.start)][1]
        return self._profile(self._near[position], one.end, min(clause_end, following), following, position)

    def _segment(self, at: int) -> tuple[int, int]:
        return next(((a, b) for a, b in self._segments if a <= at < b), self._segments[-1])

    def _near_start(self, position: int) -> int:
        """Where what is said of this value begins: behind the value before it of the same family."""
        one = self._values[position]
        segment_start, _ = self._segment(one.start)
        kin = family(one)
        previous = next(
            (
                other.end
                for other in reversed(self._values[:position])
                if other.start >= segment_start and family(other) == kin and not self._heads(other, one)
            ),
            None,
        )
        if previous is None:
            return segment_start
        parallel = _PARALLEL.search(self._plain, previous, one.start)
        return parallel.end() if parallel is not None else previous

    def _label(self, at: int) -> tuple[int, int]:
        """The label that a place stands under."""
        return next((span for span in reversed(self._labels) if span[0] <= at), (0, 0))

    def _has_subject(self, near: int, at: int) -> bool:
        """Whether a later value has words of its own before it, so that those at the opening are another's."""
        return len({place for place, _, position in self._marks if near <= place < at and position < 0}) > 1

    def _heads(self, other: Value, one: Value) -> bool:
        """Whether a range or bound is the case that the value behind it belongs to: 5000元以上每笔10元."""
        limited = other.upper is not None or bool(other.bound)
        return limited and _APART.search(self._plain, other.end, one.start) is None

    def _profile(self, near: int, at: int, behind: int, later: int, own: int) -> dict[str, float]:
        """Weights of all features: full from `near` to `at`, less up to `behind`, then `later` and outside."""
        segment_start, segment_end = self._segment(min(near, at))
        first_value = next(
            (other.start for other in self._values if other.start >= segment_start), segment_end
        )
        opening_end = min(
            next((other.start for other in self._values), len(self._plain)), self._segments[0][1]
        )
        weights = dict.fromkeys(self._before, _BEFORE)
        weights.update(dict.fromkeys(self._about, _ABOUT))
        whole = own < 0
        opening = _OPENING
        if not whole and self._has_subject(near, self._values[own].start):
            opening = _OVERRULED
        label_start, label_end = self._label(at - 1)
        for place, name, position in self._marks:
            if position == own and not whole:
                continue
            if label_start <= place < label_end:
                weight = _NEAR if near <= place < at else _LABELLED
            elif near <= place < at or (whole and near <= place < behind):
                weight = _NEAR
            elif at <= place < behind:
                weight = _BEHIND
            elif behind <= place < later:
                weight = _LATER
            elif segment_start <= place < near:
                weight = opening if place < first_value else _BETWEEN
            elif place < opening_end:
                weight = _FIRST
            else:
                weight = _REST
            if weight > weights.get(name, 0.0):
                weights[name] = weight
        return weights


def _pieces(plain: str, ends: re.Pattern[str]) -> list[tuple[int, int]]:
    bounds = []
    start = 0
    for stop in ends.finditer(plain):
        bounds.append((start, stop.end()))
        start = stop.end()
    if start < len(plain) or not bounds:
        bounds.append((start, len(plain)))
    return bounds
