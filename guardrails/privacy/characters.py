"""What a character is to the privacy check, whatever alphabet or disguise it comes in.

Folding works on each character by itself, one for one or away, so that a text may be folded piece by piece.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

# For the inside of a character class.
INVISIBLE = (
    "\u00ad\u0300-\u036f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u20d0-\u20ff\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff"
)
_HAN_DIGITS = dict(
    zip(
        "零〇一二三四五六七八九幺壹贰叁肆伍陆柒捌玖貳參叄陸○",
        "0" + "0123456789" + "1123456789" + "23360",
        strict=True,
    )
)
HAN_DIGITS = "".join(_HAN_DIGITS)
_LETTERS_LIKE_DIGITS = dict(zip("OoIlx", "0011X", strict=True))
_TABLES_END = 0x20000  # Beyond it Unicode has neither digits nor styled letters.
_SPACES = "\t\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_DASHES = "‐‑‒–—―−﹣"
_POINTS = "•・‧∙⋅●"
# Traditional characters of the words and units that the recognisers read.
_TRADITIONAL = dict(
    zip(
        "驗證碼號帳賬戶銀電話機聯繫郵護區縣鎮鄉棟樓單層灣動態鑰華園莊門",
        "验证码号账账户银电话机联系邮护区县镇乡栋楼单层湾动态钥华园庄门",
        strict=True,
    )
)  # fmt: skip


def _digits_beyond_ascii() -> tuple[dict[int, str], dict[int, str]]:
    """Digits that read like plain ones (full width, other scripts, styled), and those that stand in circles."""
    plain: dict[int, str] = {}
    ringed: dict[int, str] = {}
    for code in range(0x80, _TABLES_END):
        char = chr(code)
        if char.isdecimal():
            plain[code] = str(unicodedata.decimal(char))
        elif char.isdigit():
            ringed[code] = str(unicodedata.digit(char))
    return plain, ringed


_PLAIN, _RINGED = _digits_beyond_ascii()


def _class(codes: dict[int, str]) -> str:
    """The codes as ranges, for the inside of a character class."""
    parts, ordered = [], sorted(codes)
    first = last = ordered[0]
    for code in [*ordered[1:], 0]:
        if code == last + 1:
            last = code
            continue
        parts.append(f"{chr(first)}-{chr(last)}")
        first = last = code
    return "".join(parts)


OTHER_PLAIN = _class(_PLAIN)
RINGED = _class(_RINGED)
DIGITS = "0-9" + OTHER_PLAIN + RINGED + HAN_DIGITS
# Between two groups of one number.
SEPARATORS = r" \-\n\r._/·()"

# Signs that every Chinese text has: replaced one by one, which is quicker than a table.
_COMMON = tuple(zip("，：（）；？！　", ",:();?! ", strict=True))

_UNSEEN = re.compile(f"[{INVISIBLE}]+")


@cache
def _folds() -> dict[int, str]:
    """Width and style of letters and signs made one. Digits stay what they are: their kind tells groups apart."""
    table = {}
    for code in (*range(0xFF01, 0xFF5F), *range(0x1D400, 0x1D7CC)):
        plain = unicodedata.normalize("NFKC", chr(code))
        if len(plain) == 1 and plain.isascii() and not plain.isdigit():
            table[code] = plain
    table |= {ord(char): " " for char in _SPACES}
    table |= {ord(char): "-" for char in _DASHES}
    table |= {ord(char): "·" for char in _POINTS}
    table |= {ord(char): simple for char, simple in _TRADITIONAL.items()}
    return {code: plain for code, plain in table.items() if chr(code) not in dict(_COMMON)}


@cache
def _folded() -> re.Pattern[str]:
    return re.compile(f"[{_class(_folds())}]")


@cache
def _values() -> dict[int, str]:
    written = {ord(char): digit for char, digit in (_HAN_DIGITS | _LETTERS_LIKE_DIGITS).items()}
    return written | _PLAIN | _RINGED


def fold(text: str) -> str:
    """One width and style, character for character."""
    if text.isascii():
        return text.replace("\t", " ") if "\t" in text else text
    for sign, plain in _COMMON:
        text = text.replace(sign, plain)
    return text.translate(_folds()) if _folded().search(text) else text


def seen(text: str) -> tuple[str, list[int] | None]:
    """`text` without what nobody sees, and where each character stood; None where all are seen."""
    if text.isascii() or _UNSEEN.search(text) is None:
        return text, None
    places: list[int] = []
    start = 0
    for hidden in _UNSEEN.finditer(text):
        places.extend(range(start, hidden.start()))
        start = hidden.end()
    places.extend(range(start, len(text)))
    return _UNSEEN.sub("", text), places


def values(text: str) -> str:
    """Written digits as plain ones, `x` as `X`."""
    return text.translate(_values())
