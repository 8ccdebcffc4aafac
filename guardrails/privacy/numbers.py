"""Private numbers: cards, resident ids, telephones, accounts, codes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from guardrails.privacy import bank_card
from guardrails.privacy.digit_groups import LONGEST, MOST_DIGITS, Row, any_digit, open_run, rows, stands_alone
from guardrails.privacy.find import Find, Piece, partial
from guardrails.privacy.resident_id import LENGTH, OLD_LENGTH, is_old_resident_id, is_resident_id

# How far back the words stand that say what a number is.
NEAR = 40
_SAYS = (
    r"(?:码|号|号码|numbers?|no\.?)?[\"'“”‘’（(【\[ ]{0,2}(?:是|为|写的是|is|:|=|,|-)?"
    r"[\"'“”‘’（(【\[ :\n]{0,3}(?:\+|00)?$"
)
_CODE_WORDS = (
    r"验证码|校验码|动态码|动态密码|密码|口令|安全码"
    r"|\bcv[vcn]2?|\bpin码?|\botp|verification code|security code|passcode|password"
)
_UNITS = (
    "元", "块", "万", "亿", "圆", "美元", "美金", "港元", "港币", "日元", "人民币", "欧元", "英镑",
    "yuan", "rmb", "cny", "usd", "dollars",
)  # fmt: skip
_CODE_AFTER = (
    "是我的验证码", "是我收到的验证码", "是验证码", "是短信验证码", "是我的密码",
    " is my verification code", " is the verification code", " is my otp", " is my code", " is my pin", " is the otp",
)  # fmt: skip
_NO_CODE_UNITS = (" times", " digits", " days", " minutes", " seconds")
# Between the ends of a range: a digit, or the mask of one, follows.
_TO = ("~", "至", "到", "-", " - ")
_RANGE = tuple(f"{to}{digit}" for to in _TO for digit in "0123456789*")
_LONGEST_AFTER = 32
_SPACED_UNITS = (*_UNITS, *(f" {unit}" for unit in _UNITS))


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_UNIT = _words("|".join(_SPACED_UNITS))
_CODE_FOLLOWS = _words("|".join(_CODE_AFTER))
_MAY_FOLLOW = _words(f"(?:{partial(_SPACED_UNITS + _CODE_AFTER + _NO_CODE_UNITS + _RANGE)})$")
_NO_CODE_AFTER = re.compile(
    "[位次秒分天年元月日小个%万以块期]|"
    + "|".join(_NO_CODE_UNITS)
    + f"|(?:{'|'.join(re.escape(to) for to in _TO)})[0-9*]",
    re.IGNORECASE,
)
_SAID_CARD = _words(r"卡|账|帐|户|card|acc(?:oun)?t|visa|master|unionpay|银联")
_SAID_CARD_HERE = _words(rf"(?:卡|账号|帐号|\bcard){_SAYS}")
_SAID_ID_HERE = _words(rf"(?:身份证件?|身份证明|证件|身份|\bid(?:entity)?(?: card)?){_SAYS}")
_SAID_PHONE = _words(r"手机|电话|联系|致电|来电|微信|号码|座机|拨打|phone|mobile|\btel|\bcell|call")
_SAID_ACCOUNT_HERE = _words(r"(?:账号|帐号|账户|帐户|account(?: number| no\.?)?)[是为:= \"']{0,3}(?:is )?$")
_SAID_CODE_HERE = _words(
    rf"(?:{_CODE_WORDS})(?:号|码|我收到了|收到了|已收到)?(?:[,，]? ?[是为係]|[:=]| is)?[\"'“”（( :]{{0,3}}$"
)
_SAID_CHECK_HERE = _words(r"(?:安全码|\bcv[vcn]2?)[是为:= \"'(（]{0,3}(?:is )?$")
_SAID_OTHER_HERE = _words(
    "(?:订单|流水|单号|工单|编号|参考|终端|商户|序列|合同|批次|快递|交易|条码|型号|版本|发票|凭证|文号|行号"
    r"|\border|\bref|invoice|serial|tracking|[¥￥$€£]|\busd|\brmb|\bcny|金额|合计|共计|余额|\bsn)"
    r"(?: ?(?:号|码|number|no\.?|为|是|:|#))*[ :#]{0,2}$"
)
_AMOUNT = re.compile(r"\d\.\d\d(?!\d)")
# The `n` of a line's end written in JSON is no letter before a number.
_IN_A_WORD = re.compile(r"(?<!\\)[A-Za-z0-9]$|[0-9]\.$")
_MOBILE = re.compile(r"(?:(?:00)?86)?1[3-9]\d{9}")
_MOBILE_SHAPES = frozenset(
    {(11,), (3, 4, 4), (4, 4, 3), (3, 8), (7, 4), (4, 7), (3, 3, 5), (2, 11), (2, 3, 4, 4), (4, 11), (4, 3, 4, 4),
     (13,), (15,), (5, 4, 4), (1,) * 11, (2, 3, 8), (2, 7, 4), (7, 4, 4)}
)  # fmt: skip
_LANDLINE = re.compile(r"0(?:10|2\d|[3-9]\d\d)[2-8]\d{6,7}|(?:00)?86(?:10|2\d|[3-9]\d\d)[2-8]\d{6,7}")
_LANDLINE_SHAPES = frozenset(
    {(3, 8), (4, 8), (4, 7), (3, 4, 4), (4, 4, 4), (4, 3, 4), (2, 2, 8), (2, 2, 4, 4), (2, 3, 8), (2, 3, 4, 4),
     (2, 3, 7)}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Kind:
    """`measure`: how many of a row's first digits are one. `least`: fewer never are; `words`: none without these."""

    name: str
    measure: Callable[[Piece, Row], int]
    least: int
    words: tuple[str, ...] = ()


