"""Facts of an answer checked while it is written: a sentence leaves when it is known to be borne out.

A clause that names nothing of the evidence, no number and no denial leaves at once. Of any other sentence nothing
leaves before its end: then it is passed, put right, exchanged for the statement of the documents, or withheld. What
leaves depends on the text alone, never on how it was cut into pieces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import StrEnum

from guardrails.fact_check.check import check_sentence
from guardrails.fact_check.evidence import Evidence, FactLike
from guardrails.fact_check.features import features
from guardrails.fact_check.ground import Ground
from guardrails.fact_check.judge import JudgeFailed
from guardrails.fact_check.judgement import Finding, Judgement, Label
from guardrails.fact_check.polarity import denials
from guardrails.fact_check.sentences import ends
from guardrails.language import detect
from guardrails.values.numerals import fold
from guardrails.values.parse import parse_values
from guardrails.verdict import Decision, Verdict

Judge = Callable[[str, str], Label]
"""Evidence and sentence to a label; the model-based judge as the stream calls it. It may raise JudgeFailed; with a
true attribute `closed`, a sentence that it failed on does not leave."""

CHECK = "facts"
_CLAUSE = re.compile(r"[，,：:、]")
_MARKER = re.compile(r"\s*(?:[-*•·#>]+\s+|\d{1,2}[.、）)]\s*|[（(]\d{1,2}[）)]\s*)*")
_LONGEST = 600  # characters of one sentence; a longer one is cut there
_WINDOW = _LONGEST + 64  # characters searched for the end of a sentence
_MOST = 60_000  # characters of one answer that are looked at; what needs evidence behind them has none
_FINAL = re.compile(r"[。.!！？?；;\s]*$")


class OnUnknown(StrEnum):
    """What becomes of a sentence with a value the evidence does not speak of."""

    WITHHOLD = "withhold"
    PASS = "pass"
    MARK = "mark"


class FactStream:
    """Checks one answer against the evidence it was given."""

    def __init__(
        self,
        evidence: Sequence[Evidence | FactLike | str] | Ground,
        lang: str,
        judge: Judge | None = None,
        *,
        question: str = "",
        unknown: OnUnknown = OnUnknown.WITHHOLD,
        mark: str = "",
    ) -> None:
        self._ground = evidence if isinstance(evidence, Ground) else Ground.read(evidence)
        self._lang = lang
        self._judge = judge
        self._question = question
        self._unknown = unknown
        self._mark = mark
        known = (one.features | one.context for one in self._ground.statements)
        self._spoken_of: frozenset[str] = frozenset().union(*known)
        self._held = ""
        self._searched = 0
        self._dirty = False
        self._heading = ""
        self._given: set[str] = set()
        self._seen = 0
        self._found: list[Verdict] = []

    @property
    def held(self) -> int:
        """Characters not yet decided."""
        return len(self._held)

    def feed(self, text: str) -> str:
        """Take what came, return what may leave."""
        self._held += text
        return "".join(self._ready(last=False))

    def finish(self) -> str:
        """The answer has ended: return what was still held, checked."""
        out = "".join(self._ready(last=True))
        if self._held:
            out += self._checked(self._held)
            self._drop(len(self._held))
        return out

    def verdicts(self) -> tuple[Verdict, ...]:
        """What was replaced or withheld, and why."""
        return tuple(self._found)

    def _ready(self, *, last: bool) -> list[str]:
        out = []
        while self._held:
            clause = self._plain_clause()
            if clause:
                out.append(self._held[:clause])
                self._drop(clause, dirty=False)
                continue
            end = next(ends(self._held[:_WINDOW], last=last), 0)
            if not end or end > _LONGEST:
                if len(self._held) <= _LONGEST:
                    break
                end = _LONGEST
            out.append(self._checked(self._held[:end]))
            self._drop(end)
        return out

    def _drop(self, count: int, *, dirty: bool | None = None) -> None:
        self._seen += count
        self._held = self._held[count:]
        self._searched = 0
        self._dirty = False if dirty is None else dirty

    def _plain_clause(self) -> int:
        """Where a leading clause ends that has nothing to check; 0 if there is none yet."""
        if self._dirty:
            return 0
        comma = _CLAUSE.search(self._held, self._searched, _LONGEST)
        if comma is None:
            self._searched = min(len(self._held), _LONGEST)
            return 0
        end = next(ends(self._held[: comma.end()], last=False), 0)
        if end:
            return 0
        if self._plain(self._held[: comma.end()]):
            return comma.end()
        self._dirty = True
        return 0

    def _plain(self, text: str) -> bool:
        if any(character.isdigit() for character in text) or parse_values(text):
            return False
        folded = fold(text)
        return not denials(folded) and not features(folded) & self._spoken_of

    def _checked(self, sentence: str) -> str:
        body = sentence.strip()
        if not body:
            return sentence
        out = sentence if self._plain(sentence) else self._judged(sentence)
        if body[-1] in "：:":
            self._heading = body
        elif "\n\n" in sentence:
            self._heading = ""
        return out

    def _judged(self, sentence: str) -> str:
        start = _MARKER.match(sentence)
        head = start.end() if start is not None else 0
        tail = len(sentence.rstrip())
        body = sentence[head:tail]
        if not body:
            return sentence
        if self._seen > _MOST:
            return self._not_found(sentence, Finding(Label.NOT_FOUND, "length"))
        judgement = check_sentence(body, self._ground, self._question, self._heading)
        finding = judgement.worst
        if self._judge is not None and judgement.label is Label.SUPPORTED:
            label = self._second(body)
            if label is not Label.SUPPORTED:
                judgement, finding = Judgement(label), Finding(label, "judge")
        if judgement.label is Label.SUPPORTED:
            return sentence
        assert finding is not None
        if judgement.label is Label.NOT_FOUND:
            return self._not_found(sentence, finding)
        if judgement.corrected:
            self._note(Decision.REPLACE, finding)
            return sentence[:head] + judgement.corrected + sentence[tail:]
        stated = self._stated(body, finding)
        self._note(Decision.REPLACE if stated else Decision.FALLBACK, finding)
        return sentence[:head] + stated + sentence[tail:] if stated else sentence[tail:]

    def _second(self, body: str) -> Label:
        """The judge's word; where it failed, what its failure policy says."""
        assert self._judge is not None
        try:
            return self._judge(self._ground.text, body)
        except JudgeFailed as error:
            self._found.append(Verdict(CHECK, Decision.ALLOW, f"judge_failed:{error}", failed=True))
            return Label.NOT_FOUND if getattr(self._judge, "closed", False) else Label.SUPPORTED

    def _not_found(self, sentence: str, finding: Finding) -> str:
        if self._unknown is OnUnknown.PASS:
            return sentence
        if self._unknown is OnUnknown.MARK:
            self._note(Decision.WARN, finding)
            body = sentence.rstrip()
            return body + self._mark + sentence[len(body) :]
        self._note(Decision.FALLBACK, finding)
        return sentence[len(sentence.rstrip()) :]

    def _stated(self, body: str, finding: Finding) -> str:
        """The statement of the documents, once an answer, where it is in the answer's language and does not say
        the wrong value too."""
        statement = finding.statement.strip()
        if not statement or statement in self._given or detect(statement) != self._lang:
            return ""
        wrong = finding.claimed
        if wrong is not None and wrong.text in statement:
            return ""
        self._given.add(statement)
        end = _FINAL.search(body)
        if not _FINAL.search(statement)[0] and end is not None and end[0]:  # type: ignore[index]
            return statement + end[0]
        return statement

    def _note(self, decision: Decision, finding: Finding) -> None:
        evidence = (finding.citation,) if finding.citation else ()
        self._found.append(Verdict(CHECK, decision, f"{finding.label}:{finding.reason}", (), evidence))
