"""What a denied term is searched as."""

from __future__ import annotations

from dataclasses import dataclass

from guardrails.words.skeleton import plain, skeleton


@dataclass(frozen=True, slots=True)
class Pattern:
    """One way to write a term. `letters`: plain, as long as its skeleton; `term`: its place in the list.

    `breaks`: the term itself has a separator before these letters. `cost`: how unlikely this way to write it is, in
    the unit of `ordinary.cost`; 0 for the term as it stands.
    """

    term: int
    letters: str
    breaks: frozenset[int] = frozenset()
    cost: int = 0

    @property
    def skeleton(self) -> str:
        """What is searched."""
        return skeleton(self.letters)


def pattern_of(text: str, term: int) -> Pattern:
    """The pattern of a text as it stands; without letters where there are none."""
    letters: list[str] = []
    breaks: set[int] = set()
    for char in text:
        found = plain(char)
        if not found and letters:
            breaks.add(len(letters))
        letters.extend(found)
    return Pattern(term, "".join(letters), frozenset(breaks - {len(letters)}))
