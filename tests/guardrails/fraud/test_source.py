"""A policy's own fraud.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardrails.fraud.source import load_fraud
from guardrails.problem import PolicyProblem
from guardrails.verdict import Decision

OWN = """\
words:
  parrot: 鹦鹉|parrot
signals:
  parrot_deal:
    - "{parrot}.{0,10}(?:定金|deposit)"
rules:
  - id: parrots
    kind: parrot
    when: parrot_deal and not general
    action: warn
"""

TWICE = "rules:\n" + "  - {id: a, kind: b, when: told, action: warn}\n" * 2


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "fraud.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_own_signals_and_rules_are_added(tmp_path: Path) -> None:
    check = load_fraud(written(tmp_path, OWN))
    verdict = check.check("那只鹦鹉要我付定金")
    assert (verdict.decision, verdict.reason, verdict.evidence) == (Decision.WARN, "parrot", ("parrots",))
    assert check.check("怎么套现").decision is Decision.BLOCK
    assert load_fraud(tmp_path / "none").check("那只鹦鹉多少钱").decision is Decision.ALLOW


def test_words_of_a_shipped_name_are_replaced_and_patterns_of_one_are_added(tmp_path: Path) -> None:
    check = load_fraud(written(tmp_path, 'signals:\n  p_cashout_ask: ["薅额度"]\n'))
    assert check.check("薅额度").reason == "cashout"
    assert check.check("怎么套现").reason == "cashout"


@pytest.mark.parametrize("name", ["cash_out", "cashout"])
def test_a_rule_or_kind_can_be_disabled(tmp_path: Path, name: str) -> None:
    check = load_fraud(written(tmp_path, f"disable: [{name}]\n"))
    assert check.check("怎么套现").evidence != ("cash_out",)


def test_an_action_can_be_changed(tmp_path: Path) -> None:
    check = load_fraud(written(tmp_path, "actions: {cashout: handoff}\n"))
    assert check.check("怎么套现").decision is Decision.HANDOFF


def test_a_rule_of_the_same_id_takes_the_place_of_the_shipped_one(tmp_path: Path) -> None:
    text = "rules:\n  - {id: cash_out, kind: mine, when: p_cashout_ask, action: warn}\n"
    check = load_fraud(written(tmp_path, text))
    assert check.check("怎么套现").reason == "mine"
    assert [rule.id for rule in check.rules].count("cash_out") == 1


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("rules: 3\n", 1, "list of rules"),
        ("signals:\n  a: ['(']\n", 2, "not a pattern"),
        ("signals:\n  a:\n    - 'x'\n    - '(a)\\1'\n", 4, "not a pattern"),
        ("signals:\n  a: ['x*']\n", 2, "empty"),
        ("signals:\n  a: ['{nobody}x']\n", 2, "nobody"),
        ("signals:\n  a: ['((a{99}){99}){99}']\n", 2, "not a pattern"),
        ("words:\n  pay: '('\n", 2, "not a pattern"),
        ("words:\n  Pay: x\n", 2, "small letters"),
        ("signals:\n  p_cashout_ask: ['(']\n", 2, "not a pattern"),
        ("rules:\n  - {id: a, kind: b, when: nothing_known, action: warn}\n", 2, "nothing_known"),
        ("rules:\n  - {id: a, kind: b, when: told and, action: warn}\n", 2, "expected"),
        ("rules:\n  - {id: a, kind: b, when: not told, action: warn}\n", 2, "want"),
        ("rules:\n  - {id: a, kind: b, when: told, action: shout}\n", 2, "one of"),
        ("rules:\n  - {id: a, kind: b, when: told, action: warn, more: 1}\n", 2, "unknown field"),
        (TWICE, 3, "taken"),
        ("rules:\n  - {id: a, kind: b, when: told, spread: [doubt], action: warn}\n", 2, "condition names"),
        ("disable: [nobody]\n", 1, "no rule"),
        ("actions:\n  cashout: shout\n", 2, "one of"),
        ("hotline: 1\n", 1, "unknown field"),
        ("rules:\n  - {id: a, kind: b, when: " + "(" * 100 + "told, action: warn}\n", 2, "deeply"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    with pytest.raises(PolicyProblem) as problem:
        load_fraud(written(tmp_path, text))
    assert problem.value.line == line
    assert says in str(problem.value)
