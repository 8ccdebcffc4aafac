"""What people said of answers: scores of 0 to 5 and pairs, read with their line numbers, on one scale, encoded."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from adapters.training.conversation import read_each, with_system
from adapters.training.data.lines import BadRows, Problems
from adapters.training.data.shapes import Preference, Row, Score, Shape, Turns
from adapters.training.encoding import Encoded
from adapters.training.preferences import encode_answer

_SHAPES = f"{Shape.SCORES} (prompt, response, score, rater) or {Shape.PREFERENCES} (prompt, chosen, rejected)"
_FEW = 4
"""A rater with fewer scores than this is measured on everybody's scale."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """`answers`: the chosen one and the rejected one, or one answer that `rater` gave `score`."""

    line: int
    prompt: Turns
    answers: tuple[str, ...]
    score: float | None = None
    rater: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and standard deviation of a rater's scores."""

    mean: float
    deviation: float


@dataclass(frozen=True, slots=True)
class EncodedJudgement:
    """`answers`: prompt and answer, two of them for a pair. `target`: the score on its rater's scale."""

    answers: tuple[Encoded, ...]
    target: float | None = None

    @property
    def learnt(self) -> int:
        """How many tokens stand in the answers."""
        return sum(answer.learnt for answer in self.answers)

    @property
    def sequences(self) -> tuple[tuple[int, ...], ...]:
        """What the model reads for it."""
        return tuple(answer.ids for answer in self.answers)


def read_judgements(path: Path, system: str = "") -> tuple[Judgement, ...]:
    """Every row. Raises BadRows with line numbers, also where two rows contradict each other; OSError."""
    said: dict[tuple[Any, ...], tuple[int, float | None]] = {}

    def taken(line: int, row: Row, shape: Shape) -> Judgement:
        if isinstance(row, Preference):
            prompt = with_system(row.prompt, system)
            judgement = Judgement(line, prompt, (row.chosen, row.rejected))
            if (before := said.get((prompt, row.rejected, row.chosen))) is not None:
                raise ValueError(f"prefers what line {before[0]} rejects, and the other way round; drop one")
        elif isinstance(row, Score):
            judgement = Judgement(
                line, with_system(row.prompt, system), (row.response,), row.score, row.rater
            )
            before = said.get((judgement.prompt, row.response, None, row.rater))
            if before is not None and before[1] != row.score:
                rater = f"rater {row.rater}" if row.rater else "the same rater"
                raise ValueError(f"{rater} gave this answer {before[1]:g} in line {before[0]}; drop one")
        else:
            raise ValueError(f"{shape.value}, neither {_SHAPES}")
        said.setdefault(_key(judgement), (line, judgement.score))
        return judgement

    return read_each(path, taken, _SHAPES)


def _key(judgement: Judgement) -> tuple[Any, ...]:
    if judgement.score is None:
        return (judgement.prompt, *judgement.answers)
    return (judgement.prompt, judgement.answers[0], None, judgement.rater)


def check_apart(
    train: Sequence[Judgement], train_file: str, held_out: Sequence[Judgement], held_out_file: str
) -> None:
    """Raises BadRows for held-out judgements that are learnt from too: their figures would say nothing."""
    learnt = {(row.prompt, frozenset(row.answers)): row.line for row in train}
    problems = Problems(held_out_file)
    for row in held_out:
        if (line := learnt.get((row.prompt, frozenset(row.answers)))) is not None:
            problems.add(row.line, f"also in {train_file}:{line}; what is learnt from measures nothing")
    problems.stop_if_any()


def rater_scales(judgements: Sequence[Judgement], file: str) -> Mapping[str | None, Scale]:
    """Each rater's scale, and under None everybody's: one rater's 3 is another's 4.

    A rater of few scores, or of always the same, is left out. Raises BadRows when nobody's scores differ.
    """
    scores: dict[str | None, list[float]] = defaultdict(list)
    for row in judgements:
        if row.score is not None:
            scores[None].append(row.score)
            scores[row.rater].append(row.score)
    if not scores:
        return {}
    scales = {rater: _scale(given) for rater, given in scores.items() if rater is None or len(given) >= _FEW}
    if scales[None].deviation == 0:
        raise BadRows(f"{file}: every score is {scores[None][0]:g}: nothing can be learnt from them")
    return {rater: scale for rater, scale in scales.items() if scale.deviation > 0}


def _scale(scores: Sequence[float]) -> Scale:
    mean = math.fsum(scores) / len(scores)
    return Scale(mean, math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores)))


def encode_judgements(
    tokenizer: Any,
    judgements: Sequence[Judgement],
    scales: Mapping[str | None, Scale],
    max_tokens: int,
    file: str,
) -> tuple[EncodedJudgement, ...]:
    """Every one encoded. Raises BadRows that names each that is too long, or that has no scale to stand on."""
    problems = Problems(file)
    encoded: list[EncodedJudgement] = []
    for row in judgements:
        try:
            answers = tuple(encode_answer(tokenizer, row.prompt, text, max_tokens) for text in row.answers)
            encoded.append(EncodedJudgement(answers, _target(row, scales)))
        except ValueError as error:
            problems.add(row.line, str(error))
    problems.stop_if_any()
    return tuple(encoded)


def _target(row: Judgement, scales: Mapping[str | None, Scale]) -> float | None:
    if row.score is None:
        return None
    scale = scales.get(row.rater) or scales.get(None)
    if scale is None:
        raise ValueError("a score, but there are none to learn from")
    return (row.score - scale.mean) / scale.deviation


def judgements_digest(judgements: Sequence[Judgement]) -> str:
    """sha256 (hex) of the judgements in their order."""
    whole = sha256()
    for row in judgements:
        whole.update(orjson.dumps((row.prompt, row.answers, row.score, row.rater)) + b"\n")
    return whole.hexdigest()
