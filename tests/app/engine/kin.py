"""Watching and clearing away the real processes that the tests of this package start."""

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from app.engine.leash import Process, identify, send

FAMILY = Path(__file__).with_name("family.py")
PATIENCE = 30.0
"""Seconds a condition may take: far more than it needs, so that a busy machine fails no test."""


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {PATIENCE:g} s: {what}"
        time.sleep(0.01)


async def soon(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {PATIENCE:g} s: {what}"
        await asyncio.sleep(0.01)


class Family:
    """One run of family.py: who belongs to it, and who of them lives."""

    def __init__(self, roll: Path, generations: int, *traits: str) -> None:
        self.roll = roll
        self.generations = generations
        self.argv = (sys.executable, "-S", str(FAMILY), str(roll), str(generations), *traits)

    def members(self) -> list[Process]:
        if not self.roll.exists():
            return []
        pairs = (line.split() for line in self.roll.read_text().splitlines())
        return [Process(int(pair[0]), int(pair[1])) for pair in pairs if len(pair) == 2]

    def living(self) -> list[Process]:
        return [member for member in self.members() if identify(member.pid) == member]

    def complete(self) -> None:
        until(lambda: len(self.members()) >= self.generations, f"{self.generations} members have signed")

    def gone(self) -> None:
        until(lambda: not self.living(), "every member of the family is dead")

    def clear(self) -> None:
        for member in self.living():
            send(member, signal.SIGKILL)
