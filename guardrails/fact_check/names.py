"""The names a text's own labels and table heads give its subjects: 金卡：年费200元, | Barista One | €449 |."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from guardrails.fact_check.features import Token
from guardrails.values.numerals import fold

_LABEL = re.compile(r"(?:^|(?<=[。；;\n]))\s*([^:，；;。\n][^:；;。\n]{0,79}):")
_BRACKETS = re.compile(r"[（(][^（）()]{0,40}[）)]")
_APART = re.compile(r"[，、,/|]| and | or ")
_NAME = re.compile(r"[\u3400-\u9fff][\u3400-\u9fffa-z0-9]{1,11}|[a-z][a-z0-9 '-]{2,29}")
_MOST = 300


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one ground; the longest wins, so 白金卡 is no 金卡."""

    pattern: re.Pattern[str] | None = None

    @classmethod
    def of(cls, texts: Iterable[str]) -> Names:
        """The names in the labels of `texts`."""
        found = dict.fromkeys(name for text in texts for name in _labels(fold(text)))
        some = sorted(list(found)[:_MOST], key=len, reverse=True)
        if not some:
            return cls()
        return cls(re.compile("|".join(rf"(?<![a-z]){re.escape(one)}(?![a-z])" for one in some)))

    def tokens(self, folded: str) -> Iterator[Token]:
        """Where a folded text has a name, as the feature `=name`."""
        if self.pattern is not None:
            for match in self.pattern.finditer(folded):
                yield Token(match.start(), match.end(), f"={match[0]}")


def _labels(folded: str) -> Iterator[str]:
    for label in _LABEL.finditer(folded):
        for part in _APART.split(_BRACKETS.sub("", label[1])):
            name = part.strip()
            if _NAME.fullmatch(name):
                yield name
