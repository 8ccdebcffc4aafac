"""One day out of the ways people write one."""

from __future__ import annotations

import calendar
import re
from datetime import date

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
DAY = (
    r"(?:\d{4}\s*年\s*\d{1,2}\s*月(?:\s*\d{1,2}\s*[日号])?|\d{4}\s*[-/.]\s*\d{1,2}\s*[-/.]\s*\d{1,2}"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH},?\s+\d{{4}}|{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+\d{{4}}"
    rf"|{_MONTH}\s+\d{{4}}|\d{{1,2}}/\d{{1,2}}/\d{{4}}|(?<!\d)20\d{{6}}(?!\d))"
)
"""A pattern without groups, for use in others."""

_FORMS = (
    re.compile(r"(?P<y>\d{4})\s*[-年/.]\s*(?P<m>\d{1,2})\s*[-月/.]\s*(?P<d>\d{1,2})"),
    re.compile(r"(?P<y>\d{4})\s*年\s*(?P<m>\d{1,2})\s*月"),
    re.compile(rf"(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<n>{_MONTH}),?\s+(?P<y>\d{{4}})", re.I),
    re.compile(rf"(?P<n>{_MONTH})\s+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<y>\d{{4}})", re.I),
    re.compile(rf"(?P<n>{_MONTH})\s+(?P<y>\d{{4}})", re.I),
    re.compile(r"(?P<a>\d{1,2})/(?P<b>\d{1,2})/(?P<y>\d{4})"),
    re.compile(r"(?<!\d)(?P<y>20\d\d)(?P<m>\d\d)(?P<d>\d\d)(?!\d)"),
    re.compile(r"(?P<y>\d{4})-(?P<m>\d{1,2})(?!\d)"),
    re.compile(r"(?<!\d)(?P<y>(?:19|20)\d\d)\s*年?\s*$"),
)


def read_day(text: str, *, last: bool = False) -> date | None:
    """The first day that `text` names, None if it names none; of a whole month or year the first or the last one.

    Raises ValueError for a day there is not and for one that could be two: 01/02/2026.
    """
    found = min(
        (match for form in _FORMS if (match := form.search(text))),
        key=lambda match: match.start(),
        default=None,
    )
    if found is None:
        return None
    parts = found.groupdict()
    year = int(parts["y"])
    if "a" in parts:
        month, day = _which(int(parts["a"]), int(parts["b"]))
    else:
        name = parts.get("n")
        month = _MONTHS.index(name[:3].lower()) + 1 if name else int(parts.get("m") or (12 if last else 1))
        if not 1 <= month <= 12:
            raise ValueError(f"{found[0]!r}: there is no month {month}")
        day = int(parts.get("d") or (calendar.monthrange(year, month)[1] if last else 1))
    return date(year, month, day)


def _which(first: int, second: int) -> tuple[int, int]:
    """(month, day) of a date with the year last."""
    if first > 12:
        return second, first
    if second > 12 or first == second:
        return first, second
    raise ValueError("day and month cannot be told apart; write 2026-01-31")
