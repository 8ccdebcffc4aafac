"""Numbers as people write them: 30,000, 3万, 三万, 3.2万, thirty thousand, 百分之五."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

_FOLD = {0xFF01 + i: 0x21 + i for i in range(94) if i != 11}  # full-width forms; "，" never groups digits
_FOLD.update({ord(upper): ord(upper) + 32 for upper in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"})
_FOLD.update({0xFF21 + i: 0x61 + i for i in range(26)})
_FOLD.update(
    {ord("\u3000"): 32, ord("\u00a0"): 32, ord("\u202f"): 32, ord("￥"): ord("¥"), ord("’"): ord("'")}
)
_FOLD.update(
    {ord("‐"): 45, ord("‑"): 45, ord("–"): 45, ord("—"): 45, ord("－"): 45, ord("〜"): 126, ord("～"): 126}
)
_FOLD.update(
    zip(
        map(
            ord,
            "萬億兩個筆幣費圓塊點單張時間週歲號開內後過無須免報還額寬線戶數種條從這當應會為與並貸爾鐘頭禮實際達滿計收倍減",
        ),
        map(
            ord,
            "万亿两个笔币费元块点单张时间周岁号开内后过无须免报还额宽线户数种条从这当应会为与并贷尔钟头礼实际达满计收倍减",
        ),
        strict=True,
    )
)

_ZH_DIGITS = dict(
    zip(
        "零〇一二两三四五六七八九壹贰叁肆伍陆柒捌玖",
        (0, 0, 1, 2, 2, *range(3, 10), *range(1, 10)),
        strict=True,
    )
)
_ZH_SCALES = {
    "十": 10,
    "拾": 10,
    "百": 100,
    "佰": 100,
    "千": 1000,
    "仟": 1000,
    "万": 10_000,
    "亿": 100_000_000,
}
_ZH = "零〇一二两三四五六七八九壹贰叁肆伍陆柒捌玖十拾百佰千仟万亿"
_EN_SMALL = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split()
    )
}
_EN_SMALL.update(
    zip("twenty thirty forty fifty sixty seventy eighty ninety".split(), range(20, 100, 10), strict=True)
)
_EN_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000, "billion": 1_000_000_000}
_EN_WORD = "(?:" + "|".join(sorted([*_EN_SMALL, *_EN_SCALES], key=len, reverse=True)) + ")"

_DIGITS = r"\d+(?:,\d{3}(?!\d))*(?:\.\d+)?"
_NUMBER = re.compile(
    rf"(?P<parts>百|千|万|[一二三四五六七八九十]{{1,2}})分之(?P<share>{_DIGITS}|[{_ZH}]+(?:点[{_ZH}]+)?)"
    rf"|(?P<digits>{_DIGITS})(?P<scale>\s?(?:millions?|billions?|thousand|hundred)(?![a-z])|(?:k|mn|bn)(?![a-z])"
    rf"|[万亿]亿?(?:\d千)?|[百千]万|[百千](?![克米分]))?"
    rf"|(?P<zh>[{_ZH}]+(?:点[零〇一二三四五六七八九]+)?)"
    rf"|(?<![a-z])(?P<en>{_EN_WORD}(?:(?:[ -]|\s+and\s+){_EN_WORD}){{0,8}})(?![a-z])"
    r"|(?P<half>半(?=个?(?:年|月|小时|钟头|天|日|价))|(?<![a-z])half(?=[ -](?:a |an )?(?:year|month|hour|day|price)| (?:of|the|its|their|your) ))"
    r"|(?<![a-z])(?P<times>once|twice|thrice)(?![a-z])"
    r"|(?P<article>(?<=within )an?|(?<=after )an?|(?<=for )an?|(?<= in )an?|(?<=least )an?|(?<=than )an?|(?<=about )an?"
    r"|(?<=takes )an?|(?<=lasts )an?|(?<=every )an?|(?<=is )an?)(?=[ -](?:year|month|week|day|hour|minute|quarter)(?![a-z]))"
)
_LONGEST = 24  # characters; what is longer is no number a person wrote
_TIMES = {"once": 1, "twice": 2, "thrice": 3}


@dataclass(frozen=True, slots=True)
class Numeral:
    """A number and where it stands. `form`: digits, zh, en, share, half, times, article."""

    number: Decimal
    start: int
    end: int
    form: str


def fold(text: str) -> str:
    """The text in one width, case and script form, character by character: offsets stay."""
    return text.translate(_FOLD)


def numerals(folded: str) -> Iterator[Numeral]:
    """The numbers of a folded text, in order."""
    for match in _NUMBER.finditer(folded):
        if match.end() - match.start() > _LONGEST and match["en"] is None:
            continue
        found = _read(match)
        if found is not None:
            yield Numeral(found[0], match.start(), match.end(), found[1])


def _read(match: re.Match[str]) -> tuple[Decimal, str] | None:
    if match["share"] is not None:
        whole = zh_number(match["parts"])
        share = match["share"]
        part = Decimal(share.replace(",", "")) if share[0].isascii() else zh_number(share)
        return None if part is None or not whole else (part / whole, "share")
    if match["digits"] is not None:
        number = Decimal(match["digits"].replace(",", ""))
        return number * 1 if match["scale"] is None else _scaled(number, match["scale"].strip()), "digits"
    if match["zh"] is not None:
        number_ = zh_number(match["zh"])
        return None if number_ is None else (number_, "zh")
    if match["en"] is not None:
        return _en_number(match["en"]), "en"
    if match["half"] is not None:
        return Decimal("0.5"), "half"
    if match["times"] is not None:
        return Decimal(_TIMES[match["times"]]), "times"
    return Decimal(1), "article"


def _scaled(number: Decimal, scale: str) -> Decimal:
    words = {"k": 1000, "mn": 1_000_000, "bn": 1_000_000_000}
    if scale in words:
        return number * words[scale]
    word = scale.removesuffix("s")
    if word in _EN_SCALES:
        return number * _EN_SCALES[word]
    extra = Decimal(0)
    if scale.endswith("千") and len(scale) > 2:
        extra = Decimal(scale[-2]) * 1000
        scale = scale[:-2]
    for character in scale:
        number *= _ZH_SCALES[character]
    return number + extra


def zh_number(text: str) -> Decimal | None:
    """三万五千 = 35000, 二〇二六 = 2026, 三点五 = 3.5; None for what is no number (万, 千百)."""
    text, _, fraction = text.partition("点")
    if fraction:
        whole = zh_number(text)
        digits = "".join(str(_ZH_DIGITS[c]) for c in fraction if c in _ZH_DIGITS)
        return None if whole is None or len(digits) != len(fraction) else whole + Decimal(f"0.{digits}")
    if len(text) > 1 and all(character in _ZH_DIGITS for character in text):
        return Decimal("".join(str(_ZH_DIGITS[character]) for character in text))
    total = section = digit = 0
    last_scale = 1
    for index, character in enumerate(text):
        if character in _ZH_DIGITS:
            digit = _ZH_DIGITS[character]
            continue
        scale = _ZH_SCALES[character]
        if index == 0 and scale > 10 and len(text) > 1:
            return None
        if scale >= 10_000:
            total = (
                (total + section + digit) * scale
                if scale > 10_000 and total
                else total + (section + digit) * scale
            )
            section = 0
        else:
            section += (digit or 1) * scale
        digit = 0
        last_scale = scale
    if digit and last_scale >= 100 and text[-2] not in "零〇" and len(text) > 1:
        digit *= last_scale // 10  # 一万五 = 15000
    if len(text) == 1 and text in _ZH_SCALES:
        return Decimal(_ZH_SCALES[text])
    return Decimal(total + section + digit)


def _en_number(text: str) -> Decimal:
    total = section = 0
    for word in text.replace("-", " ").split():
        if word in _EN_SMALL:
            section += _EN_SMALL[word]
        elif word == "hundred":
            section = (section or 1) * 100
        elif word in _EN_SCALES:
            total += (section or 1) * _EN_SCALES[word]
            section = 0
    return Decimal(total + section)
