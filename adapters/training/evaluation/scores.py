"""What judged answers come to: shares with intervals, times, and how two contenders differ on the same questions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from adapters.training.evaluation.judging import Judged
from adapters.training.evaluation.statistics import Quantile, mcnemar, paired_difference, quantile
from guardrails.evaluation.interval import wilson
from guardrails.evaluation.questions import ANSWERED

HANDED_OVER = frozenset({"fallback", "handoff"})
REFUSED = frozenset({"block", "warn"})


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of`, with its 95 % Wilson interval."""

    count: int
    of: int
    low: float
    high: float

    @property
    def rate(self) -> float | None:
        """None where there is nothing to have a share of."""
        return self.count / self.of if self.of else None


@dataclass(frozen=True, slots=True)
class Scores:
    """One contender on one file.

    `accuracy`: right answers of all questions, one that did not come counting as wrong; `kinds`, `languages`: the
    same by group. `fact_failures`: answers with a value that the documents, or their question, contradict, of the
    answers that came. `unproved`: answers with a value the documents do not have; None without documents.
    `handed_over`, `refused`: of the questions that expect an answer. `answered_instead`: of those that expect none.
    `seconds`, `first`: the median and the 95th percentile of the answers that came, to their end and to their first
    text.
    """

    accuracy: Share
    kinds: dict[str, Share]
    languages: dict[str, Share]
    fact_failures: Share
    unproved: Share | None
    handed_over: Share
    refused: Share
    answered_instead: Share
    errors: int
    seconds: dict[str, Quantile | None]
    first: dict[str, Quantile | None]


@dataclass(frozen=True, slots=True)
class Difference:
    """How the second of two contenders differs from the first on the same questions.

    `difference`: of their shares of right answers, with its 95 % interval (Tango's); `p`: exact McNemar, two-sided.
    """

    first: str
    second: str
    of: int
    only_first: int
    only_second: int
    difference: float
    low: float
    high: float
    p: float


def share(count: int, of: int) -> Share:
    """With its interval."""
    return Share(count, of, *wilson(count, of))


def scores_of(judged: Sequence[Judged], *, documents: bool) -> Scores:
    """`documents`: whether values were compared with any."""
    came = [one for one in judged if one.came]
    answerable = [one for one in came if one.expect == "answer"]
    others = [one for one in came if one.expect != "answer"]
    first = [one.answer.first for one in came if one.answer.first is not None]
    return Scores(
        accuracy=_right(judged),
        kinds=_by(judged, lambda one: one.kind),
        languages=_by(judged, lambda one: one.lang),
        fact_failures=share(sum(one.contradicted for one in came), len(came)),
        unproved=share(sum(one.unproved for one in came), len(came)) if documents else None,
        handed_over=share(sum(one.verdict in HANDED_OVER for one in answerable), len(answerable)),
        refused=share(sum(one.verdict in REFUSED for one in answerable), len(answerable)),
        answered_instead=share(sum(one.verdict in ANSWERED for one in others), len(others)),
        errors=len(judged) - len(came),
        seconds=_times([one.answer.seconds for one in came]),
        first=_times(first),
    )


def difference_of(first: str, one: Sequence[Judged], second: str, other: Sequence[Judged]) -> Difference:
    """Both on the same questions in the same order."""
    pairs = list(zip(one, other, strict=True))
    only_first = sum(a.right and not b.right for a, b in pairs)
    only_second = sum(b.right and not a.right for a, b in pairs)
    low, high = paired_difference(only_first, only_second, len(pairs))
    return Difference(
        first=first,
        second=second,
        of=len(pairs),
        only_first=only_first,
        only_second=only_second,
        difference=(only_second - only_first) / max(1, len(pairs)),
        low=low,
        high=high,
        p=mcnemar(only_first, only_second),
    )


def _right(judged: Iterable[Judged]) -> Share:
    right = [one.right for one in judged]
    return share(sum(right), len(right))


def _by(judged: Sequence[Judged], group: Callable[[Judged], str]) -> dict[str, Share]:
    names = sorted({group(one) for one in judged})
    return {name: _right(one for one in judged if group(one) == name) for name in names}


def _times(seconds: Sequence[float]) -> dict[str, Quantile | None]:
    return {"p50": quantile(seconds, 0.5), "p95": quantile(seconds, 0.95)}
