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


@pytest.mark.parametrize("name", ["chinese", "english", "across", "held_out"])
def test_no_less_is_caught_than_before(name: str) -> None:
    found = rates(read_claims(DATA / f"{name}.yaml"))
    assert found["contradicted_caught"] >= {"held_out": 0.85}.get(name, 0.93)
    assert found["supported_refused"] <= {"english": 0.08}.get(name, 0.04)


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
