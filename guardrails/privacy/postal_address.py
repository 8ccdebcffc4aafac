"""Postal addresses: the part after the district, by road and house, or the house's parts; English streets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from guardrails.privacy.characters import OTHER_PLAIN
from guardrails.privacy.digit_groups import any_digit
from guardrails.privacy.find import Find, Piece

KIND = "address"
_HAN = "\u3400-\u9fff"
_NOT_IN_NAMES = "的有是在了和与几吗及为不都你我他她它们会能可要将从对于这那哪到坐省市区县镇乡就也请把被给因"
_NAME = f"(?:(?![{_NOT_IN_NAMES}])[{_HAN}])"
_ROAD = "(?:大道|大街|街道|道|路|街|巷|胡同|弄|村|庄|苑|园|花园|公寓|广场)"
_DIGIT = f"[0-9{OTHER_PLAIN}]"
_NUMBER = f"(?:{_DIGIT}{{1,5}}(?:-{_DIGIT}{{1,4}})?[A-Za-z]?|[一二三四五六七八九十百]{{1,5}}|[A-Za-z])"
_BUILDING = "(?:广场|大厦|中心|大楼|花园|公寓|家园|商城)"
_UNIT = "(?:号楼|号院|号|栋|幢|座|单元|楼|层|室|弄|段|房|户)"
_MORE = f"(?: ?{_NUMBER} ?{_UNIT})"
_ROOM = f"{_DIGIT}{{3,5}}室?(?!{_DIGIT})"
_PARTS = f"{_NUMBER} ?{_UNIT}{_MORE}{{0,5}}(?: ?{_ROOM})?"
# `5号线` and `3号窗口` are no houses.
_NO_PLACE = "(?![线口柜窗文])"
_DISTRICT = "(?:[市区县镇乡州](?![别分间域场内])|[地住]址|家住|住在|寄到)[是为: ]{0,3}"
_AFTER_DISTRICT = re.compile(
    f"{_DISTRICT}({_NAME}{{1,10}}?{_ROAD}(?:[东南西北中]?[段路])?(?: ?{_PARTS}){_NO_PLACE}"
    f"(?:{_NAME}{{1,8}}?{_BUILDING}(?: ?{_PARTS})?)?)"
)
_ON_ROAD = re.compile(
    "(?:[街巷弄]|大道|胡同|小区|花园|公寓|(?<![线道])路)"
    f"({_DIGIT}{{1,5}}号(?:楼|院)?{_MORE}{{0,5}}(?: ?{_ROOM})?{_NO_PLACE})"
)
_HOUSE = re.compile(
    f"(?<!{_DIGIT})({_DIGIT}{{1,5}} ?(?:号楼|栋|幢|座|弄|单元){_MORE}{{1,5}}(?: ?{_ROOM})?"
    f"|{_DIGIT}{{1,5}} ?(?:号楼|栋|幢|座|单元) ?{_DIGIT}{{3,5}}(?!{_DIGIT}))"
)
_STREET_KIND = "(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Square|Place|Terrace)"
_STREET = re.compile(
    rf"(?<![\w.,\-/])(?<!he )(\d{{1,5}}[A-Za-z]? (?:[A-Z][a-z]{{1,15}} ){{1,3}}{_STREET_KIND})(?![A-Za-z])",
    re.ASCII,
)

# What may still become one: wider than the patterns above, never narrower, and it holds back little.
_IN_PARTS = (
    f"(?:[0-9{OTHER_PLAIN}一二三四五六七八九十百号楼院栋幢座单元层室弄段房户 \\-]"
    "|(?<![A-Za-z])[A-Za-z](?![A-Za-z]))"
)
_AFTER_DISTRICT_OPEN = re.compile(
    f"{_DISTRICT}({_NAME}{{1,12}}|{_NAME}{{1,10}}?{_ROAD}(?:[东南西北中]?[段路])?{_IN_PARTS}{{0,100}}"
    f"(?:(?<=[号栋幢座楼层室弄段房户院元0-9{OTHER_PLAIN}]){_NAME}{{1,10}}{_IN_PARTS}{{0,100}})?)$"
)
_ON_ROAD_OPEN = re.compile(
    f"(?:[街巷弄]|大道|胡同|小区|花园|公寓|路)({_DIGIT}{{1,5}}(?:号{_IN_PARTS}{{0,100}})?)$"
)
_HOUSE_OPEN = re.compile(f"(?<!{_DIGIT})({_DIGIT}{{1,5}}(?: | ?[号栋幢座弄单]{_IN_PARTS}{{0,100}})?)$")
_STREET_OPEN = re.compile(
    r"(?<![\w.,\-/])(\d{1,5}[A-Za-z]?(?: (?:[A-Z][a-z]{0,15} ){0,3}(?:[A-Z][a-z]{0,15})?)?)$", re.ASCII
)
_LONGEST = 256


class PostalAddresses:
    """Finds them."""

    def search(self, piece: Piece, start: int) -> Find | None:
        """The first from `start` on."""
        text = piece.text
        first: Find | None = None
        for pattern in _possible(text):
            for match in pattern.finditer(text, max(0, start - 12)):
                if match.start(1) >= start:
                    if first is None or (match.start(1), -match.end(1)) < (first.start, -first.end):
                        first = Find(KIND, match.start(1), match.end(1), _value(match[1]))
                    break
        return first

    def held(self, piece: Piece) -> int:
        """What may be the beginning of one."""
        text, end = piece.text, len(piece.text)
        low = max(0, piece.low - 12, end - _LONGEST)
        patterns = [_AFTER_DISTRICT_OPEN] if _TRIGGER.search(text, low) else []
        if any_digit(text, max(piece.low, low)):
            patterns += [_ON_ROAD_OPEN, _HOUSE_OPEN, *([_STREET_OPEN] if text[-1].isascii() else [])]
        found = [pattern.search(text, low) for pattern in patterns]
        return max(piece.low, min((match.start(1) for match in found if match is not None), default=end))


_TRIGGER = re.compile("[市区县镇乡州址住到]")
_BEGUN = re.compile(f"(?:{_DISTRICT}|[住寄]|[A-Za-z0-9._%+\\-])$")
# What a text has at least if one of the patterns is in it.
_UNITS = ("号", "栋", "幢", "座", "单元", "楼", "层", "室", "弄", "段", "房", "户")
_ROADS = ("街", "巷", "弄", "大道", "胡同", "小区", "花园", "公寓", "路")
_HOUSES = ("号楼", "栋", "幢", "座", "弄", "单元")
_STREET_HINT = re.compile(f" {_STREET_KIND}", re.ASCII)
_TRIGGER = re.compile("[市区县镇乡州址住到]")
_BEGUN = re.compile(f"(?:{_DISTRICT}|[住寄]|[A-Za-z0-9._%+\\-])$")
_HINT = re.compile("[号栋幢座室弄]|单元")
_STREET_HINT = re.compile(f" {_STREET_KIND}", re.ASCII)


def may_go_on(text: str) -> bool:
    """Whether a road's name may begin at the end of `text`, or a mail box's name may have just begun."""
    return _BEGUN.search(text, max(0, len(text) - 8)) is not None


def _possible(text: str) -> Iterator[re.Pattern[str]]:
    if any(unit in text for unit in _UNITS):
        if _TRIGGER.search(text):
            yield _AFTER_DISTRICT
        if "号" in text and any(road in text for road in _ROADS):
            yield _ON_ROAD
        if any(house in text for house in _HOUSES):
            yield _HOUSE
    if _STREET_HINT.search(text):
        yield _STREET


def _value(text: str) -> str:
    return text.replace(" ", "").lower()
