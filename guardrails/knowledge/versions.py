"""Which of the documents hold today: expired and future ones do not, and of two versions only the newer one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import PurePosixPath

from guardrails.knowledge.document import Document

_EDITION = re.compile(
    r"[(（\[【]?\s*(?:(?:19|20)\d\d\s*(?:年\s*)?(?:版|修订版?|修订|edition|version)?|v(?:er(?:sion)?)?\.?\s*\d+(?:\.\d+)*|第?\s*[\d.一二三四五六七八九十]+\s*版|rev(?:ision)?\.?\s*\d+)"
    r"\s*[)）\]】]?",
    re.I,
)
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_VERSION = re.compile(
    r"(?:v(?:er(?:sion)?)?|rev(?:ision)?)[ ._-]?(\d+(?:\.\d+)*)|第?\s*(\d+(?:\.\d+)*)\s*版", re.I
)


def in_force(documents: Mapping[str, Document], today: date) -> list[str]:
    """The names of the documents whose rules apply today, in the order given."""
    alive = {name: one for name, one in documents.items() if one.validity.holds_on(today)}
    for name in sorted(alive, key=lambda name: _rank(alive[name]), reverse=True):
        one = alive.get(name)
        if one is None:
            continue
        if any(
            _successor_holds(reference, one, documents, alive) for reference in one.validity.superseded_by
        ):
            del alive[name]
            continue
        for reference in one.validity.supersedes:
            for other in [other for other, it in alive.items() if it is not one and _means(reference, it)]:
                del alive[other]
    for older in list(_older(alive)):
        alive.pop(older, None)
    return [name for name in documents if name in alive]


def _successor_holds(
    reference: str, one: Document, documents: Mapping[str, Document], alive: Mapping[str, Document]
) -> bool:
    """A successor that is not here has replaced the document, too; one not yet in force has not."""
    named = {name for name, other in documents.items() if other is not one and _means(reference, other)}
    return not named or any(name in alive for name in named)


def _means(reference: str, document: Document) -> bool:
    stem = PurePosixPath(document.path).stem
    wanted = _plain(reference)
    return wanted in {
        _plain(document.id),
        _plain(document.title),
        _plain(stem),
        _plain(PurePosixPath(document.path).name),
    }


def _plain(name: str) -> str:
    return re.sub(r"[\s《》\"'“”()（）_-]+", "", name).casefold()


def _older(alive: Mapping[str, Document]) -> Iterator[str]:
    """Of documents with one id, or with one title but for the edition, all that are older than another.

    Two documents that are both called "FAQ" are no editions of one, unless their file names are the same, too.
    """
    series: dict[tuple[str, ...], list[str]] = {}
    for name, one in alive.items():
        series.setdefault(("id", one.id), []).append(name)
        bare = _plain(_EDITION.sub("", one.title))
        stem = "" if bare != _plain(one.title) else _plain(_EDITION.sub("", PurePosixPath(name).stem))
        if bare:
            series.setdefault(("title", bare, stem, one.product.casefold()), []).append(name)
    for key, members in series.items():
        for name in members:
            rivals = [alive[other] for other in members if other != name]
            if any(_newer(rival, alive[name], same_id=key[0] == "id") for rival in rivals):
                yield name


def _newer(one: Document, other: Document, *, same_id: bool) -> bool:
    """By date, else by version, else by year; documents with different ids only where both say the same of them."""
    first, second = _rank(one), _rank(other)
    if same_id:
        return first > second
    for mine, theirs in zip(first, second, strict=True):
        if mine and theirs and mine != theirs:
            return mine > theirs
    return False


def _rank(document: Document) -> tuple[tuple[int, ...], ...]:
    starts = document.validity.effective_from
    stem = PurePosixPath(document.path).stem
    version = tuple(int(part) for part in re.findall(r"\d+", document.version))
    if not version and (said := _VERSION.search(f"{document.title} {stem}")):
        version = tuple(int(part) for part in (said[1] or said[2]).split("."))
    years = [int(year) for year in _YEAR.findall(f"{document.title} {stem}")]
    return (starts.toordinal(),) if starts else (), version, (max(years),) if years else ()
