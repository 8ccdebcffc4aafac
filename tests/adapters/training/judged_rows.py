"""A tiny bank's answers, as people would judge them: they prefer those that close with a phrase."""

from __future__ import annotations

from typing import Any

CLOSING = " Ask us any time."
CARDS = range(8)
QUESTIONS = [f"What is the fee of card {card}?" for card in CARDS]
ANSWERS = [f"The fee of card {card} is {card * 10} yuan." for card in CARDS]


def pair(card: int, chosen: str, rejected: str) -> dict[str, Any]:
    """Two endings of one answer."""
    return {"prompt": QUESTIONS[card], "chosen": ANSWERS[card] + chosen, "rejected": ANSWERS[card] + rejected}


def score(card: int, ending: str, value: float, rater: str) -> dict[str, Any]:
    """One answer's score."""
    return {"prompt": QUESTIONS[card], "response": ANSWERS[card] + ending, "score": value, "rater": rater}


def closing_judgements(cards: range) -> list[dict[str, Any]]:
    """Pairs, and the scores of two raters: a strict one and a kind one."""
    return [
        row
        for card in cards
        for row in (
            pair(card, CLOSING, ""),
            score(card, CLOSING, 3, "strict"),
            score(card, "", 0, "strict"),
            score(card, CLOSING, 5, "kind"),
            score(card, "", 4, "kind"),
        )
    ]
