"""The search in what a text says once its codes are undone, in terms of places in the text itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

from guardrails.words.decode import END, decode
from guardrails.words.scanner import Hit, Scanner


@dataclass(frozen=True, slots=True)
class DecodedScanner:
    """`pending`, from `base` on, may still become a code; `before` stands before it, certain when `known` had come.

    `starts`, `ends`, `knowns`: of the scanner's characters from `first` on, their places and when they were certain.
    """

    scanner: Scanner
    pending: str
    base: int
    before: str
    known: int
    first: int
    starts: list[int]
    ends: list[int]
    knowns: list[int]

    @property
    def safe(self) -> int:
        """What comes before this place is settled."""
        at = self.scanner.safe
        return self.base if at == self.scanner.end else self.starts[at - self.first]

    def feed(self, piece: str, *, last: bool = False) -> tuple[DecodedScanner, list[Hit]]:
        """After some more of the text: the scanner, and what became certain."""
        text = self.pending + piece
        found = decode(text, self.before, self.base, self.known, last=last)
        scanner, hits = self.scanner.finish(found.text) if last else self.scanner.feed(found.text)
        starts, ends, knowns = self.starts + found.starts, self.ends + found.ends, self.knowns + found.known
        placed = [
            replace(
                hit,
                start=starts[hit.start - self.first],
                end=ends[hit.end - 1 - self.first],
                certain=END if hit.certain == END else knowns[hit.certain - 1 - self.first],
            )
            for hit in hits
        ]
        taken, kept = found.taken - self.base, scanner.base - self.first
        after = DecodedScanner(
            scanner,
            text[taken:],
            found.taken,
            text[taken - 1] if taken else self.before,
            max(self.known, found.certain),
            scanner.base,
            starts[kept:],
            ends[kept:],
            knowns[kept:],
        )
        return after, placed


def decoded_after(scanner: Scanner) -> DecodedScanner:
    """A scanner of decoded text that goes on where `scanner`, to which no code has come yet, stands."""
    places = range(scanner.base, scanner.end)
    ends = [place + 1 for place in places]
    return DecodedScanner(
        scanner, "", scanner.end, scanner.text[-1:], scanner.end, scanner.base, list(places), ends, list(ends)
    )
