"""Denied terms disguised in many ways, by code that shares nothing with the check; and texts that only come near.

Two sets of terms, carriers and parameters: `working`, and `held_out`, which nothing was tuned on.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Parameters:
    """What the techniques draw from."""

    chinese: tuple[str, ...]
    english: tuple[str, ...]
    chinese_carriers: tuple[str, ...]
    english_carriers: tuple[str, ...]
    zero_width: str
    symbols: str
    emoji: tuple[str, ...]
    repeat: int
    marks: str
    seed: int
    chance: tuple[str, ...]


DATA = Path(__file__).parent / "data"


def read_parameters(name: str) -> Parameters:
    """`working` or `held_out`."""
    rows = yaml.safe_load((DATA / f"{name}.yaml").read_text(encoding="utf-8"))
    return Parameters(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in rows.items()}
    )


_CYRILLIC = dict(zip("acehijkmnopstxyb", "асеһіјкмпорѕтхуь", strict=True))
_GREEK = dict(zip("aeikmnopstuvx", "αεικмηορѕτυνχ", strict=True))
_LEET = {"a": "4@", "e": "3", "i": "1!", "o": "0", "s": "5$", "t": "7", "b": "8", "g": "9"}
_FORMAL = dict(zip("一二三四五六七八九十千", "壹贰叁肆伍陆柒捌玖拾仟", strict=True))
_ARABIC = dict(zip("一二三四五六七八九", "123456789", strict=True))


def _between(term: str, separate: Callable[[], str]) -> str:
    letters = list(term)
    return letters[0] + "".join(separate() + letter for letter in letters[1:])


def _once(term: str, separate: Callable[[], str], rng: random.Random) -> str:
    at = rng.randrange(1, len(term))
    return term[:at] + separate() + term[at:]


def _styled(term: str, first: int, last: int = 0) -> str:
    return "".join(chr(first + ord(c) - ord("a")) if "a" <= c <= "z" else c for c in term)


def _mapped(term: str, table: dict[str, str], rng: random.Random, share: float = 1.0) -> str:
    return "".join(rng.choice(table[c]) if c in table and rng.random() < share else c for c in term)


def _full_width(term: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in term)


def _circled(term: str) -> str:
    digits = {**_ARABIC}
    return "".join(chr(0x245F + int(digits[c])) if c in digits else c for c in term)


def _bidi(term: str, rng: random.Random) -> str:
    return rng.choice(["\u202d{}\u202c", "\u2066{}\u2069", "\u200f{}\u200f"]).format(
        _once(term, lambda: rng.choice("\u200e\u202a\u2067"), rng)
    )


def _reversed(term: str) -> str:
    return "\u202e" + term[::-1] + "\u202c"


@cache
def _converter() -> Any:
    import opencc

    return opencc.OpenCC("s2t")


def _traditional(term: str) -> str:
    return str(_converter().convert(term))


def _wrapped(term: str, mark: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(term))
    return term[:at] + mark + term[at:] + mark


@cache
def _split() -> dict[str, str]:
    """Character → the two it looks like side by side or above each other."""
    lines = (DATA / "split.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ") for line in lines)


@cache
def _common() -> dict[str, list[str]]:
    """Pinyin → the characters of it among the 3,755 most common ones."""
    import pypinyin

    found: dict[str, list[str]] = {}
    for row in range(0xB0, 0xD8):
        for cell in range(0xA1, 0xFF):
            try:
                char = bytes([row, cell]).decode("gb2312")
            except UnicodeDecodeError:
                continue
            found.setdefault(pypinyin.lazy_pinyin(char)[0], []).append(char)
    return found


def _swaps(term: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    import pypinyin

    syllables = pypinyin.lazy_pinyin(term)
    at = rng.randrange(len(term))
    yield "one in pinyin", term[:at] + syllables[at] + term[at + 1 :]
    alike = [char for char in _common().get(syllables[at], []) if char != term[at]]
    if alike:
        name = "homophone" if len(term) > 2 else "homophone of two"
        yield name, term[:at] + rng.choice(alike) + term[at + 1 :]
    places = [at for at, char in enumerate(term) if char in _split()]
    if places:
        at = rng.choice(places)
        yield "split", term[:at] + _split()[term[at]] + term[at + 1 :]
    if len(term) > 2:
        yield "all in pinyin", rng.choice(["", " "]).join(syllables)


def techniques(p: Parameters, term: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    """(name, disguised term) for every technique that changes this term."""
    chinese = not term.isascii()
    pick = partial(rng.choice, p.symbols)
    emoji = partial(rng.choice, p.emoji)
    yield "plain", term
    yield "zero width", _between(term, lambda: "".join(rng.choice(p.zero_width) for _ in range(p.repeat)))
    yield "bidi controls", _bidi(term, rng)
    yield "bidi reversed", _reversed(term)
    yield "combining marks", "".join(c + rng.choice(p.marks) for c in term)
    yield "line break", _once(term, lambda: rng.choice(["\n", "\r\n", "\u2028"]), rng)
    yield "emoji between", _between(term, lambda: emoji() * p.repeat)
    symbol = pick()
    yield "one symbol between", _between(term, lambda: symbol * p.repeat)
    yield "mixed symbols between", _between(term, lambda: pick() + pick())
    yield "spaces between", _between(term, lambda: rng.choice([" ", "  ", "\u3000", "\u00a0", "\u2009"]))
    yield "entities", "".join(f"&#{ord(c)};" if rng.random() < 0.5 else f"&#x{ord(c):x};" for c in term)
    yield (
        "tags",
        _once(term, lambda: rng.choice(["<b></b>", "<br>", "<i>", "<!-- -->", '<span class="x">']), rng),
    )
    yield "markdown", _wrapped(term, rng.choice(["**", "*", "__", "`", "~~"]), rng)
    yield "joiner characters", _between(term, lambda: rng.choice(["\u2060", "\u3164", "\u2800"]))
    if chinese:
        for name, changed in (
            ("traditional", _traditional(term)),
            ("formal numerals", "".join(_FORMAL.get(c, c) for c in term)),
            ("arabic digits", "".join(_ARABIC.get(c, c) for c in term)),
            ("circled digits", _circled(term)),
            ("full-width digits", _full_width("".join(_ARABIC.get(c, c) for c in term))),
        ):
            if changed != term:
                yield name, changed
        yield from _swaps(term, rng)
        yield "one separator", _once(term, pick, rng)
        yield (
            "brackets",
            "".join(f"【{c}】" for c in term) if p.repeat > 1 else "".join(f"({c})" for c in term),
        )
        yield (
            "traditional, separated",
            _between(_traditional(term), lambda: rng.choice(p.zero_width) + symbol),
        )
        return
    yield "upper case", term.upper()
    yield "mixed case", "".join(rng.choice([c.upper(), c]) for c in term)
    yield "full width", _full_width(term)
    yield "mathematical bold", _styled(term, 0x1D41A)
    yield "mathematical fraktur", _styled(term, 0x1D586)
    yield "monospace", _styled(term, 0x1D68A)
    yield "circled letters", _styled(term, 0x24D0)
    yield "squared letters", _styled(term, 0x1F130)
    yield "cyrillic", _mapped(term, _CYRILLIC, rng)
    yield "greek", _mapped(term, _GREEK, rng)
    yield "accents", unicodedata.normalize("NFC", "".join(c + "\u0301" for c in term))
    leet = _mapped(term, _LEET, rng, 0.7)
    if leet != term and sum(c.isalpha() for c in leet) >= 2:
        yield "leet", leet
        yield "leet, digits alone", _mapped(term, {k: v[0] for k, v in _LEET.items()}, rng)
    yield "joined words", term.replace(" ", "") if " " in term else term.title()
    yield (
        "cyrillic, zero width",
        _between(_mapped(term, _CYRILLIC, rng, 0.5), lambda: rng.choice(p.zero_width)),
    )


def disguised(p: Parameters, per_term: int = 2) -> Iterator[tuple[str, str, str]]:
    """(technique, term, text)."""
    rng = random.Random(p.seed)
    for terms, carriers in ((p.chinese, p.chinese_carriers), (p.english, p.english_carriers)):
        for term in terms:
            for _ in range(per_term):
                for name, changed in techniques(p, term, rng):
                    yield name, term, rng.choice(carriers).format(changed)
