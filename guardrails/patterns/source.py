"""Reading words, parts and signals from a YAML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from guardrails.patterns.table import PatternSource, PatternTable, WrongPattern
from guardrails.policy.yaml_source import YamlSource

SECTIONS = ("words", "parts", "signals")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def read_patterns(source: YamlSource) -> PatternSource:
    """The pattern sections of a file; others are none of its business. Raises PolicyProblem."""
    data = {} if source.data is None else source.data
    if not isinstance(data, dict):
        raise source.problem("must be a mapping")
    sections = {section: _section(source, data, section) for section in SECTIONS}
    texts = {
        section: {name: _text(source, value, (section, name)) for name, value in sections[section].items()}
        for section in ("words", "parts")
    }
    signals = {
        name: _patterns(source, value, ("signals", name)) for name, value in sections["signals"].items()
    }
    return PatternSource(texts["words"], texts["parts"], signals)


def build_table(patterns: PatternSource, source: YamlSource) -> PatternTable:
    """The table of `patterns`; what is wrong with one is said of its place in `source`. Raises PolicyProblem."""
    try:
        return PatternTable(patterns)
    except WrongPattern as wrong:
        place: tuple[str | int, ...] = (wrong.section, wrong.name) if wrong.section else ()
        if wrong.section == "signals":
            # Patterns of a shipped signal of the same name stand before the file's own.
            own = read_patterns(source).signals.get(wrong.name, ())
            place = (*place, max(0, wrong.place - (len(patterns.signals[wrong.name]) - len(own))))
        raise source.problem(str(wrong), place) from None


def _section(source: YamlSource, data: Mapping[str, Any], section: str) -> dict[str, Any]:
    found = data.get(section) or {}
    if not isinstance(found, dict):
        raise source.problem("must be a mapping of names", (section,))
    for name in found:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise source.problem("a name has small letters, digits and _", (section, str(name)))
    return found


def _text(source: YamlSource, value: Any, place: tuple[str, ...]) -> str:
    """A text, or a list of them as alternatives."""
    if isinstance(value, list) and value and all(isinstance(one, str) and one.strip() for one in value):
        return "|".join(value)
    if isinstance(value, str) and value.strip(" |\n"):
        return value
    raise source.problem("must be a text of alternatives between `|`, or a list of them", place)


def _patterns(source: YamlSource, value: Any, place: tuple[str, ...]) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not values:
        raise source.problem("must be a list of patterns", place)
    for at, one in enumerate(values):
        if not isinstance(one, str) or not one.strip():
            raise source.problem("must be a pattern", (*place, at))
    return tuple(values)