class Numbers:
    """Finds the kinds asked for."""

    def __init__(self, kinds: frozenset[str]) -> None:
        every = (
            _Kind("id", _id, OLD_LENGTH),
            _Kind("card", _card, bank_card.LENGTHS[-1]),
            _Kind("mobile", _mobile, 11),
            _Kind("landline", _landline, 10),
            _Kind("account", _account, 8, ("账", "帐", "account")),
            _Kind("code", _code, 3, ("码", "口令", "cv", "pin", "otp", "pass", "code")),
        )
        self._kinds = tuple(kind for kind in every if kind.name in kinds)

    def search(self, piece: Piece, start: int) -> Find | None:
        """The first number from `start` on."""
        kinds: tuple[_Kind, ...] | None = None
        for row in rows(piece, start):
            if kinds is None:
                kinds = self._possible(piece.lower)
            digits = len(row.digits)
            for kind in kinds:
                if digits >= kind.least and (count := kind.measure(piece, row)):
                    return _find(piece, row, kind.name, count)
        return None

    def _possible(self, lower: str) -> tuple[_Kind, ...]:
        return tuple(
            kind for kind in self._kinds if not kind.words or any(word in lower for word in kind.words)
        )

    def held(self, piece: Piece) -> int:
        """Where a row begins that may go on, or that what comes next may explain."""
        end = len(piece.text)
        if not any_digit(piece.text, max(piece.low, end - LONGEST - _LONGEST_AFTER)):
            return end
        may_follow = _MAY_FOLLOW.search(piece.text, max(piece.low, end - _LONGEST_AFTER))
        if may_follow is not None:
            before = open_run(piece, may_follow.start())
            if before < may_follow.start():
                return before
        return open_run(piece, end)


def _find(piece: Piece, row: Row, kind: str, count: int) -> Find:
    start, end = row.start, row.end(count)
    alone = stands_alone(piece.text, start, end) and _SAID_CODE_HERE.search(piece.before(start, NEAR)) is None
    digits = row.digits[:count]
    return Find(kind, start, end, digits, alone, national=_national(kind, digits))


def _national(kind: str, digits: str) -> str:
    if kind not in {"mobile", "landline"}:
        return ""
    digits = digits.removeprefix("00")
    if not digits.startswith("86"):
        return digits
    return digits[2:] if kind == "mobile" else f"0{digits[2:]}"


