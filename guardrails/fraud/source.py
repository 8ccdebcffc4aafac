"""Reading signals and rules: the shipped files, and over them a policy's own `fraud.yaml`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from guardrails.fraud.check import FraudCheck
from guardrails.fraud.condition import WrongCondition, parse_condition
from guardrails.fraud.rule import Rule, RuleSet
from guardrails.patterns.source import SECTIONS, build_table, read_patterns
from guardrails.patterns.table import PatternSource
from guardrails.policy.yaml_source import YamlSource, read_yaml
from guardrails.verdict import Decision

SHIPPED = ("danger.yaml", "probe.yaml")
ACTIONS = {"warn": Decision.WARN, "refuse": Decision.BLOCK, "handoff": Decision.HANDOFF}
MAX_RULES = 500
_KEYS = (*SECTIONS, "rules", "disable", "actions")
_RULE_KEYS = frozenset({"id", "kind", "when", "action", "spread"})
_ID = re.compile(r"[a-z][a-z0-9_]{0,63}")


def load_fraud(path: Path) -> FraudCheck:
    """The shipped rules with those of `path` before them, if it exists. Raises PolicyProblem with file and line."""
    patterns, rules = PatternSource(), []
    source = read_yaml(Path(__file__).with_name(SHIPPED[0]))
    for name in SHIPPED:
        source = read_yaml(Path(__file__).with_name(name))
        patterns = read_patterns(source).over(patterns)
        rules += _rules(source, patterns)
    if path.exists():
        source = read_yaml(path)
        _check_keys(source)
        patterns = read_patterns(source).over(patterns)
        rules = _own_over(source, _rules(source, patterns), rules)
    # Signals no rule speaks of cost time and decide nothing.
    used = frozenset[str]().union(*(rule.when.names() for rule in rules))
    return FraudCheck(build_table(patterns, source).only(used), RuleSet(rules))


def _own_over(source: YamlSource, own: list[Rule], shipped: list[Rule]) -> list[Rule]:
    """A policy's own rules first, in place of shipped ones of the same id; then what it changes of the others."""
    names = {rule.id for rule in own}
    rules = own + [rule for rule in shipped if rule.id not in names]
    known = {name for rule in rules for name in (rule.id, rule.kind)}
    disabled = source.data.get("disable") if isinstance(source.data, dict) else None
    disabled = [] if disabled is None else disabled
    if not isinstance(disabled, list):
        raise source.problem("must be a list of ids or kinds of rules", ("disable",))
    for at, name in enumerate(disabled):
        _known(source, name, known, ("disable", at))
    actions = (source.data.get("actions") if isinstance(source.data, dict) else None) or {}
    if not isinstance(actions, dict):
        raise source.problem("must be a mapping of ids or kinds of rules to actions", ("actions",))
    for name, action in actions.items():
        _known(source, name, known, ("actions", str(name)))
        _action(source, action, ("actions", str(name)))
    return [
        replace(rule, decision=ACTIONS[actions.get(rule.id) or actions[rule.kind]])
        if rule.id in actions or rule.kind in actions
        else rule
        for rule in rules
        if rule.id not in disabled and rule.kind not in disabled
    ]


def _rules(source: YamlSource, patterns: PatternSource) -> list[Rule]:
    """The rules of one file. Raises PolicyProblem."""
    found = source.data.get("rules") if isinstance(source.data, dict) else None
    found = [] if found is None else found
    if not isinstance(found, list):
        raise source.problem("must be a list of rules", ("rules",))
    if len(found) > MAX_RULES:
        raise source.problem(f"more than {MAX_RULES} rules", ("rules",))
    rules = [_rule(source, one, ("rules", at), patterns.signals) for at, one in enumerate(found)]
    seen: set[str] = set()
    for at, rule in enumerate(rules):
        if rule.id in seen:
            raise source.problem(f"the id `{rule.id}` is taken", ("rules", at, "id"))
        seen.add(rule.id)
    return rules


def _rule(
    source: YamlSource, value: Any, place: tuple[str | int, ...], signals: Mapping[str, Sequence[str]]
) -> Rule:
    if not isinstance(value, dict):
        raise source.problem("must be a rule: id, kind, when, action", place)
    if unknown := [str(key) for key in value if key not in _RULE_KEYS]:
        raise source.problem("unknown field", (*place, unknown[0]))
    for key in ("id", "kind"):
        if not isinstance(value.get(key), str) or not _ID.fullmatch(value[key]):
            raise source.problem("must be a name of small letters, digits and _", (*place, key))
    if not isinstance(value.get("when"), str):
        raise source.problem("must be a condition", (*place, "when"))
    try:
        when = parse_condition(value["when"])
    except WrongCondition as wrong:
        raise source.problem(str(wrong), (*place, "when")) from None
    if unknown := sorted(when.names() - set(signals)):
        raise source.problem(f"unknown signal `{unknown[0]}`", (*place, "when"))
    if not when.wanted():
        raise source.problem("must want at least one signal", (*place, "when"))
    spread = value.get("spread", [])
    if not isinstance(spread, list) or any(name not in when.names() for name in spread):
        raise source.problem("must be a list of signals the condition names", (*place, "spread"))
    decision = _action(source, value.get("action"), (*place, "action"))
    return Rule(value["id"], value["kind"], when, decision, tuple(spread))


def _action(source: YamlSource, value: Any, place: tuple[str | int, ...]) -> Decision:
    if not isinstance(value, str) or value not in ACTIONS:
        raise source.problem(f"must be one of {', '.join(ACTIONS)}", place)
    return ACTIONS[value]


def _known(source: YamlSource, name: Any, known: set[str], place: tuple[str | int, ...]) -> None:
    if not isinstance(name, str) or name not in known:
        raise source.problem("no rule has this id or kind", place)


def _check_keys(source: YamlSource) -> None:
    if source.data is not None and not isinstance(source.data, dict):
        raise source.problem("must be a mapping")
    for key in source.data or {}:
        if key not in _KEYS:
            raise source.problem(f"unknown field; known: {', '.join(_KEYS)}", (str(key),))
