"""One form of what reads alike, with the way back to where each character stood."""

from guardrails.normalise.characters import Characters, characters
from guardrails.normalise.text import Normalised, normalise

__all__ = ["Characters", "Normalised", "characters", "normalise"]
