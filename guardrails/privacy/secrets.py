"""Secrets: keys known by how they begin, private key blocks, and what stands behind a word for a password or key."""

from __future__ import annotations

import re

from guardrails.privacy.find import Find, Piece, partial

KIND = "secret"
# What follows a find belongs to it while it is of this class.
TOKEN = r"[A-Za-z0-9_\-.+/=~]"
VALUE = r"[!#-&(-+\-./0-9:=?@A-Z\[-_a-z{|}~]"
# With the backslash of a line's end written in JSON.
KEY_BLOCK = r"[A-Za-z0-9+/=\s:,\-\\]"
_LOOKED_AT = 32

# Prefix, characters that follow, how many of them make it a key.
_PREFIXES = (
    ("sk-", r"[A-Za-z0-9_\-]", 16), ("AKIA", "[A-Z0-9]", 12), ("ASIA", "[A-Z0-9]", 12), ("LTAI", "[A-Za-z0-9]", 12),
    ("ghp_", "[A-Za-z0-9]", 20), ("gho_", "[A-Za-z0-9]", 20), ("ghs_", "[A-Za-z0-9]", 20),
    ("github_pat_", "[A-Za-z0-9_]", 20), ("glpat-", r"[A-Za-z0-9_\-]", 12), ("xoxb-", r"[A-Za-z0-9\-]", 12),
    ("xoxp-", r"[A-Za-z0-9\-]", 12), ("AIza", r"[A-Za-z0-9_\-]", 20), ("eyJ", r"[A-Za-z0-9_\-.]", 20),
    ("hf_", "[A-Za-z0-9]", 20),
)  # fmt: skip
_BLOCK = "-----BEGIN "
_BLOCK_NAME = r"[A-Z ]{0,24}PRIVATE KEY"
_PREFIXED = re.compile(
    r"(?<![A-Za-z0-9_\-])(?:"
    + "|".join(f"{re.escape(prefix)}{chars}{{{count}}}" for prefix, chars, count in _PREFIXES)
    + f")|{_BLOCK}{_BLOCK_NAME}-----"
)
_PREFIXED_OPEN = re.compile(
    r"(?<![A-Za-z0-9_\-])(?:"
    + "|".join(f"{re.escape(prefix)}{chars}{{0,{count - 1}}}" for prefix, chars, count in _PREFIXES)
    + "|"
    + partial(prefix for prefix, _, _ in _PREFIXES)
    + ")$|(?:-{1,5}|-----B[A-Z ]{0,40}-{0,4})$"
)
_HINTS = (*(prefix for prefix, _, _ in _PREFIXES), "-----B")
# Behind a Chinese word a value may follow at once, behind an English one something stands between.
_WORD = (
    r"(?:(?:密码|口令|密钥|秘钥|令牌)(?: ?(?:是|为|:|=) ?| )?"
    r"|\b(?:password|passwd|pwd|passcode|secret|api[ _\-]?key|access[ _\-]?key|token|bearer|key)[\"']?"
    r"(?: ?(?:是|为|:|=|is\b) ?| ))[\"'“`]?"
)
_SAID = re.compile(_WORD, re.IGNORECASE)
_SAID_AT_END = re.compile(
    rf"{_WORD}(?P<value>{VALUE}{{0,{_LOOKED_AT - 1}}})$",
    re.IGNORECASE,
)
_SAID_HINTS = ("密码", "口令", "密钥", "秘钥", "令牌", "pass", "pwd", "secret", "key", "token", "bearer")
_VALUE = re.compile(f"{VALUE}{{1,{_LOOKED_AT}}}")
# A word alone is often followed by what is no value; a sign in between says more.
_LEAST_PLAIN, _LEAST_SAID = 12, 6
_LONGEST = 96


class Secrets:
    """Finds them. A find may be open-ended: it is sure before it has ended."""

    def search(self, piece: Piece, start: int) -> Find | None:
        """The first secret from `start` on."""
        found = [find for find in (_prefixed(piece.text, start), _said(piece, start)) if find is not None]
        return min(found, key=lambda find: find.start, default=None)

    def held(self, piece: Piece) -> int:
        """What may become a key, or a value that is too short yet to be told."""
        text, end = piece.text, len(piece.text)
        if not text or not text[-1].isascii():
            return end
        prefixed = _PREFIXED_OPEN.search(text, max(piece.low, end - _LONGEST))
        held = prefixed.start() if prefixed else end
        said = _SAID_AT_END.search(text, max(0, end - _LONGEST)) if _says(piece.lower) else None
        if said is not None and said["value"]:
            held = min(held, said.start("value"))
        return max(piece.low, held)


def _prefixed(text: str, start: int) -> Find | None:
    if not any(hint in text for hint in _HINTS):
        return None
    match = _PREFIXED.search(text, start)
    if match is None:
        return None
    chars = KEY_BLOCK if match[0].startswith(_BLOCK) else TOKEN
    return Find(KIND, match.start(), match.end(), match[0], open_ended=chars)


def _said(piece: Piece, start: int) -> Find | None:
    if not _says(piece.lower):
        return None
    text = piece.text
    for said in _SAID.finditer(text, max(0, start - _LONGEST)):
        value = _VALUE.match(text, said.end())
        if value is None or value.start() < start:
            continue
        if _is_secret(value[0], said[0]):
            return Find(KIND, value.start(), value.end(), value[0], open_ended=VALUE)
    return None


def _says(lower: str) -> bool:
    return any(hint in lower for hint in _SAID_HINTS)


def _is_secret(value: str, said: str) -> bool:
    """Letters and digits together, and long enough; after a mere space or the word key, longer."""
    plain = said.endswith(" ") and not any(sign in said for sign in ":=是为")
    plain = plain and not said.lower().startswith(("密", "口", "pass", "pwd"))
    least = _LEAST_PLAIN if plain else _LEAST_SAID
    return (
        len(value) >= least
        and any(char.isdigit() for char in value)
        and any(char.isalpha() for char in value)
    )
