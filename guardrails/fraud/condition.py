"""When a rule applies: names of signals with `and`, `or`, `not` and parentheses."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import prod

MAX_CONDITION = 4000
MAX_DEPTH = 32
MAX_CLAUSES = 64
_TOKEN = re.compile(r"\s*(?:([a-z][a-z0-9_]*)|([()]))")
_WORDS = frozenset({"and", "or", "not"})


class WrongCondition(ValueError):
    """A condition that cannot be read."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A tree: `kind` is name, and, or, not; a name stands in `name`, everything else has `parts`."""

    kind: str
    name: str = ""
    parts: tuple[Condition, ...] = ()

    def names(self) -> frozenset[str]:
        """Every signal it speaks of."""
        return frozenset({self.name} if self.kind == "name" else ()).union(
            *(part.names() for part in self.parts)
        )

    def wanted(self) -> frozenset[str]:
        """The signals that speak for it: all but those under a `not`."""
        if self.kind == "not":
            return frozenset()
        return frozenset({self.name} if self.kind == "name" else ()).union(
            *(part.wanted() for part in self.parts)
        )

    def clauses(self) -> tuple[frozenset[str], ...]:
        """Sets of signals of each of which one must be there, or the condition cannot hold. What stands under a `not`
        is in none."""
        if self.kind == "name":
            return (frozenset({self.name}),)
        if self.kind == "not":
            return ()
        inner = [part.clauses() for part in self.parts]
        if self.kind == "and":
            return tuple(dict.fromkeys(clause for clauses in inner for clause in clauses))
        if prod(map(len, inner)) > MAX_CLAUSES:
            # A weaker statement will do: whatever holds, one of its signals is there.
            inner = [(frozenset[str]().union(*clauses),) for clauses in inner]
        return tuple(dict.fromkeys(frozenset[str]().union(*choice) for choice in product(*inner)))

    def expression(self) -> str:
        """In ZEN's expression language, over the list `has`."""
        if self.kind == "name":
            return f"('{self.name}' in has)"
        if self.kind == "not":
            return f"(not {self.parts[0].expression()})"
        return f"({f' {self.kind} '.join(part.expression() for part in self.parts)})"


def parse_condition(text: str) -> Condition:
    """Raises WrongCondition."""
    if len(text) > MAX_CONDITION:
        raise WrongCondition(f"longer than {MAX_CONDITION} characters")
    reader = _Reader(_tokens(text))
    found = reader.either(0)
    if reader.next():
        raise WrongCondition(f"unexpected `{reader.next()}`")
    return found


def _tokens(text: str) -> list[str]:
    out, at = [], 0
    text = text.strip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise WrongCondition(
                f"unexpected `{text[at:].strip()[:1]}`; a condition has names of signals, and, or, not"
            )
        out.append(found[1] or found[2])
        at = found.end()
    return out


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def either(self, depth: int) -> Condition:
        return self._chain("or", depth, self._both)

    def _both(self, depth: int) -> Condition:
        return self._chain("and", depth, self._one)

    def _chain(self, word: str, depth: int, inner: Callable[[int], Condition]) -> Condition:
        parts = [inner(depth)]
        while self.next() == word:
            self._at += 1
            parts.append(inner(depth))
        return parts[0] if len(parts) == 1 else Condition(word, parts=tuple(parts))

    def _one(self, depth: int) -> Condition:
        if depth > MAX_DEPTH:
            raise WrongCondition("nested too deeply")
        token = self.next()
        self._at += 1
        if token == "not":
            return Condition("not", parts=(self._one(depth + 1),))
        if token == "(":
            found = self.either(depth + 1)
            if self.next() != ")":
                raise WrongCondition("lacks a `)`")
            self._at += 1
            return found
        if not token or token in _WORDS or token == ")":
            raise WrongCondition(f"expected the name of a signal{f', not `{token}`' if token else ''}")
        return Condition("name", name=token)
