"""What privacy.yaml and the policy's own numbers and documents change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guardrails.policy.load import load_policy
from guardrails.privacy.check import PrivacyCheck, load_privacy
from guardrails.privacy.rules import PrivacyFile
from guardrails.problem import PolicyProblem
from guardrails.verdict import Decision

CARD = "6222021234567894"
MOBILE = "13812345678"


def check(**file: object) -> PrivacyCheck:
    return PrivacyCheck(PrivacyFile.model_validate(file))


def test_numbers_show_their_ends() -> None:
    masked, verdict = check().mask(f"卡号{CARD}，手机{MOBILE}")
    assert masked == "卡号6222********7894，手机138****5678"
    assert verdict.decision is Decision.MASK
    assert verdict.reason == "card,mobile"
    assert [(span.start, span.end) for span in verdict.spans] == [(2, 18), (21, 32)]


def test_a_number_with_digits_beside_it_shows_none() -> None:
    assert check().mask(f"{CARD} 1234 5678")[0] == "**************** 1234 5678"


def test_styles() -> None:
    kinds = {
        "card": {"style": "label", "label": "[CARD]"},
        "mobile": {"style": "stars"},
        "code": {"style": "stars"},
    }
    masked, _ = check(kinds=kinds).mask(f"卡号{CARD}，手机{MOBILE}，验证码123456")
    assert masked == "卡号[CARD]，手机***********，验证码******"


def test_a_kind_may_be_kept() -> None:
    masked, verdict = check(kinds={"mobile": {"mode": "keep"}}).mask(f"卡号{CARD}，手机{MOBILE}")
    assert masked == f"卡号6222********7894，手机{MOBILE}"
    assert verdict.reason == "card"


@pytest.mark.parametrize("allowed", ["13812345678", "138-1234-5678", "+86 138 1234 5678"])
def test_an_allowed_number_is_allowed_however_it_is_written(allowed: str) -> None:
    check_ = check(allow=[allowed])
    for said in ("拨打13812345678", "拨打138 1234 5678", "拨打１３８１２３４５６７８"):
        assert check_.mask(said)[0] == said
    assert check_.mask("拨打13812345679")[0] != "拨打13812345679"


def test_what_the_own_documents_say_may_be_said(tmp_path: Path) -> None:
    (tmp_path / "knowledge").mkdir()
    (tmp_path / "knowledge" / "contact.md").write_text(
        "境外客户请拨打+86-21-6000-0789，邮箱privacy@bank.example，总部在上海市浦东新区世纪大道1000号。",
        encoding="utf-8",
    )
    said = "请拨打+86-21-6000-0789或写信到privacy@bank.example，地址是浦东新区世纪大道1000号"
    own = load_privacy(tmp_path)
    assert own.mask(said)[0] == said
    stream = own.open()
    assert "".join(map(stream.feed, said)) + stream.finish() == said
    assert own.mask("请拨打+86-21-6000-0788")[0] != "请拨打+86-21-6000-0788"
    (tmp_path / "privacy.yaml").write_text("allow_documents: false\n", encoding="utf-8")
    assert load_privacy(tmp_path).mask(said)[0] != said


def test_the_policy_s_telephones_are_allowed(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("hotline: 021-6000-0789\n", encoding="utf-8")
    privacy = load_policy(tmp_path).privacy
    assert privacy.mask("请致电021-6000-0789")[0] == "请致电021-6000-0789"
    assert privacy.mask("请致电021-6000-0788")[0] != "请致电021-6000-0788"


@pytest.mark.parametrize(
    ("text", "field", "line"),
    [
        ("kinds:\n  card: {style: none}\n", "kinds.card.style", 2),
        ("kinds:\n  cards: {style: stars}\n", "kinds.cards", 2),
        ("allow:\n  - ok\n  - ''\n", "allow.2", 3),
        ("kinds:\n  code:\n    label: '123456'\n", "kinds.code.label", 3),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path, text: str, field: str, line: int) -> None:
    (tmp_path / "privacy.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(PolicyProblem) as caught:
        load_privacy(tmp_path)
    assert caught.value.line == line
    assert caught.value.path.name == "privacy.yaml"
    assert caught.value.field.startswith(field[: field.rindex(".")])


def test_private_data_in_json_is_hidden_without_breaking_it() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG\nAgEAAoIBAQC7\n-----END PRIVATE KEY-----\n"
    said = json.dumps({"a": f"tel\n{MOBILE}", "password": "abc12345", "key": key, "n": [CARD, 2000]})
    masked = json.loads(check().mask(said)[0])
    assert masked == {
        "a": "tel\n***********",
        "password": "〔密钥〕",
        "key": "〔密钥〕\n",
        "n": ["6222********7894", 2000],
    }
