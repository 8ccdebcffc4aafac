"""What a text must hold for a pattern to match it: the plain pieces of the pattern that cannot be missing."""

from __future__ import annotations

_QUANTIFIERS = "?*+{"


def alternatives(text: str) -> list[str]:
    """`text` cut at every `|` that is in no brackets."""
    out, last = [], 0
    for at, depth in _places(text):
        if text[at] == "|" and not depth:
            out.append(text[last:at])
            last = at + 1
    out.append(text[last:])
    return [one.strip(" \n") for one in out if one.strip(" \n")]


def requirements(pattern: str) -> list[frozenset[str]]:
    """Sets of literals, of each of which every match of `pattern` (no `|` outside brackets) holds at least one."""
    found: list[frozenset[str]] = []
    run, at = "", 0
    while at < len(pattern):
        char = pattern[at]
        end = _atom_end(pattern, at)
        quantified = pattern[end : end + 1] in tuple(_QUANTIFIERS)
        optional = pattern[end : end + 1] in ("?", "*") or pattern[end : end + 2] == "{0"
        plain = char not in "\\()[].^$|*+?{}"
        if plain and not quantified:
            run += char
        elif not (char == "\\" and pattern[at + 1 : at + 2] == "b"):
            if run:
                found.append(frozenset({run}))
            run = ""
            if char == "(" and not optional and (inner := _group(pattern[at:end])):
                found.append(inner)
        at = _quantifier_end(pattern, end) if quantified else end
    if run:
        found.append(frozenset({run}))
    return found


def _group(group: str) -> frozenset[str]:
    """One literal of each alternative of a group, empty where one of them has none."""
    inside = group[3:-1] if group.startswith("(?:") else group[1:-1]
    out: set[str] = set()
    for one in alternatives(inside):
        # The rarest: the longest shortest.
        choices = requirements(one)
        if not choices:
            return frozenset()
        out |= max(choices, key=lambda choice: (min(map(len, choice)), -len(choice)))
    return frozenset(out) if not inside.endswith("|") and not inside.startswith("|") else frozenset()


def _atom_end(pattern: str, at: int) -> int:
    char = pattern[at]
    if char == "\\":
        return at + (3 if pattern[at + 1 : at + 2] in ("p", "P") else 2)
    if char == "[":
        at += 2 if pattern[at + 1 : at + 2] in ("]", "^") else 1
        while at < len(pattern) and pattern[at] != "]":
            at += 2 if pattern[at] == "\\" else 1
        return at + 1
    if char == "(":
        return next(
            (end + 1 for end, depth in _places(pattern, at) if pattern[end] == ")" and depth == 0),
            len(pattern),
        )
    return at + 1


def _quantifier_end(pattern: str, at: int) -> int:
    end = pattern.find("}", at) + 1 if pattern[at] == "{" else at + 1
    return end + 1 if pattern[end : end + 1] == "?" else end


def _places(text: str, start: int = 0) -> list[tuple[int, int]]:
    """Every character outside classes and escapes, with how many groups are open after it."""
    out, depth, at = [], 0, start
    while at < len(text):
        if text[at] in "\\[":
            at = _atom_end(text, at)
            continue
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        out.append((at, depth))
        at += 1
    return out
