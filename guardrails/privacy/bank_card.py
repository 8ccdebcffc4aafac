"""Bank cards (ISO/IEC 7812): 13 to 19 digits, the last one checks the others by Luhn's formula."""

from __future__ import annotations

LENGTHS = range(19, 12, -1)
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
# Groups other than even ones in which cards are printed and written.
_ODD_SHAPES = (
    (4, 6, 5), (4, 6, 4), (6, 13), (6, 10), (6, 4, 9), (8, 8), (8, 8, 3), (4, 4, 4, 7), (4, 4, 4, 6),
    (4, 4, 4, 5), (4, 12), (4, 4, 8), (6, 6, 7), (6, 6, 4),
)  # fmt: skip


def _even(total: int, size: int) -> tuple[int, ...]:
    whole, rest = divmod(total, size)
    return (size,) * whole + ((rest,) if rest else ())


SHAPES = frozenset(
    {(total,) for total in LENGTHS}
    | {_even(total, size) for total in LENGTHS for size in range(1, 8)}
    | set(_ODD_SHAPES)
)


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is right."""
    if not digits.isdecimal() or len(set(digits)) < 2:
        return False
    total = sum(map(int, digits[-1::-2])) + sum(_DOUBLED[int(digit)] for digit in digits[-2::-2])
    return total % 10 == 0


def is_issued(digits: str) -> bool:
    """Whether banks issue cards that begin so: the industries 3 to 6, China's own 9, Mastercard's 22 to 27."""
    return may_begin(digits) and (len(digits) > 13 or digits[0] == "4")


def may_begin(digits: str) -> bool:
    """Whether the first two digits are such."""
    return digits[0] in "34569" or "22" <= digits[:2] <= "27"
