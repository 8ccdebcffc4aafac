"""Sensitive words: denied terms found in whatever form they are written, ordinary words left alone."""

from guardrails.words.check import WordCheck
from guardrails.words.term import Action, Boundary, Level, Term

__all__ = ["Action", "Boundary", "Level", "Term", "WordCheck"]
