"""Values in any notation: what is read, where it stands, and when two say the same."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.values import parse_values, same_value
from guardrails.values import value as kinds
from guardrails.values.numerals import zh_number

SAME = [
    ("1万元", "10,000元"),
    ("三百元", "￥300.00"),
    ("3万元", "30000 yuan"),
    ("RMB 5 million", "500万元"),
    ("3‰", "0.3%"),
    ("万分之五", "0.05%"),
    ("百分之十", "10 percent"),
    ("五成", "50%"),
    ("24小时", "1天"),
    ("12个月", "一年"),
    ("两周", "14 days"),
    ("半年", "6 months"),
    ("3个工作日", "three business days"),
    ("下午2点", "14:00"),
    ("9 a.m.", "9:00"),
    ("2026年3月1日", "March 1, 2026"),
    ("1 March 2026", "2026-03-01"),
    ("免费", "free of charge"),
    ("不收取任何费用", "0元"),
    ("20元/笔", "RMB 20 per transaction"),
    ("５０００元", "5000元"),
    ("一萬元", "1万元"),
]
OTHER = [
    ("200元", "300元"),
    ("5000元", "5万元"),
    ("0.5%", "万分之五"),
    ("300美元", "300元"),
    ("3个工作日", "3天"),
    ("每日2万元", "每月2万元"),
    ("2025年1月1日", "2026年1月1日"),
    ("免费", "20元"),
    ("9:00至17:00", "9:00至18:00"),
]


def only(text: str) -> kinds.Value:
    (found,) = parse_values(text)
    return found


@pytest.mark.parametrize(("one", "other"), SAME)
def test_equal_in_any_notation(one: str, other: str) -> None:
    assert same_value(only(one), only(other))
    assert same_value(only(other), only(one))


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_what_differs_is_not_the_same(one: str, other: str) -> None:
    assert not same_value(only(one), only(other))


@pytest.mark.parametrize(
    "text",
    ["一起看看吧", "十分感谢", "万一丢了", "千万别点", "Barista One", "一些", "not at all", "三心二意地"],
)
def test_words_that_only_look_like_numbers(text: str) -> None:
    assert [one for one in parse_values(text) if one.kind != kinds.NUMBER] == []


def test_bounds_ranges_and_per() -> None:
    assert only("最低10元").bound == kinds.MIN
    assert only("不超过50000元").bound == kinds.MAX
    assert only("at least RMB 20").bound == kinds.MIN
    assert only("the overdraft costs $5").bound == ""
    days = only("20-50天")
    assert days.upper is not None and days.upper / days.number == Decimal("2.5")
    assert only("2元/月").per == "month"
    assert only("每日累计10000元").per == "day"


@given(st.integers(1, 99_999_999))
@settings(max_examples=150, deadline=None)
def test_an_amount_is_one_value_however_it_is_written(number: int) -> None:
    written = [f"{number}元", f"{number:,}元", f"RMB {number:,}", f"￥{number}.00", f"{number / 10_000}万元"]
    if number < 10_000:
        written.append(f"{chinese(number)}元")
    values = [only(text) for text in written if "e" not in text]
    assert all(same_value(values[0], other) for other in values)
    assert not same_value(values[0], only(f"{number + 1}元"))


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_text_gives_values_that_stand_where_they_say(text: str) -> None:
    end = 0
    for one in parse_values(text):
        assert text[one.start : one.end] == one.text
        assert one.start >= end
        end = one.end


def test_hostile_texts_end() -> None:
    for text in (
        "9" * 1_000_000,
        "万" * 200_000,
        "\u200b" * 10_000 + "3元",
        "\ud800 3元 \udfff",
        "1," * 50_000,
    ):
        parse_values(text)


def chinese(number: int) -> str:
    digits, out = "零一二三四五六七八九", ""
    for size, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = number // size % 10
        if digit:
            out += digits[digit] + name
        elif out and number % size and not out.endswith("零"):
            out += "零"
    return out


@given(st.integers(1, 9999))
@settings(max_examples=200, deadline=None)
def test_chinese_numbers_read_back(number: int) -> None:
    assert zh_number(chinese(number)) == number
