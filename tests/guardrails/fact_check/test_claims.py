"""Labelled claims: what is caught and what is refused, on data written by hand before the check was tried on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardrails.evaluation.claims import Claim, evaluate_claims, read_claims
from guardrails.fact_check import Label, check_sentence
from guardrails.problem import PolicyProblem

DATA = Path(__file__).parent / "data"


def rates(claims: list[Claim]) -> dict[str, float]:
    found = evaluate_claims(claims)["rates"]
    assert isinstance(found, dict)
    return found


REACHED = {
    "chinese": (0.93, 0.04),
    "english": (0.93, 0.08),
    "across": (0.93, 0.04),
    "held_out": (0.9, 0.04),
    "wide_tune": (0.69, 0.07),
    "wide_test": (0.69, 0.15),
}
"""By file: the share of contradicted claims caught at least, and of supported ones refused at most."""


@pytest.mark.parametrize("name", REACHED)
def test_no_less_is_caught_than_before(name: str) -> None:
    found = rates(read_claims(DATA / f"{name}.yaml"))
    caught, refused = REACHED[name]
    assert found["contradicted_caught"] >= caught
    assert found["supported_refused"] <= refused


def test_few_paraphrases_of_conditions_and_denials_are_refused() -> None:
    assert rates(read_claims(DATA / "wide_supported.yaml"))["supported_refused"] <= 0.08
    assert rates(read_claims(DATA / "wide_contradicted.yaml"))["contradicted_caught"] >= 0.45


SWAPPED = [
    ("普卡年费100元，金卡年费200元。", "普卡年费200元，金卡年费100元。"),
    ("单笔限额5万元，每日限额20万元。", "单笔限额20万元，每日限额5万元。"),
    ("The basic plan costs $12 and the business plan costs $20.", "The basic plan costs $20."),
    ("白金卡免收手续费，普卡手续费20元。", "普卡免收手续费。"),
    ("换卡需要本人到网点办理。", "换卡不需要本人到网点办理。"),
    ("在校学生不得申请贷款。", "在校学生可以申请贷款。"),
    ("消费满6次免年费。", "消费满5次免年费。"),
    ("本办法自2026年1月1日起施行。", "This policy takes effect on January 1, 2025."),
]


@pytest.mark.parametrize(("evidence", "claim"), SWAPPED)
def test_a_changed_claim_is_contradicted(evidence: str, claim: str) -> None:
    assert check_sentence(claim, [evidence]).label is Label.CONTRADICTED
    assert check_sentence(evidence, [evidence]).label is Label.SUPPORTED


def test_a_right_value_is_put_in_place() -> None:
    judgement = check_sentence("金卡年费是300元。", ["金卡年费200元。"])
    assert judgement.corrected == "金卡年费是200元。"
    judgement = check_sentence("The gold card costs RMB 300 a year.", ["金卡年费200元/年。"])
    assert judgement.label is Label.CONTRADICTED


def test_a_case_is_held_against_the_rule() -> None:
    rule = ["挂失后24小时内找回卡片的，可以撤销挂失。"]
    assert check_sentence("挂失20小时后找到卡，还能撤销挂失。", rule).label is Label.SUPPORTED
    assert check_sentence("挂失30小时后找到卡，还能撤销挂失。", rule).label is Label.CONTRADICTED


def test_a_sum_follows_from_its_subjects_rate() -> None:
    rule = ["普卡违约金为未还部分的5%，最高500元。校园卡违约金为未还部分的2.5%，最高100元。"]
    assert check_sentence("普卡有2000元没还，违约金100元。", rule).label is Label.SUPPORTED
    assert check_sentence("普卡有2000元没还，违约金150元。", rule).label is Label.CONTRADICTED


RECKONED = [
    (
        "基础套餐每月59元，合约期12个月。",
        "基础套餐用满一年，月费共708元。",
        "基础套餐用满一年，月费共590元。",
    ),
    ("手续费为金额的1%，最低10元，最高100元。", "转账2万元，手续费100元。", "转账2万元，手续费200元。"),
    ("挂失费50元，补卡费15元，加急费20元。", "挂失、补卡再加急，合计85元。", "挂失、补卡再加急，合计95元。"),
    (
        "The annual membership is EUR 29 per month.",
        "It comes to EUR 348 a year.",
        "It comes to EUR 300 a year.",
    ),
    (
        "Gold cards earn 1 point per EUR 1; platinum cards earn 1.5 points.",
        "Spending EUR 3,000 on a platinum card brings 4,500 points.",
        "Spending EUR 3,000 on a platinum card brings 3,000 points.",
    ),
]


@pytest.mark.parametrize(("evidence", "right", "wrong"), RECKONED)
def test_a_result_is_what_the_sentences_own_values_make(evidence: str, right: str, wrong: str) -> None:
    assert check_sentence(right, [evidence]).label is Label.SUPPORTED
    assert check_sentence(wrong, [evidence]).label is not Label.SUPPORTED


def test_a_value_is_of_what_is_named_with_it() -> None:
    rule = ["Overdraft rate: 0.05% for the gold card and 0.04% for the diamond card."]
    assert check_sentence("The gold card pays 0.05%.", rule).label is Label.SUPPORTED
    assert check_sentence("The diamond card pays 0.05%.", rule).label is Label.CONTRADICTED
    rule = ["普卡、金卡境内取现按1%收取；白金卡境内取现按0.5%收取。"]
    assert check_sentence("白金卡境内取现按0.5%收取。", rule).label is Label.SUPPORTED
    assert check_sentence("白金卡境内取现按1%收取。", rule).label is Label.CONTRADICTED


def test_and_is_not_or() -> None:
    rule = ["在现单位工作满6个月，或者公积金缴满12个月，可以申请。"]
    assert check_sentence("工作满6个月或公积金缴满12个月就能申请。", rule).label is Label.SUPPORTED
    assert check_sentence("须工作满6个月并且公积金缴满12个月。", rule).label is Label.CONTRADICTED


def test_what_the_documents_deny_of_the_same_words_is_against_a_sentence_that_denies_nothing() -> None:
    rule = ["账单日当天不能提交修改申请。"]
    assert check_sentence("账单日当天也可以申请修改。", rule).label is Label.CONTRADICTED
    rule = ["Points last 18 months and cannot be exchanged for cash."]
    assert check_sentence("Points last 18 months.", rule).label is Label.SUPPORTED


def test_a_value_in_a_list_is_none_against_the_others() -> None:
    rule = ["账单日可选每月5日、10日、15日；未选择的，系统分配为15日。"]
    assert check_sentence("账单日可以选15日。", rule).label is Label.SUPPORTED


def test_claims_files_say_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "claims.jsonl"
    file.write_text('{"id": "1", "evidence": "a", "claim": "b", "label": "supported"}\n{"id": "2"}\n')
    with pytest.raises(PolicyProblem) as problem:
        read_claims(file)
    assert problem.value.line == 2
    file.write_text('{"id": "1", "evidence": 3, "claim": "b", "label": "supported"}\n')
    with pytest.raises(PolicyProblem):
        read_claims(file)


def test_the_report_counts_both_sides() -> None:
    claims = [
        Claim("1", "zh", ("年费100元。",), "年费100元。", Label.SUPPORTED),
        Claim("2", "zh", ("年费100元。",), "年费200元。", Label.CONTRADICTED),
        Claim("3", "zh", ("年费100元。",), "年费200元。", Label.SUPPORTED),
    ]
    report = evaluate_claims(claims)
    assert report["counts"] == {"supported": 2, "contradicted": 1, "not_found": 0}
    assert rates(claims)["contradicted_caught"] == 1.0
    assert rates(claims)["supported_refused"] == 0.5
    assert [one["id"] for one in report["failures"]] == ["3"]  # type: ignore[attr-defined]
