"""One checkable value of a text: an amount, a rate, a period, a count, a date …"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

AMOUNT = "amount"  # unit: ISO currency
RATE = "rate"  # number is the ratio: 0.05 % = 0.0005; unit "ratio" or "discount" (the share still paid)
PERIOD = "period"  # unit: "second", "month" or "workday"
COUNT = "count"  # unit: a canonical counter, such as "transaction", "time", "card"
DATE = "date"  # number is YYYYMMDD with zeros for what is not said; unit: "ymd", "ym", "md", "y", "d"
CLOCK = "clock"  # number is minutes after midnight
PHONE = "phone"  # number is the digits
POINTS = "points"
RATIO = "ratio"  # 1:1
AGE = "age"
MULTIPLE = "multiple"  # 2倍, double
ORDINAL = "ordinal"  # 第3张, the third
NUMBER = "number"  # nothing said about what it counts
CODE = "code"  # document numbers, addresses, e-mail: compared as text
FREE = "free"  # number 0, unit "free"; or number 1, unit "charged" (不免, not waived)
UNLIMITED = "unlimited"  # 不限, no limit

MIN = "min"
MAX = "max"


@dataclass(frozen=True, slots=True)
class Value:
    """`start` and `end` are offsets in the text that was parsed; `text` is exactly that stretch."""

    kind: str
    number: Decimal
    unit: str
    start: int
    end: int
    text: str
    upper: Decimal | None = None
    """The other end of a range: 20-50天."""
    bound: str = ""
    """`min` (at least), `max` (at most) or nothing said."""
    per: str = ""
    """day, week, month, year, time (each transaction) or period (instalment); or nothing said."""
