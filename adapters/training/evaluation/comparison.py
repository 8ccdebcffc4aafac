"""The whole of one evaluation: some contenders, the same questions, and every two of them compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from adapters.training.evaluation.judging import Answer, Judge, Judged
from adapters.training.evaluation.question_file import QuestionFile
from adapters.training.evaluation.scores import Difference, Scores, difference_of, scores_of


@dataclass(frozen=True, slots=True)
class Part:
    """One question file. `judged` and `scores` by contender, in the order they were named."""

    questions: QuestionFile
    judged: Mapping[str, Sequence[Judged]]
    scores: Mapping[str, Scores]
    differences: tuple[Difference, ...]

    def difference(self, first: str, second: str) -> Difference:
        """Of two contenders, named in this order."""
        return difference_of(first, self.judged[first], second, self.judged[second])

    def record(self, *, answers: bool) -> dict[str, Any]:
        """As JSON; with `answers`, every single one."""
        return {
            "file": self.questions.name,
            "sha256": self.questions.digest,
            "count": len(self.questions.rows),
            "scores": {name: asdict(scores) for name, scores in self.scores.items()},
            "differences": [asdict(one) for one in self.differences],
            **(
                {"answers": {name: list(map(_told, judged)) for name, judged in self.judged.items()}}
                if answers
                else {}
            ),
        }


def compare(
    questions: QuestionFile, answers: Mapping[str, Sequence[Answer]], judge: Judge, *, documents: bool
) -> Part:
    """`answers`: of each contender, in the questions' order. `documents`: whether the judge has any."""
    judged = {name: judge.all_judged(questions.rows, given) for name, given in answers.items()}
    return Part(
        questions,
        judged,
        {name: scores_of(one, documents=documents) for name, one in judged.items()},
        tuple(difference_of(a, judged[a], b, judged[b]) for a, b in combinations(judged, 2)),
    )


def _told(one: Judged) -> dict[str, Any]:
    return {
        "id": one.id, "right": one.right, "problems": list(one.problems), "verdict": one.verdict,
        "contradicted": one.contradicted, "unproved": one.unproved, "against": one.against,
        "text": one.answer.text, "seconds": round(one.answer.seconds, 4),
        "first": None if one.answer.first is None else round(one.answer.first, 4), "error": one.answer.error,
    }  # fmt: skip
