"""Forms that are more than a number and a unit: dates, times of day, phone numbers, codes, free, no limit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from guardrails.values import units, value
from guardrails.values.value import Value

_MONTHS = {
    name: number
    for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1)
}
_MONTH = (
    "(?P<name{0}>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    "|nov(?:ember)?|dec(?:ember)?)"
)
_WEEKDAYS = {c: n for n, c in enumerate("一二三四五六日", start=1)} | {"天": 7, "末": 6}

_CODE = re.compile(
    r"(?P<mail>[a-z0-9._+]{1,64}@[a-z0-9.-]{1,80}[a-z])"
    r"|(?P<link>(?:https?://|www\.)[a-z0-9./_-]{1,120}[a-z0-9])"
    r"|(?P<code>(?<![a-z0-9])[a-z]{1,6}-(?:[a-z]{1,6}-)?\d{2,6}(?:-\d{1,6})?(?![a-z0-9]))"
    r"|(?P<phone>(?<![\d+.,-])(?:\+\d{1,3}[- ]?)?(?:\(?\d{2,4}\)?[- ]\d{3,4}[- ]\d{3,4}(?:-\d{3,4})?|1[3-9]\d{9}|0\d{2,3}-\d{7,8}|\+\d{1,3}[- ]\d{1,4}[- ]\d{3,4}[- ]\d{3,4}|(?:9[56]|1[02])\d{3}|12\d{3}|9[56]\d{4,6}|400\d{7})(?![\d]|,\d|\.\d|[万千亿元块%‰‱分]|\s?(?:yuan|rmb|points|cny|元)))"
    r"|(?P<shift>7\s?[×x*]\s?24(?:小时)?|24\s?[×x*/]\s?7|24小时全天|24小时(?=(?:不间断|在线|人工)?(?:服务|营业|开放|值班))|round the clock|24 hours a day|全天候)"
    r"|(?P<ratio>(?<!\d)(?<!\d:)\d{1,4}\s?(?::|比)\s?\d{1,4}(?![\d:])(?!\s?(?:am|pm|a\.m|p\.m)))"
)
_DATE = re.compile(
    r"(?P<y1>(?:19|20)\d\d)\s?年\s?(?P<m1>\d{1,2})\s?月(?:\s?(?P<d1>\d{1,2})\s?[日号])?"
    r"|(?<![\d-])(?P<y2>(?:19|20)\d\d)[-/.](?P<m2>\d{1,2})[-/.](?P<d2>\d{1,2})(?![\d-])"
    r"|(?<!\d)(?P<m3>\d{1,2})\s?月\s?(?P<d3>\d{1,2})\s?[日号]"
    rf"|(?<![a-z]){_MONTH.format(4)}\.?\s(?P<d4>\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s(?P<y4>(?:19|20)\d\d))?(?!\d)"
    rf"|(?<!\d)(?P<d5>\d{{1,2}})(?:st|nd|rd|th)?\s(?:of\s)?{_MONTH.format(5)}(?:,?\s(?P<y5>(?:19|20)\d\d))?(?![a-z\d])"
    rf"|(?<![a-z]){_MONTH.format(6)}\s(?P<y6>(?:19|20)\d\d)(?!\d)"
    r"|(?<!\d)(?P<m7>\d{1,2})月(?:份|底|初|末|中旬)"
    r"|(?<![\d,.¥$-])(?P<y8>20[0-4]\d)(?=\s(?:rules|version|edition|rule|policy|tariff)|年?版)"
    r"|(?<=\bin )(?P<y9>20[0-4]\d)(?![\d,.]|\s?(?:yuan|元))|(?<=\bsince )(?P<y10>20[0-4]\d)(?![\d,.])"
    r"|(?<![\d第,.])(?:每月|每个月|当月|次月|下月|本月|月末月|固定为?)(?P<d11>\d{1,2})\s?[日号]"
    r"|(?<![a-z])(?:the\s)(?P<d12>\d{1,2})(?:st|nd|rd|th)(?=\s(?:of|day of)?\s?(?:each|every|the (?:following |next |same )?month|any|next month)|[,.;)]|$|\s(?:or|and)\s|\s?-)"
)
_CLOCK = re.compile(
    r"(?P<half>上午|下午|晚上|晚间|凌晨|早上|中午|傍晚|夜间)?(?:(?<![\d.])(?<!\d:)(?P<h1>[01]?\d|2[0-4]):(?P<m1>[0-5]\d)(?:[:：][0-5]\d)?(?!\d)"
    r"|(?<![\d.])(?P<h2>[01]?\d|2[0-4]|[一二两三四五六七八九十]{1,3})[点时](?![\u4e00-\u9fff]?[分]?期)(?:(?P<m2>[0-5]?\d|[一二三四五]?十[一二三四五六七八九]?)分|(?P<h30>半)|整)?)"
    r"(?:\s?(?P<ap1>a\.?m\b\.?|p\.?m\b\.?))?"
    r"|(?<![\d.])(?<!\d:)(?P<h3>1[0-2]|[1-9])\s?(?P<ap3>a\.?m\b\.?|p\.?m\b\.?)"
    r"|(?<![a-z])(?:(?P<past>half past|quarter past|quarter to) (?P<named>[a-z]{3,6}|\d{1,2})(?: in the (?P<part>morning|afternoon|evening))?(?![a-z\d]))"
    r"|(?<![\d.,:])(?P<h4>1[0-2]|[1-9])\.(?P<m4>[0-5]\d)\s?(?P<ap4>a\.?m\b\.?|p\.?m\b\.?)"
    r"|(?<![a-z])(?P<midnight>midnight)|(?<![a-z])(?P<noon>noon)(?![a-z])"
)
_HOURS = {
    name: number
    for number, name in enumerate(
        "one two three four five six seven eight nine ten eleven twelve".split(), start=1
    )
}
_ZH_TENS = "零一二三四五六七八九"


def fixed_forms(folded: str) -> Iterator[Value]:
    """The values of a folded text that have a form of their own, not overlapping."""
    taken: list[tuple[int, int]] = []
    found: list[Value] = []
    for pattern, read in (
        (_CLOCK, _clock), (_CODE, _code), (_DATE, _date), (units.FREE, _free), (units.UNLIMITED, _unlimited),
    ):  # fmt: skip
        fresh = [one for match in pattern.finditer(folded) if (one := read(match)) is not None]
        found.extend(_free_of(fresh, taken))
        taken = sorted((one.start, one.end) for one in found)
    return iter(sorted(found, key=lambda one: one.start))


def _free_of(fresh: list[Value], taken: list[tuple[int, int]]) -> Iterator[Value]:
    index = 0
    for one in fresh:
        while index < len(taken) and taken[index][1] <= one.start:
            index += 1
        if index == len(taken) or taken[index][0] >= one.end:
            yield one


def _code(match: re.Match[str]) -> Value | None:
    kind = str(match.lastgroup)
    text = match[0]
    if kind == "phone":
        return Value(
            value.PHONE,
            Decimal("".join(c for c in text if c.isdigit())),
            "",
            match.start(),
            match.end(),
            text,
        )
    if kind == "shift":
        return Value(value.CLOCK, Decimal(0), "", match.start(), match.end(), text, Decimal(1440))
    if kind == "ratio":
        first, second = (Decimal(part.strip()) for part in text.replace("比", ":").split(":"))
        if not second:
            return None
        return Value(value.RATIO, first / second, "", match.start(), match.end(), text)
    return Value(value.CODE, Decimal(0), text.rstrip("."), match.start(), match.end(), text)


def _date(match: re.Match[str]) -> Value | None:
    groups = match.groupdict()
    parts = {"y": 0, "m": 0, "d": 0}
    for name, text in groups.items():
        if text is None:
            continue
        if name.startswith("name"):
            parts["m"] = _MONTHS[text[:3]]
        else:
            parts[name[0]] = int(text)
    if parts["m"] > 12 or parts["d"] > 31:
        return None
    unit = "".join(name for name in "ymd" if parts[name])
    number = Decimal(parts["y"] * 10_000 + parts["m"] * 100 + parts["d"])
    start = match.start()
    if match["d11"]:
        start = match.start("d11")
    return Value(value.DATE, number, unit, start, match.end(), match[0]) if unit else None


def _clock(match: re.Match[str]) -> Value | None:
    if match["midnight"]:
        return Value(value.CLOCK, Decimal(1440), "", match.start(), match.end(), match[0])
    if match["past"]:
        return _spoken(match)
    if match["noon"]:
        return Value(value.CLOCK, Decimal(720), "", match.start(), match.end(), match[0])
    hour_text = match["h1"] or match["h2"] or match["h3"] or match["h4"]
    hour = int(hour_text) if hour_text.isdigit() else _zh_small(hour_text)
    if hour is None or hour > 24:
        return None
    minute_text = match["m1"] or match["m2"] or match["m4"]
    minute = 30 if match["h30"] else 0
    if minute_text:
        minute = int(minute_text) if minute_text.isdigit() else _zh_small(minute_text) or 0
    half = match["ap1"] or match["ap3"] or match["ap4"] or ""
    if match["h2"] and not match["half"] and not match["m2"] and not match["h30"] and not hour_text.isdigit():
        return None  # 一点, 两点 are also "a little", "two points"
    if (half.startswith("p") or match["half"] in {"下午", "晚上", "晚间", "傍晚"}) and hour < 12:
        hour += 12
    if half.startswith("a") and hour == 12:
        hour = 0
    if match["half"] in {"晚上", "晚间", "夜间"} and hour == 12:
        hour = 24
    return Value(value.CLOCK, Decimal(hour * 60 + minute), "", match.start(), match.end(), match[0])


def _spoken(match: re.Match[str]) -> Value | None:
    """Half past nine, quarter to six in the evening; of the morning where nothing is said."""
    named = match["named"]
    hour = int(named) if named.isdigit() else _HOURS.get(named)
    if hour is None or not 1 <= hour <= 12:
        return None
    if match["part"] in {"afternoon", "evening"} and hour < 12:
        hour += 12
    minutes = hour * 60 + {"half past": 30, "quarter past": 15, "quarter to": -15}[match["past"]]
    return Value(value.CLOCK, Decimal(minutes), "", match.start(), match.end(), match[0])


def _zh_small(text: str) -> int | None:
    if text == "两":
        return 2
    tens, ten, ones = text.partition("十")
    if not ten:
        return _ZH_TENS.find(text) if len(text) == 1 and text in _ZH_TENS else None
    if (tens and tens not in _ZH_TENS) or (ones and ones not in _ZH_TENS):
        return None
    return (_ZH_TENS.index(tens) if tens else 1) * 10 + (_ZH_TENS.index(ones) if ones else 0)


def _free(match: re.Match[str]) -> Value:
    charged = match["charged"] is not None
    return Value(
        value.FREE,
        Decimal(int(charged)),
        "charged" if charged else "free",
        match.start(),
        match.end(),
        match[0],
    )


def _unlimited(match: re.Match[str]) -> Value:
    return Value(value.UNLIMITED, Decimal(0), "", match.start(), match.end(), match[0])
