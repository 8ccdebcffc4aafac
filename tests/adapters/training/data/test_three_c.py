"""The 3C report: what is planted is found on its line, what is right is left alone, a missed bar stops the run."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from adapters.training.data.consistency import is_cut
from adapters.training.data.measure import Bars, Measure, read_bars
from adapters.training.data.policy_source import read_policy
from adapters.training.data.synthesis import synthesise
from adapters.training.data.three_c import Report, check_data, write_html
from app.cli import app
from guardrails.problem import PolicyProblem

DAY = date(2026, 11, 25)
TELECOM = Path("tests/guardrails/second_company/policy")
RIGHT = {"prompt": "山地车押金多少？", "response": "山地车的押金为500元。"}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def report(policy: Path, folder: Path, *rows: object, against: tuple[object, ...] = ()) -> Report:
    other = write(folder / "train.jsonl", *against) if against else None
    return check_data(write(folder / "rows.jsonl", *rows), read_policy(policy, DAY), Bars(), other)


def measure(found: Report, name: str) -> Measure:
    (one,) = (measure for measure in found.measures if measure.name == name)
    return one


def test_a_wrong_value_and_one_nobody_has_are_found_on_their_lines(policy: Path, tmp_path: Path) -> None:
    found = report(
        policy,
        tmp_path,
        RIGHT,
        {"prompt": "山地车押金多少？", "response": "山地车的押金为800元。"},
        {"prompt": "城市车多少钱一天？", "response": "城市车的日租金是20元/天。"},
        {"prompt": "有会员价吗？", "response": "年卡会员每年收费1234元。"},
        {"messages": [
            {"role": "user", "content": "电助力车免费多久？"}, {"role": "assistant", "content": "前45分钟免费。"},
            {"role": "user", "content": "好的"}, {"role": "assistant", "content": "祝您骑行愉快。"},
        ]},
    )  # fmt: skip
    lines = {doubt.line for doubt in found.doubts if doubt.reason in {"wrong_value", "unproved_value"}}
    assert lines == {2, 4, 5}
    assert 2 in {doubt.line for doubt in found.doubts if doubt.reason == "wrong_value"}
    assert not measure(found, "wrong values").passed
    assert "500元" in next(doubt.evidence for doubt in found.doubts if doubt.line == 2)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([("城市车", "200元"), ("山地车", "500元"), ("电助力车", "800元")]), st.integers(1, 2000)
)
def test_only_the_right_deposit_passes(
    policy: Path, tmp_path: Path, bike: tuple[str, str], amount: int
) -> None:
    name, right = bike
    found = report(
        policy, tmp_path, {"prompt": f"{name}押金是多少", "response": f"{name}的押金是{amount}元。"}
    )
    assert (not found.doubts) == (f"{amount}元" == right)


def test_a_customers_own_value_needs_no_evidence(policy: Path, tmp_path: Path) -> None:
    row = {"prompt": "我有333元，够付城市车押金吗？", "response": "您有333元，城市车的押金是200元。"}
    assert report(policy, tmp_path, row).doubts == ()


def test_rows_that_contradict_each_other(policy: Path, tmp_path: Path) -> None:
    found = report(
        policy,
        tmp_path,
        RIGHT | {"intent": "fee"},
        RIGHT | {"intent": "deposit"},
        RIGHT | {"response": "山地车押金500元。", "variant": "short"},
        RIGHT | {"prompt": "周末开门吗", "response": "开门，"},
        RIGHT | {"prompt": "周末开门吗", "response": "请问您是哪家店？"},
    )
    assert measure(found, "conflicting answers").value == 1
    assert measure(found, "conflicting answers").examples[0].startswith("lines 4, 5")
    assert measure(found, "conflicting labels").value == 1
    assert measure(found, "exact duplicates").value == pytest.approx(1 / 5)
    assert measure(found, "truncated answers").value == pytest.approx(1 / 5)
    assert not found.passed


def test_the_documents_words_are_kept_to(policy: Path, tmp_path: Path) -> None:
    (policy / "glossary.yaml").write_text("synonyms:\n  - [押金, 保证款]\n  - [头盔, 安全帽]\n", "utf-8")
    rows = [RIGHT, {"prompt": "要付什么", "response": "要付保证款。"}]
    found = measure(report(policy, tmp_path, *rows), "words the documents do not use")
    assert found.value == 0.5
    assert found.examples == ("line 2: 保证款, the documents say 押金",)


def test_personal_data_is_found_and_not_repeated(policy: Path, tmp_path: Path) -> None:
    row = {"prompt": "我的手机号是13812345678，帮我查押金", "response": "好的。"}
    found = measure(report(policy, tmp_path, RIGHT, row), "rows with personal data")
    assert (found.value, found.passed) == (1, False)
    assert found.examples[0].startswith("line 2")
    assert "13812345678" not in found.examples[0]


def test_a_test_question_that_was_learnt_is_found(policy: Path, tmp_path: Path) -> None:
    rows = [{"prompt": "请问山地车的押金一共是多少钱呢？", "response": "500元。"}, RIGHT]
    other = {"prompt": "请问，山地车的押金一共是多少钱呢", "response": "500元。"}
    found = measure(report(policy, tmp_path, *rows, against=(other,)), "questions of the other file")
    assert (found.value, found.passed) == (1, False)
    assert found.examples[0].startswith("line 1")


def test_what_is_asked_too_little_is_listed(policy: Path, tmp_path: Path) -> None:
    frames = ["{}", "请问{}", "{}呢", "想知道{}", "{}谢谢"]
    rows = [{"prompt": frame.format("山地车押金"), "response": "500元。"} for frame in frames]
    rows += [{"prompt": "城市车押金", "response": "200元。"}]
    found = report(policy, tmp_path, *rows, {"prompt": ""}, RIGHT | {"kind": "unknown"})
    covered = measure(found, "products and attributes covered")
    assert covered.note.startswith("1 of 13 pairs")
    assert "城市车 · 押金: 1 wordings" in covered.examples
    assert not any(example.startswith("山地车 · 押金") for example in covered.examples)
    readable = measure(found, "readable rows")
    assert readable.value == pytest.approx(7 / 8)
    assert readable.examples[0].startswith("rows.jsonl:7: ")
    assert measure(found, "questions without an answer").value == pytest.approx(1 / 7)


@pytest.mark.parametrize("folder", [TELECOM, None])
def test_synthetic_dialogues_are_right_and_consistent(
    folder: Path | None, policy: Path, tmp_path: Path
) -> None:
    source = folder or policy
    synthesise(source, tmp_path / "rows.jsonl", count=600, seed=2, today=DAY)
    found = check_data(tmp_path / "rows.jsonl", read_policy(source, DAY), Bars())
    for name in ("wrong values", "conflicting answers", "conflicting labels", "rows with personal data"):
        assert measure(found, name).value == 0, measure(found, name).examples
    for name in ("values not in the documents", "exact duplicates", "truncated answers", "readable rows"):
        assert measure(found, name).passed, measure(found, name).examples


def test_a_page_shows_texts_and_runs_none(policy: Path, tmp_path: Path) -> None:
    row = {"prompt": "<script>alert(1)</script>", "response": "押金 <b>777元</b> 保证退还。"}
    write_html(report(policy, tmp_path, row), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;" in text
    assert "<script" not in text


@pytest.mark.parametrize(
    ("answer", "cut"),
    [("好的，", True), ("见《章程", True), ("500元", False), ("好的。", False), ("(a) b", False)],
)
def test_answers_that_stop_in_the_middle(answer: str, cut: bool) -> None:
    assert is_cut(answer) is cut


def test_the_command_stops_a_run_and_writes_what_was_asked(policy: Path, tmp_path: Path) -> None:
    rows = write(
        tmp_path / "rows.jsonl", RIGHT, {"prompt": "山地车押金？", "response": "山地车的押金为800元。"}
    )
    command = ["data", "check", str(rows), "--policy", str(policy), "--today", DAY.isoformat()]
    for name in ("html", "json", "review"):
        command += [f"--{name}", str(tmp_path / f"out.{name}")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert "wrong values" in done.output
    told: dict[str, Any] = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert told["passed"] is False
    (review,) = map(json.loads, (tmp_path / "out.review").read_text(encoding="utf-8").splitlines())
    assert (review["line"], review["reason"], review["verdict"]) == (2, "wrong_value", "")
    own = tmp_path / "bars.yaml"
    own.write_text("coverage: 0\nunanswerable: 0\ndocuments: 0\nlong_tail: 0\nwrong_values: 1\n", "utf-8")
    assert CliRunner().invoke(app, [*command, "--bars", str(own)]).exit_code == 0
    own.write_text("coverage: 0\ncoverige: 1\n", "utf-8")
    with pytest.raises(PolicyProblem, match=r"bars\.yaml:2"):
        read_bars(own)
