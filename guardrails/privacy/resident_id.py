"""Resident ids of the mainland (GB 11643): region, date of birth, order, and a last place that checks the others."""

from __future__ import annotations

from datetime import date

LENGTH = 18
OLD_LENGTH = 15

_REGIONS = frozenset(
    "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83 91"
    .split()
)  # fmt: skip
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_LAST = "10X98765432"


def is_resident_id(digits: str) -> bool:
    """Whether 18 places are a resident id by region, date and last place."""
    return (
        len(digits) == LENGTH
        and digits[:2] in _REGIONS
        and digits[:17].isdecimal()
        and _is_date(digits[6:14])
        and _LAST[sum(int(digit) * weight for digit, weight in zip(digits, _WEIGHTS, strict=False)) % 11]
        == digits[17]
    )


def is_old_resident_id(digits: str) -> bool:
    """Whether 15 digits are an id of before 1999: region and date, no check."""
    return (
        len(digits) == OLD_LENGTH
        and digits[:2] in _REGIONS
        and digits.isdecimal()
        and _is_date(f"19{digits[6:12]}")
    )


def _is_date(digits: str) -> bool:
    try:
        return 1850 <= date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).year < 2100
    except ValueError:
        return False
