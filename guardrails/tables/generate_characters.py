"""Writes characters.txt: what each character folds to, which are letters, which are not seen.

Run by a developer. Needs confusable-homoglyphs (MIT, Unicode's confusables) and OpenCC beside Python's own Unicode
data: `pip install confusable-homoglyphs==3.3.1 OpenCC==1.4.2`.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections import defaultdict
from importlib.resources import files
from pathlib import Path

import opencc

_LAST = 0x110000
_HANGUL = range(0xAC00, 0xD7A4)
# Forms nobody reads as the letters in them.
_SIGNS = set("™℠℡℻©®")
# What the confusables leave out: Cyrillic and Greek small letters, letters with strokes, turned letters.
_MORE = {
    "a": "ɐ∀ᴀ", "b": "вƀɓ฿ʙьъ", "c": "ɔ¢ƈↄᴄ", "d": "đɗðдᴅ", "e": "ǝəɛεєэᴇ∃", "f": "ɟƒꜰ", "g": "ƃɢɠ",
    "h": "нɥħʜ", "i": "ᴉɪ", "j": "ɾʝᴊ", "k": "кκʞĸᴋƙ", "l": "łʟɭ", "m": "мʍᴍ", "n": "пηɴŋи", "o": "øθɵфσᴏ",
    "p": "þᴘƥ", "q": "ɋǫ", "r": "яɹʀř", "s": "ʂꜱ", "t": "тτʇŧᴛƭ", "u": "цμʉᴜ", "v": "ʌᴠ", "w": "шωщᴡ",
    "x": "χ", "y": "ʎʏ", "z": "ʐƶᴢ", "3": "з", "4": "ч", "6": "б",
}  # fmt: skip
# Radicals that Unicode keeps apart from the characters they are.
_RADICALS = dict(
    zip(
        "⻨⻢⻤⻥⻦⻋⻅⻉⻓⻔⻘⻙⻚⻛⻜⻝⻩⻬⻰⻳⻄⻣⺼⺠⺩⺶⺮⻊⻏⻖",
        "麦马鬼鱼鸟车见贝长门青韦页风飞食黄齐龙龟西骨肉民王羊竹足邑阜",
        strict=True,
    )
)
# Boxed and flag letters: Unicode gives them no letter of their own.
_BOXED = ((0x1F150, 0x1F169), (0x1F170, 0x1F189), (0x1F1E6, 0x1F1FF))
_BLANKS = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, 0xFFFC}


def main() -> None:
    """Overwrite the table beside this file."""
    alike = _confusables()
    japanese, simple = opencc.OpenCC("jp2t"), opencc.OpenCC("t2s")
    folded: dict[str, list[int]] = defaultdict(list)
    letters: list[int] = []
    unseen: list[int] = []
    for code in range(_LAST):
        char = chr(code)
        if _unseen(code, char):
            unseen.append(code)
            continue
        if not unicodedata.is_normalized("NFKD", char) or char.casefold() != char or char in alike:
            target = _fold(char, alike)
        else:
            target = char
        digit = unicodedata.digit(char, None)
        if digit is not None:
            target = str(digit)
        for first, last in _BOXED:
            if first <= code <= last:
                target = chr(ord("a") + code - first)
        if len(target) == 1 and 0x4E00 <= ord(target) < 0xA000 and not _chinese(target):
            other = simple.convert(japanese.convert(target))
            target = other if len(other) == 1 else target
        if target != char and not target.isspace():
            folded[target].append(code)
        if (
            char not in _SIGNS and any(unicodedata.category(one)[0] in "LN" for one in target or " ")
        ) or unicodedata.category(char) == "Mc":
            letters.append(code)
    lines = [
        "# Made by generate_characters.py from Unicode's data and confusables (Unicode licence) and OpenCC."
    ]
    lines.append(f"letters {_ranges(letters)}")
    lines.append(f"unseen {_ranges(unseen)}")
    lines += [
        f"fold {' '.join(f'{ord(one):x}' for one in target)}: {_ranges(codes)}"
        for target, codes in sorted(folded.items())
    ]
    path = Path(__file__).with_name("characters.txt")
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    sys.stdout.write(f"{sum(map(len, folded.values()))} characters folded in {path.name}\n")


def _chinese(char: str) -> bool:
    """Whether a character is one of the simplified script, whatever else it may be in Japan."""
    try:
        return bool(char.encode("gb2312"))
    except UnicodeEncodeError:
        return False


def _unseen(code: int, char: str) -> bool:
    category = unicodedata.category(char)
    return (
        category in {"Mn", "Me", "Cf"}
        or (category == "Cc" and char not in "\t\n\v\f\r\x85")
        or code in _BLANKS
        or 0xE0000 <= code < 0xE1000
    )


def _fold(char: str, alike: dict[str, str]) -> str:
    if char in _SIGNS:
        return char
    if char in alike:
        return alike[char]
    # Hangul syllables come apart under NFKD, and nothing is won by it.
    whole = unicodedata.normalize("NFKC", char).casefold()
    apart = "".join(one if ord(one) in _HANGUL else unicodedata.normalize("NFKD", one) for one in whole)
    plain = "".join(one for one in apart if unicodedata.category(one) not in {"Mn", "Me", "Cf"})
    plain = "".join(alike.get(one, one) for one in plain)
    # ⒜ and 🄐 read as their letter, ⑴ as its number.
    if len(plain) == 3 and plain[0] == "(" and plain[2] == ")":
        plain = plain[1]
    if plain[:-1].isdigit() and plain[-1:] == ".":
        plain = plain[:-1]
    return plain or char


def _confusables() -> dict[str, str]:
    """Character → the ASCII letter or digit it looks like."""
    text = files("confusable_homoglyphs").joinpath("confusables.json").read_text(encoding="utf-8")
    table = json.loads(text)
    found: dict[str, str] = {}
    for wanted in "abcdefghijklmnopqrstuvwxyz0123456789":
        for shape in (wanted, wanted.upper()):
            for row in table.get(shape, ()):
                char = row["c"].strip("\u200e")
                if len(char) == 1 and not char.isascii() and _may_fold(char):
                    found.setdefault(char, wanted)
    for wanted, chars in _MORE.items():
        for char in chars:
            found[char] = wanted
            if len(char.upper()) == 1 and char.upper() not in found:
                found[char.upper()] = wanted
    return found | _RADICALS


def _may_fold(char: str) -> bool:
    # Signs that are often separators stay signs; Chinese characters stay Chinese; I that looks like l is an i.
    if unicodedata.category(char)[0] not in "LN" or "\u2e80" <= char <= "\u9fff":
        return False
    plain = unicodedata.normalize("NFKC", char).casefold()
    return not (plain.isascii() and plain.isalnum())


def _ranges(codes: list[int]) -> str:
    found: list[list[int]] = []
    for code in codes:
        if found and code == found[-1][1] + 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return " ".join(f"{first:x}" if first == last else f"{first:x}-{last:x}" for first, last in found)


if __name__ == "__main__":
    main()
