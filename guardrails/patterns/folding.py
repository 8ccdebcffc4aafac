"""The form in which patterns meet a text, and the way back to where each character stood."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from guardrails.tables import simplified
from guardrails.verdict import Span

# Between Chinese characters these only separate what belongs together; sentence marks are not among them.
_SPLIT = r"[\s*·•・._\-~|/\\+^#'\"`´=@&]"
_HAN = r"[\u3400-\u9fff]"
_BETWEEN = re.compile(rf"(?<={_HAN}){_SPLIT}{{1,8}}(?={_HAN})")
# A word spelled out letter by letter, and the cheap sign that there is one.
_SPELLED = re.compile(r"(?<![a-z0-9])[a-z](?:[ ._\-*][a-z]){3,}(?![a-z0-9])")
_SPELLING = re.compile(r"[ ._\-*][a-z][ ._\-*][a-z][ ._\-*][a-z](?![a-z0-9])")
# Format characters, fillers, variation selectors, keycaps, emoji, tags.
_UNSEEN = (
    "\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u20e3\u2600-\u27bf"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\U0001f000-\U0001faff\U000e0000-\U000e0fff"
)
_UNSEEN_RUN = re.compile(f"[{_UNSEEN}]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
# What compatibility normalisation may change or join, but for the punctuation every Chinese text has.
_COMPATIBLE = (
    "\u00a0-\u00bf\u0132-\u0149\u017f-\u017f\u01c4-\u01f3\u02b0-\u036f\u0374-\u0387\u03d0-\u03f9\u0483-\u0487\u1100-\u11ff"
    "\u1d2c-\u2011\u2017-\u2017\u2024-\u2026\u202f-\u205f\u2070-\u25ff\u2a0c-\u2adc\u2c7c-\u2c7d\u2d6f-\u2d6f\u2e9f-\u2fdf"
    "\u3000-\u3000\u3036-\u303a\u3099-\u309f\u30ff-\u33ff\ua69c-\ua770\uf900-\ufaff\ufb00-\ufdff\ufe10-\ufefc\uff02-\uff07"
    "\uff0a-\uff0b\uff0d-\uff19\uff1c-\uff1e\uff20-\uffef\U0001d100-\U0001efff\U0002f800-\U0002fa1f"
)
_PUNCTUATION = tuple(zip("，？！：；（）", ",?!:;()", strict=True))
# Letters that look like Latin ones, and characters often typed for another of the same sound.
_ALIKE = {
    **dict(zip("аеорсухівкмнтѕјԁɡ", "aeopcyxibkmhtsjdg", strict=True)),
    **dict(zip("αορτυνικε", "aoptuvike", strict=True)),
    **dict(zip("帐騙妳您牠祂", "账骗你你它它", strict=True)),
    "’": "'", "‘": "'", "“": '"', "”": '"', "`": "'",
}  # fmt: skip


def fold(text: str) -> str:
    """One width, case and script, without what is not seen; no separators inside words."""
    plain = _plain(text)
    if not plain.isascii():
        plain = _BETWEEN.sub("", plain)
    if _SPELLING.search(plain) is None:
        return plain
    return _SPELLED.sub(lambda found: "".join(filter(str.isalnum, found[0])), plain)


def origins(text: str) -> list[int]:
    """For every character of `fold(text)`, and its end, the place in `text` it came from. For the few texts that
    need it."""
    plain, places = [], []
    pieces: dict[str, str] = {}
    for start, end in _clusters(text):
        piece = pieces.get(text[start:end])
        if piece is None:
            piece = pieces[text[start:end]] = _plain(text[start:end])
        plain.append(piece)
        places.extend([start] * len(piece))
    places.append(len(text))
    joined = "".join(plain)
    dropped = {at for found in _BETWEEN.finditer(joined) for at in range(*found.span())}
    for found in _SPELLED.finditer(joined):
        dropped |= {at for at in range(*found.span()) if not joined[at].isalnum()}
    return [place for at, place in enumerate(places) if at not in dropped]


def original_spans(text: str, folded: str, spans: Iterable[tuple[int, int]]) -> tuple[Span, ...]:
    """Stretches of `folded = fold(text)` as stretches of `text`, in order, those that touch as one."""
    if len(text) == len(folded) and (
        text.isascii() or (len(_plain(text)) == len(text) and _plain_already(text))
    ):
        # Nothing was taken away, joined or written out.
        places = list(range(len(text) + 1))
    else:
        places = origins(text)
    if len(places) != len(folded) + 1:
        # Characters that compose across what is cut here as one: rather the whole text than the wrong part of it.
        return (Span(0, len(text)),)
    out: list[Span] = []
    for start, end in sorted(spans):
        found = Span(places[start], max(places[end], places[start] + 1))
        if out and found.start <= out[-1].end:
            last = out.pop()
            found = Span(last.start, max(last.end, found.end))
        out.append(found)
    return tuple(out)


def _plain(text: str) -> str:
    if text.isascii():
        return text.lower()
    # Normalising would do this too, but a text without them is often normal already, and that is quickly seen.
    for wide, narrow in _PUNCTUATION:
        text = text.replace(wide, narrow)
    if not _plain_already(text):
        text = _UNSEEN_RUN.sub("", _SURROGATE.sub("?", text))
        text = _translated(unicodedata.normalize("NFKC", text).casefold())
        # Composing may bring forth what was hidden in parts.
        return unicodedata.normalize("NFKC", text)
    return text.casefold()


def _plain_already(text: str) -> bool:
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return not _special()[codes].any()


def _translated(text: str) -> str:
    """`text.translate(_characters())`, of which one step a character would take longer than all the rest."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    return str(_table()[codes].tobytes(), "utf-32-le")


def _clusters(text: str) -> list[tuple[int, int]]:
    """Stretches that normalise by themselves: a character and what combines with it."""
    starts = [
        at for at, char in enumerate(text) if not at or not (unicodedata.combining(char) or _joins(char))
    ]
    return list(pairwise([*starts, len(text)]))


def _joins(char: str) -> bool:
    # Medial vowels and final consonants compose into Hangul syllables; half-width marks into kana.
    return "\u1160" <= char <= "\u11ff" or char in "\uff9e\uff9f" or bool(_UNSEEN_RUN.match(char))


@cache
def _characters() -> dict[int, str]:
    alike = {ord(char): to for char, to in _ALIKE.items()}
    simple = {code: alike.get(ord(str(to)), to) for code, to in simplified().items()}
    return simple | alike


@cache
def _table() -> NDArray[np.uint32]:
    """`_characters`, by code point."""
    table = np.arange(0x110000, dtype="<u4")
    for code, to in _characters().items():
        table[code] = ord(to)
    return table


@cache
def _special() -> NDArray[np.bool_]:
    """Code points for which the slow way is needed."""
    special = np.zeros(0x110000, dtype=np.bool_)
    for first, last in [*_ranges(_UNSEEN), *_ranges(_COMPATIBLE), (0xD800, 0xDFFF)]:
        special[first : last + 1] = True
    special[list(_characters())] = True
    return special


def _ranges(letters: str) -> Iterator[tuple[int, int]]:
    """The stretches of a character class without its brackets."""
    at = 0
    while at < len(letters):
        last = at + 2 if letters[at + 1 : at + 2] == "-" else at
        yield ord(letters[at]), ord(letters[last])
        at = last + 1
