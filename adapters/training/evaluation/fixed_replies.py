"""The end an answer comes to in its own words: a model that has learnt a policy's fixed replies says them itself."""

from __future__ import annotations

from adapters.training.data.correctness import plain
from guardrails.fact_check.sentences import full_sentences
from guardrails.policy.replies import LANGUAGES, Replies
from guardrails.verdict import Decision

ENDS = {
    "refusal": Decision.BLOCK,
    "probe": Decision.BLOCK,
    "answer_refused": Decision.BLOCK,
    "check_failed": Decision.BLOCK,
    "warning": Decision.WARN,
    "unknown": Decision.FALLBACK,
    "out_of_domain": Decision.FALLBACK,
    "clarify": Decision.FALLBACK,
    "withheld": Decision.FALLBACK,
    "handoff": Decision.HANDOFF,
    "handoff_unknown": Decision.HANDOFF,
}
"""The verdict a gateway gives together with each reply."""


class FixedReplies:
    """Tells a policy's replies by how they begin."""

    def __init__(self, replies: Replies) -> None:
        self._beginnings: list[tuple[str, str]] = []
        for name, texts in replies.templates.items():
            verdict = ENDS.get(name.partition(".")[0])
            for lang in LANGUAGES if verdict else ():
                begins = plain(next(full_sentences(texts[lang].partition("{")[0]), ""))
                if begins:
                    self._beginnings.append((begins, str(verdict)))
        self._beginnings.sort(key=lambda one: -len(one[0]))

    def verdict(self, text: str) -> str:
        """The verdict of the reply that `text` begins like, the longest beginning first; else empty."""
        said = plain(text[:1000])
        return next((verdict for begins, verdict in self._beginnings if said.startswith(begins)), "")
