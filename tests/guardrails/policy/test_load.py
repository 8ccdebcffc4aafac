"""Policy folders: what may be left out, and how a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardrails.policy.folder import PolicyFolder
from guardrails.policy.load import load_policy
from guardrails.policy.replies import read_replies
from guardrails.policy.settings import Mode, OnFailure
from guardrails.problem import PolicyProblem


def folder(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def problem(tmp_path: Path, **files: str) -> PolicyProblem:
    with pytest.raises(PolicyProblem) as found:
        load_policy(folder(tmp_path, **files))
    return found.value


def test_an_empty_folder_is_a_policy(tmp_path: Path) -> None:
    policy = load_policy(tmp_path)
    assert policy.answers is None
    assert policy.settings.checks.words.mode is Mode.ENFORCE
    assert policy.settings.checks.words.on_failure is OnFailure.CLOSED
    assert policy.settings.checks.attack.mode is Mode.SHADOW
    assert len(policy.digest) == 64


def test_a_missing_folder_is_none(tmp_path: Path) -> None:
    with pytest.raises(PolicyProblem, match="no folder"):
        load_policy(tmp_path / "missing")


def test_off_is_a_word(tmp_path: Path) -> None:
    policy = load_policy(folder(tmp_path, policy="checks: {attack: {mode: off}}\nanswers: {approved: off}"))
    assert policy.settings.checks.attack.mode is Mode.OFF
    assert policy.settings.answers.approved == "off"


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ("hotline: [1]\nchecks:\n  words:\n    mode: perhaps\n", 1, "hotline"),
        ("checks:\n  words:\n    mode: perhaps\n", 3, "checks.words.mode"),
        ("checks:\n  wrods: {}\n", 2, "checks.wrods"),
        ("ladder:\n  nearest: 3\n  handoff_after: 0\n", 3, "ladder.handoff_after"),
        ("a: [1\n", None, ""),
        ("- a\n", 1, ""),
        ("a: &x 1\nb: *x\n", 2, ""),
        ("a: !!python/name:os.system\n", 1, ""),
    ],
)
def test_a_wrong_field_is_told_with_its_line(tmp_path: Path, text: str, line: int | None, field: str) -> None:
    found = problem(tmp_path, policy=text)
    assert found.path == tmp_path / "policy.yaml"
    assert (line is None or found.line == line) and found.field == field
    assert str(tmp_path / "policy.yaml") in str(found)


def test_a_telephone_needs_no_quotes(tmp_path: Path) -> None:
    assert load_policy(folder(tmp_path, policy="police: 110")).settings.police == "110"


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_bytes(b"hotline: \xff\xfe")
    with pytest.raises(PolicyProblem, match="UTF-8"):
        load_policy(tmp_path)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("refusal:\n  zh: 不能 {hotlin}\n", 2, "hotlin"),
        ("refusal:\n  zh: 不能 {police.__class__}\n", 2, "unknown slot"),
        ("refusal:\n  zh: 不能 {police!r}\n", 2, "unknown slot"),
        ("refusal:\n  zh: '{'\n", 2, "braces"),
        ("refusal:\n  fr: non\n", 2, "language"),
        ("refusal:\n  zh: ''\n", 2, "text"),
        ("refusals:\n  zh: 不能\n", 2, "unknown template"),
        ("refusal: 不能\n", 1, "mapping"),
    ],
)
def test_a_wrong_template_is_told_with_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    found = problem(tmp_path, replies=text)
    assert (found.line, words in found.message) == (line, True), str(found)


def test_own_templates_replace_the_shipped_ones(tmp_path: Path) -> None:
    own = folder(tmp_path, replies='refusal: {zh: "不能{hotline_line}"}\nwarning.loan: {en: Loan scam}')
    replies = load_policy(own).replies
    assert replies.text("refusal", "zh") == "不能"
    assert "cannot" in replies.text("refusal", "en")
    assert replies.text("warning", "en", reason="loan") == "Loan scam"
    assert replies.text("warning", "en", reason="other") != "Loan scam"
    assert "诈骗" in replies.text("warning", "zh", reason="loan")


def test_the_shipped_texts_say_what_a_reader_needs() -> None:
    replies = read_replies(Path("none"), hotline="400-1", police="110", antifraud="96110")
    needed = {
        "refusal": ("不能", "cannot"), "probe": ("不能", "cannot"), "warning": ("96110", "96110"),
        "unknown": ("不知道", "don't know"), "out_of_domain": ("不知道", "don't know"),
        "handoff": ("转接人工", "human agent"), "withheld": ("无法确认", "cannot"),
    }  # fmt: skip
    for name, (zh, en) in needed.items():
        assert zh in replies.text(name, "zh") and "400-1" in replies.text(name, "zh")
        assert en in replies.text(name, "en") and "400-1" in replies.text(name, "en")
    assert "诈骗" in replies.text("warning", "zh") and "110" in replies.text("warning", "zh")
    assert "scam" in replies.text("warning", "en")
    assert "A；B" in replies.text("unknown", "zh", nearest=["A", "B"])
    assert "{" not in "".join(replies.text(name, lang) for name in replies.templates for lang in ("zh", "en")
                              if name not in {"hotline_line", "nearest", "topics"})  # fmt: skip


def test_the_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    own = folder(tmp_path, policy="hotline: a", replies="")
    before, stamp = PolicyFolder(own).digest(), PolicyFolder(own).stamp()
    (own / ".hidden").write_text("x")
    (own / "policy.yaml~").write_text("x")
    assert (PolicyFolder(own).digest(), PolicyFolder(own).stamp()) == (before, stamp)
    (own / "replies.yaml").rename(own / "x.yaml")
    assert PolicyFolder(own).digest() != before
