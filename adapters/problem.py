"""One thing wrong with an adapter package, said so that its author can repair it."""

from collections.abc import Iterable
from dataclasses import dataclass

MAX_QUOTED = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """`code` is stable and machine-readable, `where` names file and field, `message` says what to do."""

    code: str
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message} [{self.code}]"


def quoted(value: object) -> str:
    """A short, printable ASCII form of hostile text: no control characters, no lone surrogates."""
    text = ascii(value[: MAX_QUOTED + 1] if isinstance(value, str) else value)
    return text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "…"


def listed(names: Iterable[object], most: int = 8) -> str:
    """The first few names, and how many more there are."""
    every = [quoted(name) for name in names]
    rest = len(every) - most
    return ", ".join(every[:most]) + (f" and {rest} more" if rest > 0 else "")