def _before(piece: Piece, row: Row) -> str:
    return piece.before(row.start, NEAR)


def _id(piece: Piece, row: Row) -> int:
    digits = row.digits
    if digits[0] not in "123456789":
        return 0
    if row.ends_at(LENGTH):
        if is_resident_id(digits[:LENGTH]):
            return LENGTH
        if digits[: LENGTH - 1].isdecimal() and _SAID_ID_HERE.search(_before(piece, row)):
            return LENGTH
    if row.ends_at(OLD_LENGTH) and is_old_resident_id(digits[:OLD_LENGTH]):
        if len(row.sizes(OLD_LENGTH)) == 1 and not _SAID_OTHER_HERE.search(_before(piece, row)):
            return OLD_LENGTH
        if _SAID_ID_HERE.search(_before(piece, row)):
            return OLD_LENGTH
    return 0


def _card(piece: Piece, row: Row) -> int:
    lengths = [length for length in bank_card.LENGTHS if row.ends_at(length)]
    if not lengths or not (bank_card.may_begin(row.digits) or _SAID_CARD.search(_before(piece, row))):
        return 0
    for length in lengths:
        digits = row.digits[:length]
        sizes = row.sizes(length)
        shaped = sizes in bank_card.SHAPES
        if not bank_card.passes_luhn(digits):
            if (
                shaped
                and length > 14
                and len(set(digits)) > 1
                and _SAID_CARD_HERE.search(_before(piece, row))
            ):
                return length
            continue
        issued = bank_card.is_issued(digits)
        if issued and shaped:
            return length
        if not (issued or len(sizes) == 1) or _AMOUNT.search(piece.text, row.start, row.end(length)):
            continue
        if _SAID_CARD.search(_before(piece, row)) and not _SAID_OTHER_HERE.search(_before(piece, row)):
            return length
    return 0


def _mobile(piece: Piece, row: Row) -> int:
    match = _MOBILE.match(row.digits)
    if match is None or not row.ends_at(match.end()):
        return 0
    count, before = match.end(), _before(piece, row)
    if _UNIT.match(piece.text, row.end(count)):
        return 0
    if _SAID_PHONE.search(before[-16:]):
        return count
    plain = row.sizes(count) in _MOBILE_SHAPES and not _in_a_word(piece, row.start)
    return count if plain and not _SAID_OTHER_HERE.search(before) else 0


def _in_a_word(piece: Piece, at: int) -> bool:
    return _IN_A_WORD.search(piece.text, max(0, at - 2), at) is not None


def _landline(piece: Piece, row: Row) -> int:
    match = _LANDLINE.match(row.digits) if row.digits[0] in "08" else None
    if match is None:
        return 0
    for count in (match.end(), match.end() - 1):
        if not row.ends_at(count):
            continue
        if row.sizes(count) in _LANDLINE_SHAPES and not _in_a_word(piece, row.start):
            return count
        if _SAID_PHONE.search(_before(piece, row)[-16:]):
            return count
    return 0


def _account(piece: Piece, row: Row) -> int:
    if not _SAID_ACCOUNT_HERE.search(_before(piece, row)):
        return 0
    counts = (count for count in range(MOST_DIGITS, 7, -1) if row.ends_at(count) and count <= len(row.digits))
    return next((count for count in counts if row.digits[:count].isdecimal()), 0)


def _code(piece: Piece, row: Row) -> int:
    counts = [count for count in range(8, 2, -1) if row.ends_at(count) and row.digits[:count].isdecimal()]
    if not counts:
        return 0
    before = _before(piece, row)
    said = _SAID_CODE_HERE.search(before) is not None
    check = said and _SAID_CHECK_HERE.search(before) is not None
    for count in counts:
        if count == 3 and not check:
            continue
        end = row.end(count)
        if said and not _NO_CODE_AFTER.match(piece.text, end):
            return count
        if _CODE_FOLLOWS.match(piece.text, end) and not before.endswith("*"):
            return count
    return 0
