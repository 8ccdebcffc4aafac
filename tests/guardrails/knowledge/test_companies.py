"""Three companies' documents: what a reader finds in them is found as typed facts."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from guardrails.knowledge.fact import Knowledge
from guardrails.knowledge.ingest import read_knowledge
from guardrails.knowledge.typed import TypedFact, typed_facts

ROOT = Path(__file__).parents[3]
FOLDERS = {
    "bank": ROOT / "examples" / "bank" / "policy" / "knowledge",
    "telecom": ROOT / "tests" / "guardrails" / "second_company" / "policy" / "knowledge",
    "coffee": ROOT / "tests" / "guardrails" / "third_company" / "policy" / "knowledge",
}

EXPECTED = [
    ("bank", "白金卡", "主卡年费", "2000", "CNY"),
    ("bank", "钻石卡", "日利率", "0.0004", "ratio"),
    ("bank", "单笔消费分期", "最低金额", "600", "CNY"),
    ("bank", "", "临时额度", "7776000", "second"),
    ("telecom", "轻风卡", "月费", "19", "CNY"),
    ("telecom", "御风卡", "国内通话", "90000", "second"),
    ("telecom", "岚光1000", "包年", "1200", "CNY"),
    ("telecom", "新装调测费", "标准", "100", "CNY"),
    ("telecom", "直降C档", "购机直降", "2600", "CNY"),
    ("telecom", "Zone 3", "Price per day", "30", "CNY"),
    ("telecom", "碎屏保（机价3000元以下）", "保障期", "12", "month"),
    ("telecom", "", "漏话提醒要钱吗？", "2", "CNY"),
    ("telecom", "", "过户", "20", "CNY"),
    ("telecom", "", "亲情网", "3", "CNY"),
    ("coffee", "Barista Duo", "Price", "899", "EUR"),
    ("coffee", "Office Max", "Price", "1690", "EUR"),
    ("coffee", "Milk jug, 0.5 l", "Price", "24", "EUR"),
    ("coffee", "Diagnosis", "Price", "35", "EUR"),
    ("coffee", "", "Delivery", "4.90", "EUR"),
    ("coffee", "", "Returns", "0.15", "ratio"),
    ("coffee", "", "Warranty", "79", "EUR"),
    ("coffee", "", "Courses", "95", "EUR"),
]


@cache
def knowledge(company: str) -> Knowledge:
    found, _ = read_knowledge(FOLDERS[company], date(2026, 11, 25))
    assert not found.problems
    return found


@cache
def typed(company: str) -> tuple[TypedFact, ...]:
    return tuple(one for fact in knowledge(company).facts for one in typed_facts(fact))


@pytest.mark.parametrize(("company", "subject", "attribute", "number", "unit"), EXPECTED)
def test_a_value_is_found_with_what_it_is_of(
    company: str, subject: str, attribute: str, number: str, unit: str
) -> None:
    found = [
        one
        for one in typed(company)
        if one.value is not None
        and (one.value.number, one.value.unit) == (Decimal(number), unit)
        and subject in one.subject
        and attribute in one.attribute
    ]
    assert found
    assert all(one.product and one.source.path for one in found)


def test_an_older_price_list_is_kept_apart() -> None:
    now = {fact.source.doc_id for fact in knowledge("telecom").facts}
    old = {fact.source.doc_id for fact in knowledge("telecom").superseded}
    assert old == {"HL-TF-2024-03"} and not now & old
    assert not any(
        one.value and one.value.text == "25元" and one.subject == "轻风卡" for one in typed("telecom")
    )


def test_a_thing_that_a_product_has_not_is_a_fact() -> None:
    assert any(
        (fact.row, fact.column, fact.value) == ("Piccolo", "Milk system", "none")
        for fact in knowledge("coffee").facts
    )


@pytest.mark.parametrize("company", FOLDERS)
def test_every_fact_says_where_it_stands(company: str) -> None:
    facts = (*knowledge(company).facts, *knowledge(company).superseded)
    assert len({fact.id for fact in facts}) == len(facts)
    for fact in facts:
        assert fact.source.title and (FOLDERS[company] / fact.source.path).is_file()
        assert fact.value in fact.statement
