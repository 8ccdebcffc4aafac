"""Made-up numbers that are right by their own rules: nobody's, but what a person's would look like."""

from __future__ import annotations

from random import Random

CARD_PREFIXES = (
    ("622202", 19), ("621700", 19), ("622848", 19), ("621483", 16), ("625907", 16), ("623668", 17), ("622588", 18),
    ("4", 16), ("4", 13), ("51", 16), ("55", 16), ("2221", 16), ("37", 15), ("3528", 16), ("955880", 19),
)  # fmt: skip
_REGIONS = (
    "110101",
    "310115",
    "440305",
    "330106",
    "510107",
    "320583",
    "420111",
    "610113",
    "230103",
    "650102",
)
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def luhn_digit(body: str) -> str:
    """The digit that makes `body` a valid card number."""
    total = 0
    for place, char in enumerate(reversed(body)):
        digit = int(char) * (2 if place % 2 == 0 else 1)
        total += digit - 9 if digit > 9 else digit
    return str(-total % 10)


def card(random: Random, prefix: str = "", length: int = 0) -> str:
    """A card number that passes Luhn."""
    if not prefix:
        prefix, length = random.choice(CARD_PREFIXES)
    body = prefix + "".join(random.choice("0123456789") for _ in range(length - len(prefix) - 1))
    return body + luhn_digit(body)


def resident_id(random: Random, *, ends_in_x: bool | None = None) -> str:
    """A resident id with a real region, a real date and a right last place."""
    while True:
        body = (
            random.choice(_REGIONS)
            + f"{random.randint(1940, 2012)}{random.randint(1, 12):02}{random.randint(1, 28):02}"
            + f"{random.randint(0, 999):03}"
        )
        last = "10X98765432"[sum(int(d) * w for d, w in zip(body, _WEIGHTS, strict=True)) % 11]
        if ends_in_x is None or (last == "X") is ends_in_x:
            return body + last


def mobile(random: Random) -> str:
    """A mobile number of the mainland."""
    return random.choice(("13", "15", "17", "18", "19")) + "".join(
        random.choice("0123456789") for _ in range(9)
    )


def digits(random: Random, count: int) -> str:
    """A code of so many digits, no two the same in a row."""
    out = random.choice("123456789")
    while len(out) < count:
        out += random.choice([digit for digit in "0123456789" if digit != out[-1]])
    return out
