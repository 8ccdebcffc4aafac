"""Valid cards and ids in a text, found by other means than the check's own."""

from __future__ import annotations

import re
from datetime import date


def private_numbers(text: str) -> list[str]:
    """Cards and ids by a finder of its own: runs of digits as they stand, and groups of four."""
    runs = re.findall(r"(?<![0-9])[0-9]{13,19}(?![0-9])", text)
    runs += [
        re.sub("[ -]", "", run)
        for run in re.findall(r"(?<![0-9])(?:[0-9]{4}[ -]){3}[0-9]{4}(?![0-9 \-])", text)
    ]
    cards = [
        run
        for run in runs
        if re.match("[3-6]|9|2[2-7]", run) and (len(run) > 13 or run[0] == "4") and luhn(run)
    ]
    return cards + [run for run in re.findall(r"(?<![0-9])[0-9]{17}[0-9Xx](?![0-9])", text) if resident(run)]


def luhn(digits: str) -> bool:
    total = 0
    for place, char in enumerate(reversed(digits)):
        value = int(char) << (place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0 and len(set(digits)) > 1


def resident(run: str) -> bool:
    try:
        born = date(int(run[6:10]), int(run[10:12]), int(run[12:14]))
    except ValueError:
        return False
    # The sum of all places, each times a power of two, is 1 modulo 11 (ISO 7064, MOD 11-2).
    places = [10 if char in "Xx" else int(char) for char in run]
    total = sum(place * pow(2, 17 - at, 11) for at, place in enumerate(places))
    return (
        born.year in range(1900, 2100)
        and run[:2] in {"11", "31", "44", "33", "51", "32", "42", "61", "23", "65"}
        and total % 11 == 1
    )


def pieces(text: str, sizes: list[int]) -> list[str]:
    out, at = [], 0
    while at < len(text):
        size = sizes[len(out) % len(sizes)]
        out.append(text[at : at + size])
        at += size
    return out
