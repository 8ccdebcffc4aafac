"""Training rows from one shape into another.

Dialogues (messages, pairs, triples) become each other. A preference becomes a dialogue by its chosen answer, and
two scores: 5 for the chosen answer, 0 for the rejected. A score becomes a dialogue where it is good enough, and
scores of several answers to one prompt become preferences. Nobody judged the answer of a plain dialogue, so it
becomes neither a preference nor a score.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean, pstdev

from adapters.training.data.lines import BadRows, Problems, read_lines, writing
from adapters.training.data.shapes import (
    HIGHEST,
    LOWEST,
    Dialogue,
    Preference,
    Row,
    Score,
    Shape,
    Turns,
    read_row,
    write_row,
)

DIALOGUES = frozenset({Shape.MESSAGES, Shape.PAIRS, Shape.TRIPLES})
GOOD = 4.0
"""From this score on an answer is one to learn from."""
BETTER = 1.0
"""How many points higher the better answer of a pair must have scored."""
CONVERTED = "converted"
"""The rater of scores that were preferences."""


@dataclass(frozen=True, slots=True)
class Converted:
    """`left_out`: rows the target has no use for (answers that scored too low, scores without a rival)."""

    read: int
    written: int
    left_out: int
    digest: str


def convert(
    source: Path, target: Path, shape: Shape, *, good: float = GOOD, better: float = BETTER
) -> Converted:
    """Write the rows of `source` to `target` in `shape`. Raises BadRows with line numbers, OSError.

    Nothing is written where any row is broken or does not fit the shape. `source` may be `target`.
    """
    problems = Problems(source.name)
    scores: list[Score] = []
    read = used = 0
    with writing(target) as writer:
        for number, value in read_lines(source, problems):
            read += 1
            try:
                row = read_row(value)
                if shape is Shape.PREFERENCES and isinstance(row, Score):
                    scores.append(row)
                    continue
                found = [write_row(one, shape) for one in converted(row, shape, good)]
            except ValueError as error:
                problems.add(number, str(error))
                continue
            used += bool(found)
            if not problems.count:
                for one in found:
                    writer.write(one)
        problems.stop_if_any()
        if not read:
            raise BadRows(f"{source.name}: no rows")
        for preference in preferences(scores, better):
            writer.write(write_row(preference, shape))
    left_out = 0 if scores else read - used
    return Converted(read, writer.rows, left_out, writer.digest)


def converted(row: Row, shape: Shape, good: float = GOOD) -> Iterator[Row]:
    """What `row` becomes on its own. Raises ValueError where it can become none of that shape."""
    match row:
        case Dialogue() if shape not in DIALOGUES:
            raise ValueError(f"a dialogue has no judgement to make {shape.value} of")
        case Preference(prompt, chosen, rejected, rest) if shape is Shape.SCORES:
            yield Score(prompt, chosen, HIGHEST, CONVERTED, rest)
            yield Score(prompt, rejected, LOWEST, CONVERTED, rest)
        case Preference(prompt, chosen, _, rest) if shape in DIALOGUES:
            yield Dialogue((*prompt, ("assistant", chosen)), rest)
        case Score(prompt, response, score, _, rest) if shape in DIALOGUES:
            if score >= good:
                yield Dialogue((*prompt, ("assistant", response)), rest)
        case _:
            yield row


def preferences(scores: Iterable[Score], better: float = BETTER) -> Iterator[Preference]:
    """Every two answers to one prompt whose scores differ by `better` or more, with the gap as `margin`.

    With several raters, each one's scores are first brought to the mean and spread of all: some people give
    nothing but fours and fives.
    """
    answers: dict[Turns, dict[str, list[float]]] = {}
    for score, level in zip(kept := tuple(scores), levelled(kept), strict=True):
        answers.setdefault(score.prompt, {}).setdefault(score.response, []).append(level)
    for prompt, judged in answers.items():
        means = {response: fmean(levels) for response, levels in judged.items()}
        for one, other in combinations(means, 2):
            first, second = (one, other) if means[one] >= means[other] else (other, one)
            gap = means[first] - means[second]
            if gap >= better:
                yield Preference(prompt, first, second, {"margin": round(gap, 4)})


def levelled(scores: tuple[Score, ...]) -> list[float]:
    """The scores, each rater's own mean and spread replaced by those of all scores together."""
    by_rater: dict[str, list[float]] = {}
    for score in scores:
        by_rater.setdefault(score.rater, []).append(score.score)
    if len(by_rater) < 2:
        return [score.score for score in scores]
    every = [score.score for score in scores]
    mean, spread = fmean(every), pstdev(every)
    own = {rater: (fmean(given), pstdev(given)) for rater, given in by_rater.items()}
    return [
        mean
        + (score.score - own[score.rater][0]) * (spread / own[score.rater][1] if own[score.rater][1] else 0.0)
        for score in scores
    ]
