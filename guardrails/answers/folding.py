"""The form in which questions and facts are compared: one script, one width, one way to write a number."""

from __future__ import annotations

import re
import unicodedata

from guardrails.tables import simplified

_ROMAN = str.maketrans(
    {chr(0x2160 + n): str(n + 1) for n in range(10)} | {chr(0x2170 + n): str(n + 1) for n in range(10)}
)
_DIGITS = {char: digit for digit, char in enumerate("零一二三四五六七八九")} | {"两": 2, "俩": 2, "〇": 0}
_UNITS = {"十": 10, "百": 100, "千": 1000}
_NUMERAL = re.compile(
    r"(?<![一二三四五六七八九十百千万两零])(?![百千](?:分|万))([零〇一二两俩三四五六七八九十百千]+)(?=\s*(?:个|年|月|天|日|期|类|张|笔|次|万|亿|元|块|小时|级|档|号|位|周|岁|折|倍|gb|g|m|分钟|人|条|部))"
)
_HALF_YEAR = re.compile(r"半年")
_WEEKDAY = re.compile(r"(?:礼拜|星期|周)([一二三四五六日天1-7几])")
_WEEKDAYS = {"天": "日", "7": "日"} | dict(zip("123456", "一二三四五六", strict=True))
_YUAN = re.compile(r"(?<=[\d十百千万亿])(?:块钱|元钱|块|圆)")
_SPACE = re.compile(r"(?<=[\u3400-\u9fff])\s+(?=[\u3400-\u9fff])")


def fold(text: str) -> str:
    """Width, case, script and numerals made one. 0.1 ms for a question."""
    text = (
        unicodedata.normalize("NFKC", well_formed(text).translate(_ROMAN)).casefold().translate(simplified())
    )
    text = _SPACE.sub("", text)
    text = _WEEKDAY.sub(lambda day: "周" + _WEEKDAYS.get(day[1], day[1]), text)
    text = _HALF_YEAR.sub("6个月", text)
    text = _NUMERAL.sub(lambda found: str(numeral(found[1])), text)
    return _YUAN.sub("元", text)


def well_formed(text: str) -> str:
    """Without lone surrogates, which no model can read."""
    return text.encode("utf-8", "ignore").decode("utf-8")


def numeral(text: str) -> int:
    """A Chinese numeral below ten thousand as a number: 三百二十 → 320."""
    total = digit = 0
    for char in text:
        if char in _UNITS:
            total += (digit or 1) * _UNITS[char]
            digit = 0
        else:
            digit = (
                digit * 10 + _DIGITS[char]
                if len(text) > 1 and not any(c in _UNITS for c in text)
                else _DIGITS[char]
            )
    return total + digit


HAN = re.compile(r"[\u3400-\u9fff]+")
_LETTERS = re.compile(r"[a-z]+(?:'[a-z]+)?")
_SPACES = re.compile(r" {2,}")
_IRREGULAR = {
    "paid": "pay", "sent": "send", "lost": "lose", "stolen": "steal", "broken": "break", "kept": "keep", "sold": "sell",
    "bought": "buy", "spent": "spend", "left": "leave", "took": "take", "taken": "take", "made": "make", "held": "hold",
    "people": "person", "children": "child", "cities": "city", "fees": "fee", "used": "use", "weigh": "weight", "weighs": "weight",
}  # fmt: skip


def matchable(text: str) -> str:
    """A folded text in which English words are stems between spaces, so that `art` is not found in `start`."""
    return _SPACES.sub(" ", _LETTERS.sub(lambda word: f" {stem(word[0])} ", text))


def stem(word: str) -> str:
    """An English word without its inflection; crude, the same for questions and documents."""
    word = word.partition("'")[0]
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    for ending in ("ations", "ation", "ments", "ment", "ings", "ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)]
            break
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "ls":
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word
