"""The bytes of a text file as text, whatever of the usual encodings they are in."""

from __future__ import annotations

import codecs
import re

_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_DECLARED = re.compile(rb"""(?i)<meta[^>]{0,200}charset\s*=\s*["']?\s*([a-z0-9_-]{2,20})""")
_HIGH = re.compile(rb"[\x80-\xff]+")
_WESTERN = 0.2
"""Share of bytes in runs of two and more above which a text is not Western: a Chinese character has two bytes."""


def decode(raw: bytes, *, html: bool = False) -> str:
    """UTF-8, UTF-16 with a mark, GB18030, Windows-1252, or what an HTML page declares. Raises ValueError."""
    encoding = next((name for mark, name in _BOMS if raw.startswith(mark)), "")
    if not encoding and html and (declared := _DECLARED.search(raw[:4096])):
        encoding = _known(declared[1].decode("ascii"))
    if encoding:
        try:
            return clean(raw.decode(encoding))
        except UnicodeDecodeError as error:
            raise ValueError(f"line {_line(raw, error.start)}: not {encoding} text") from None
    try:
        return clean(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        return clean(_other(raw, error.start))


def _other(raw: bytes, broken_at: int) -> str:
    if b"\0" in raw[:65_536]:
        raise ValueError("not a text file: it holds zero bytes")
    replaced = raw.decode("utf-8", "replace")
    wrong = replaced.count("\ufffd")
    if sum(char > "\x7f" for char in replaced) - wrong > 3 * wrong:
        # As GB18030 a damaged UTF-8 file reads as other, wrong characters.
        raise ValueError(f"line {_line(raw, broken_at)}: broken UTF-8")
    runs = [len(run) for run in _HIGH.findall(raw)]
    if sum(length for length in runs if length > 1) < _WESTERN * sum(runs):
        return raw.decode("cp1252", "replace")
    try:
        return raw.decode("gb18030")
    except UnicodeDecodeError as error:
        raise ValueError(f"line {_line(raw, error.start)}: neither UTF-8 nor GB18030 text") from None


def clean(text: str) -> str:
    """Without half characters, which nothing downstream can write, and with one kind of line end."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return text.encode("utf-8", "replace").decode("utf-8")


def _line(raw: bytes, at: int) -> int:
    return raw.count(b"\n", 0, at) + 1


def _known(name: str) -> str:
    """GB 2312 and GBK are parts of GB 18030, and pages that say one use the other."""
    name = name.lower()
    if name in {"gb2312", "gbk", "gb_2312-80", "x-gbk"}:
        return "gb18030"
    try:
        return codecs.lookup(name).name
    except LookupError:
        return ""
