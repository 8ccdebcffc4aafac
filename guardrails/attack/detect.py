"""Whether a text tries to give the model orders that are not its author's to give. Rules alone, in linear time."""

from __future__ import annotations

import base64
import binascii
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from guardrails.patterns.folding import fold, original_spans
from guardrails.patterns.source import build_table, read_patterns
from guardrails.patterns.table import PatternTable
from guardrails.policy.yaml_source import read_yaml
from guardrails.verdict import Decision, Span, Verdict

CHECK = "attack"
WINDOW = 4000
"""Characters looked at together. Windows overlap, so what is split between two is whole in one of them."""
_OVERLAP = 500
_MAX_WINDOWS = 100
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,2000}={0,2}")
_HEX = re.compile(r"(?<![0-9a-zA-Z])(?:[0-9a-fA-F]{2}[\s:]?){10,1000}")
_PERCENT = re.compile(r"(?:%[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}){4,}")
_MAX_PAYLOADS = 8


class AttackCheck:
    """BLOCK with the kind of attack as reason, else ALLOW. Unchangeable; pickles as its patterns."""

    def __init__(self, table: PatternTable, kinds: tuple[str, ...]) -> None:
        self._table = table
        self._kinds = kinds

    def __call__(self, text: str) -> Verdict:
        """What is said of `text`. Of texts beyond 350,000 characters the beginning and the end are read."""
        for start in _starts(len(text)):
            piece = text[start : start + WINDOW]
            verdict = self._read(piece, start) or self._decoded(piece, start)
            if verdict is not None:
                return verdict
        return Verdict(CHECK, Decision.ALLOW)

    def _read(self, text: str, offset: int) -> Verdict | None:
        folded = fold(text)
        found = self._table.found(folded)
        kind = next((kind for kind in self._kinds if kind in found), None)
        if kind is None:
            return None
        spans = original_spans(text, folded, self._table.spans(kind, folded))
        return Verdict(CHECK, Decision.BLOCK, kind, tuple(span.shifted(offset) for span in spans))

    def _decoded(self, text: str, offset: int) -> Verdict | None:
        """An attack written in another code: found when the decoded text is one."""
        for start, end, plain in _payloads(text):
            if self._read(plain, 0) is not None:
                return Verdict(CHECK, Decision.BLOCK, "encoded", (Span(start + offset, end + offset),))
        return None


@cache
def load_attack() -> AttackCheck:
    """The check with the shipped patterns."""
    source = read_yaml(Path(__file__).with_name("attacks.yaml"))
    patterns = read_patterns(source)
    return AttackCheck(build_table(patterns, source), tuple(patterns.signals))


def _starts(length: int) -> list[int]:
    """Where the windows begin."""
    starts = list(range(0, max(1, length - _OVERLAP), WINDOW - _OVERLAP))
    if len(starts) <= _MAX_WINDOWS:
        return starts
    half = _MAX_WINDOWS // 2
    return [*starts[:half], *(start for start in starts[-half:])]


def _payloads(text: str) -> list[tuple[int, int, str]]:
    """Start, end and meaning of what looks encoded and decodes to readable text."""
    out: list[tuple[int, int, str]] = []
    for pattern, decode in ((_BASE64, _from_base64), (_HEX, _from_hex), (_PERCENT, _from_escapes)):
        for number, found in enumerate(pattern.finditer(text)):
            if number >= _MAX_PAYLOADS:
                break
            plain = decode(found[0])
            if plain and sum(map(str.isprintable, plain)) > 0.9 * len(plain):
                out.append((*found.span(), plain))
    return out


def _from_base64(text: str) -> str:
    body = text.rstrip("=").replace("-", "+").replace("_", "/")
    body = body[: len(body) - (len(body) % 4 == 1)]
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4)).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _from_hex(text: str) -> str:
    try:
        return bytes.fromhex(re.sub(r"[\s:]", "", text)).decode("utf-8")
    except ValueError:
        return ""


def _from_escapes(text: str) -> str:
    return unquote(re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text))
