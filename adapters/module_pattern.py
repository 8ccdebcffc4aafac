"""Regular expressions out of adapter configs, matched without backtracking.

The patterns come from strangers. Python's `re` and vLLM's `regex` can take years over a short hostile one:
names are matched here by sets of positions, and patterns that vLLM runs must be cheap to backtrack, too.
"""

import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

MAX_PATTERN_CHARACTERS = 1024
MAX_STEPS = 2_000_000  # of the matcher, for all names and patterns of one package: about a second
MAX_BACKTRACKING = 100_000  # steps a backtracking engine may need for one name, by the estimate below
NAME_CHARACTERS = 64  # what the estimate takes as a module name's length

_Nodes = list[tuple[Any, Any]]
_REPEATS = {"MAX_REPEAT", "MIN_REPEAT"}
_LEAVES = {"LITERAL", "NOT_LITERAL", "ANY", "IN", "AT"}
_CATEGORIES: dict[str, Callable[[str], bool]] = {
    "CATEGORY_DIGIT": str.isdigit,
    "CATEGORY_NOT_DIGIT": lambda char: not char.isdigit(),
    "CATEGORY_WORD": lambda char: char.isalnum() or char == "_",
    "CATEGORY_NOT_WORD": lambda char: not (char.isalnum() or char == "_"),
    "CATEGORY_SPACE": str.isspace,
    "CATEGORY_NOT_SPACE": lambda char: not char.isspace(),
}


class PatternError(ValueError):
    """The pattern is no regular expression, uses what is not supported here, or is too costly."""


@dataclass(slots=True)
class Steps:
    """What is left of one package's allowance for matching; counts down."""

    left: int = MAX_STEPS

    def take(self, count: int) -> None:
        """Raises PatternError when the allowance is used up."""
        self.left -= count
        if self.left < 0:
            raise PatternError("the patterns take too long to match")


@dataclass(frozen=True, slots=True)
class ModulePattern:
    """A parsed pattern."""

    text: str
    nodes: _Nodes

    def covers(self, path: str, steps: Steps) -> bool:
        """Whether the whole name matches: PEFT's rule for target_modules as text. Raises PatternError."""
        return len(path) in _Matcher(path, steps).run(self.nodes, {0})

    def ends(self, path: str, steps: Steps) -> bool:
        """Whether the name's end matches, from a dot or its start: rank_pattern's rule. May raise."""
        starts = {0, *(i + 1 for i, char in enumerate(path) if char == ".")}
        return len(path) in _Matcher(path, steps).run(self.nodes, starts)


def parse_pattern(text: str) -> ModulePattern:
    """Raises PatternError when the text is too long or is no regular expression of the supported kind."""
    if len(text) > MAX_PATTERN_CHARACTERS:
        raise PatternError(f"longer than {MAX_PATTERN_CHARACTERS} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parsed = re._parser.parse(text)  # type: ignore[attr-defined]
            if parsed.state.flags & ~re.UNICODE.value:
                raise PatternError("flags are not supported")
            nodes: _Nodes = list(parsed)
            _backtracking(nodes)
    except PatternError:
        raise
    except (re.error, ValueError, OverflowError, RecursionError, Warning) as error:
        raise PatternError("not a regular expression of the supported kind") from error
    return ModulePattern(text, nodes)


def is_cheap(pattern: ModulePattern) -> bool:
    """Whether a backtracking engine may run the pattern, too, without being held up."""
    return _backtracking(pattern.nodes) <= MAX_BACKTRACKING


def _backtracking(nodes: Iterable[tuple[Any, Any]]) -> float:
    """Upper estimate of the ways to try a sequence; infinite for a repeat of anything but one character."""
    ways = 1.0
    for operation, value in nodes:
        kind = str(operation)
        if kind in _REPEATS:
            body = list(value[2])
            single = len(body) == 1 and str(body[0][0]) in _LEAVES
            ways *= NAME_CHARACTERS if single else float("inf")
            _backtracking(body)  # for its complaints
        elif kind == "SUBPATTERN":
            if value[1] or value[2]:
                raise PatternError("flags are not supported")
            ways *= _backtracking(value[3])
        elif kind == "BRANCH":
            ways *= sum(_backtracking(branch) for branch in value[1])
        elif kind not in _LEAVES:
            raise PatternError(f"{kind.lower()} is not supported")
    return ways


class _Matcher:
    """Runs a pattern over one text: from a set of positions to the set of positions it can end at."""

    def __init__(self, text: str, steps: Steps) -> None:
        self._text = text
        self._steps = steps

    def run(self, nodes: Iterable[tuple[Any, Any]], positions: set[int]) -> set[int]:
        for operation, value in nodes:
            if not positions:
                break
            self._steps.take(len(positions))
            positions = self._step(str(operation), value, positions)
        return positions

    def _step(self, kind: str, value: Any, positions: set[int]) -> set[int]:
        if kind == "SUBPATTERN":
            return self.run(value[3], positions)
        if kind == "BRANCH":
            return set().union(*(self.run(branch, positions) for branch in value[1]))
        if kind in _REPEATS:
            return self._repeat(int(value[0]), int(value[1]), value[2], positions)
        if kind == "AT":
            return {at for at in positions if self._is_at(str(value), at)}
        end = len(self._text)
        return {at + 1 for at in positions if at < end and _accepts(kind, value, self._text[at])}

    def _repeat(self, low: int, high: int, body: Any, positions: set[int]) -> set[int]:
        for _ in range(low):
            positions = self.run(body, positions)
            self._steps.take(1)
            if not positions:
                return positions
        reached, fresh = set(positions), positions
        # Each round adds positions or ends the loop, so there are at most as many as the text has characters.
        for _ in range(min(high - low, len(self._text) + 1)):
            fresh = self.run(body, fresh) - reached
            if not fresh:
                break
            reached |= fresh
        return reached

    def _is_at(self, where: str, at: int) -> bool:
        if where in ("AT_BEGINNING", "AT_BEGINNING_STRING"):
            return at == 0
        if where in ("AT_END", "AT_END_STRING"):
            return at == len(self._text)
        word = _CATEGORIES["CATEGORY_WORD"]
        before = at > 0 and word(self._text[at - 1])
        after = at < len(self._text) and word(self._text[at])
        return (before != after) == (where == "AT_BOUNDARY")


def _accepts(kind: str, value: Any, char: str) -> bool:
    if kind == "LITERAL":
        return ord(char) == int(value)
    if kind == "NOT_LITERAL":
        return ord(char) != int(value)
    if kind == "ANY":
        return char != "\n"
    return _in_class(value, char)


def _in_class(items: Any, char: str) -> bool:
    negated, found = False, False
    for operation, value in items:
        kind = str(operation)
        if kind == "NEGATE":
            negated = True
        elif kind == "RANGE":
            found = found or value[0] <= ord(char) <= value[1]
        elif kind == "CATEGORY":
            found = found or _CATEGORIES[str(value)](char)
        else:
            found = found or ord(char) == int(value)
    return found != negated
