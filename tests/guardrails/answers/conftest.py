"""Knowledge bases of three companies, each read once."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from guardrails.answers.answers import Answers, load_answers

ROOT = Path(__file__).parents[3]
TODAY = date(2026, 11, 25)


def opened(name: str) -> Answers:
    """Vectors are kept from run to run; they are found by the digest of their text."""
    folder = ROOT / "tests" / "guardrails" / name / "policy"
    answers = load_answers(folder, today=TODAY, cache=ROOT / "var" / "cache" / "tests" / f"{name}.npz")
    assert answers is not None
    return answers


@pytest.fixture(scope="session")
def telecom() -> Answers:
    """Chinese and English documents, no glossary."""
    return opened("second_company")


@pytest.fixture(scope="session")
def shop() -> Answers:
    """English documents, no glossary."""
    return opened("third_company")
