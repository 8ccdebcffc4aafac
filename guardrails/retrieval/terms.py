"""The terms of a text for lexical search: single Chinese characters and their pairs, words of other scripts."""

from __future__ import annotations

import re
import unicodedata

from guardrails.tables import simplified

_SAY_NOTHING = frozenset(
    "a an the of to in on at for from by with and or is are was were be been am do does did can could will would "
    "shall should may might must have has had i me my mine you your we our it its he she they them their this that "
    "these those there here what which who whom whose when where why how if then than as so not no any some all "
    "please tell know want need get much many".split()
)
"""English words that are in every question."""
_RUN = re.compile(r"([\u3400-\u9fff]+)|([^\W_\u3400-\u9fff]+(?:[.,]\d+)*)")
LONGEST_TEXT = 20_000
"""Characters; what comes after them is not searched for."""


def terms_of(text: str) -> tuple[str, ...]:
    """Terms in their order, with repetitions. Width, case and script are made one, plurals lose their s.

    Words like `the` are no terms.
    """
    plain = unicodedata.normalize("NFKC", text[:LONGEST_TEXT]).casefold().translate(simplified())
    found: list[str] = []
    for han, word in _RUN.findall(plain):
        if han:
            found.extend(han)
            found.extend(han[at : at + 2] for at in range(len(han) - 1))
        elif word not in _SAY_NOTHING:
            found.append(word[:-1] if len(word) > 3 and word[-1] == "s" and word[-2] != "s" else word)
    return tuple(found)
