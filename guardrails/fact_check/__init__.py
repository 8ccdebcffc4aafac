"""Is a sentence borne out by the documents? Values by kind and subject, yes and no, Chinese and English."""

from guardrails.fact_check.check import check_sentence
from guardrails.fact_check.evidence import Evidence
from guardrails.fact_check.ground import Ground
from guardrails.fact_check.judgement import Finding, Judgement, Label
from guardrails.fact_check.stream import FactStream, OnUnknown

__all__ = ["Evidence", "FactStream", "Finding", "Ground", "Judgement", "Label", "OnUnknown", "check_sentence"]
