"""`check_sentence`: is a sentence borne out by the evidence, against it, or about something it does not speak of?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from guardrails.fact_check.comparison import judged_comparison
from guardrails.fact_check.correct import corrected
from guardrails.fact_check.derived import derived
from guardrails.fact_check.evidence import Evidence, FactLike
from guardrails.fact_check.ground import Ground, read_claim
from guardrails.fact_check.instance import Instance, read_instance, supposing
from guardrails.fact_check.judgement import Finding, Judgement, Label
from guardrails.fact_check.series import judged_series
from guardrails.fact_check.statement import MOST_VALUES, Statement
from guardrails.fact_check.valued import judged_value
from guardrails.fact_check.wording import judged_wording
from guardrails.values import value
from guardrails.values.compare import same_value
from guardrails.values.parse import parse_values

OUTSIDE = "outside"
"""The reason of a finding on a case that no rule of the documents holds for."""
LONGEST = 2_000
"""Characters of one sentence that are looked at."""


def check_sentence(
    sentence: str,
    evidence: Ground | Sequence[Evidence | FactLike | str],
    question: str = "",
    heading: str = "",
) -> Judgement:
    """What `evidence` says about `sentence`, which may stand under a `heading`.

    Values of `question` are the customer's own and need no evidence.
    """
    ground = evidence if isinstance(evidence, Ground) else Ground.read(evidence)
    sentence = sentence[:LONGEST]
    label, findings = _judged(sentence, ground, question, heading)
    put_right = corrected(sentence, findings) if label is Label.CONTRADICTED else ""
    if put_right and _judged(put_right, ground, question, heading)[0] is not Label.SUPPORTED:
        put_right = ""
    return Judgement(label, tuple(findings), put_right)


def _judged(sentence: str, ground: Ground, question: str, heading: str) -> tuple[Label, list[Finding]]:
    claim = read_claim(sentence, ground, heading)
    findings = _values(claim, ground, question)
    compared = judged_series(claim, ground) or judged_comparison(claim, ground)
    if compared is not None and compared.label is Label.SUPPORTED:
        findings = [_compared(one) for one in findings]
    if not any(finding.label is Label.CONTRADICTED for finding in findings):
        worded = compared
        if compared is None and not any(one.reason == OUTSIDE for one in findings):
            worded = judged_wording(claim, ground)
        if worded is not None:
            findings.append(worded)
    if len(claim.mentions) >= MOST_VALUES:
        findings.append(Finding(Label.NOT_FOUND, "length"))
    for worse in (Label.CONTRADICTED, Label.NOT_FOUND):
        if any(finding.label is worse for finding in findings):
            return worse, findings
    return Label.SUPPORTED, findings


def _compared(finding: Finding) -> Finding:
    """How many times as much is borne out by the two values."""
    if finding.claimed is not None and finding.claimed.kind == value.MULTIPLE:
        return replace(finding, label=Label.SUPPORTED, reason="comparison")
    return finding


def _values(claim: Statement, ground: Ground, question: str) -> list[Finding]:
    own = parse_values(question[-LONGEST:]) if question else ()
    findings = []
    cases = {
        case.mention.value: case
        for mention in claim.mentions
        if (case := read_instance(mention, claim, ground)) is not None
    }
    claim = supposing(claim, list(cases.values()))
    for mention in claim.mentions:
        case = cases.get(mention.value)
        if case is not None:
            findings.append(_of_case(case, claim, ground))
            continue
        if any(one.inside and same_value(supposed, mention.value) for supposed, one in cases.items()):
            findings.append(Finding(Label.SUPPORTED, "case", mention.value))
            continue  # 欠30元的话，就还30元
        finding = judged_value(mention, claim, ground)
        claimed = mention.value
        if finding.label is Label.NOT_FOUND and any(same_value(claimed, one) for one in own):
            finding = Finding(Label.SUPPORTED, "question", claimed)
        findings.append(finding)
    _restated(claim, findings)
    return derived(claim, ground, findings, own)


def _of_case(case: Instance, claim: Statement, ground: Ground) -> Finding:
    """A case within a rule is what the rule says; one outside is so where the sentence denies."""
    rule = case.rules[0]
    statement = ground.statements[rule.statement]
    denied = any(clause.denials for clause in claim.clauses)
    label = Label.SUPPORTED if case.inside != denied else Label.CONTRADICTED
    if case.inside and denied:
        label = Label.SUPPORTED  # the words decide
    return Finding(
        label,
        "case" if case.inside else OUTSIDE,
        case.mention.value,
        rule.value,
        statement.text,
        statement.citation,
    )


def _restated(claim: Statement, findings: list[Finding]) -> None:
    """A value in brackets behind another says it again: 万分之五（0.05%）, 22:00 (10 pm)."""
    for at in range(1, len(findings)):
        first, second = findings[at - 1].claimed, findings[at].claimed
        if first is None or second is None or (first.kind, first.unit) != (second.kind, second.unit):
            continue
        if claim.folded[first.end : second.start].strip() not in {"(", "即", ","}:
            continue
        if same_value(first, second):
            findings[at] = replace(findings[at - 1], claimed=second)
        elif findings[at - 1].label is Label.SUPPORTED and claim.folded[second.start - 1] == "(":
            right = findings[at - 1].right
            findings[at] = replace(findings[at], label=Label.CONTRADICTED, reason="value", right=right)
