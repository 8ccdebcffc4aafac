"""Is a sentence borne out by the documents? Values by kind and subject, yes and no, Chinese and English."""

from guardrails.fact_check.check import check_sentence
from guardrails.fact_check.ground import Ground
from guardrails.fact_check.judgement import Finding, Judgement, Label
from guardrails.fact_check.statement import Evidence

__all__ = ["Evidence", "Finding", "Ground", "Judgement", "Label", "check_sentence"]
