"""Typed values of Chinese and English text."""

from guardrails.values.compare import same_value
from guardrails.values.parse import parse_values
from guardrails.values.value import Value

__all__ = ["Value", "parse_values", "same_value"]
