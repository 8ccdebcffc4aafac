"""The evaluation of a run: questions read before it trains, asked when it has, and held to the recipe's bars."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from adapters.training.data.lines import Problems, beside
from adapters.training.data.policy_source import PolicySource, read_policy
from adapters.training.evaluation.bars import Evaluate
from adapters.training.evaluation.comparison import Part, compare
from adapters.training.evaluation.gate import BASE, RESULT, Held, ended_otherwise, forgot, held
from adapters.training.evaluation.greedy import answering, prompt_tokens
from adapters.training.evaluation.judging import Answer, Judge
from adapters.training.evaluation.page import page
from adapters.training.evaluation.question_file import QuestionFile, read_questions
from adapters.training.method import Progress, Trained
from adapters.training.recipe import Recipe

RECORD, PAGE = "evaluation.json", "evaluation.html"
_ANSWERS = "answers"


@dataclass(frozen=True, slots=True)
class Asked:
    """What will be asked: `files` are the questions, and the general ones where there are any."""

    settings: Evaluate
    files: tuple[QuestionFile, ...]
    source: PolicySource | None
    system: str

    def prompt(self, file: QuestionFile, at: int) -> list[dict[str, str]]:
        """What is said before the answer."""
        return file.messages(at, self.system)

    @property
    def count(self) -> int:
        """Answers there will be, of both models."""
        return 2 * sum(len(file.rows) for file in self.files)

    def identity(self) -> str:
        """Changes with what is asked and how. Not with the day: a run may be killed before midnight."""
        return " ".join((self.settings.digest(), *(file.digest for file in self.files)))

    def lines(self) -> tuple[tuple[str, str], ...]:
        """What a plan says of it."""
        files = " and ".join(f"{len(file.rows):,} of {file.name}" for file in self.files)
        return (("questions", f"{files}, asked of the base model and of the result"),)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """`figures`: for card and report; `bars`: each with whether it is reached."""

    figures: Mapping[str, float]
    bars: tuple[Held, ...]

    @property
    def below(self) -> list[str]:
        """The bars that were missed, one sentence each."""
        return [one.text for one in self.bars if not one.passed]


def read_asked(recipe: Recipe, tokenizer: Any) -> Asked | None:
    """The recipe's questions. Raises BadRows with file and line, PolicyProblem, ValueError, OSError."""
    settings = recipe.evaluate
    if settings is None:
        return None
    files = tuple(read_questions(path) for path in (settings.questions, settings.general) if path is not None)
    today = settings.today or datetime.now(UTC).astimezone().date()
    source = read_policy(settings.policy, today) if settings.policy is not None else None
    system = recipe.data.system if settings.system is None else settings.system
    asked = Asked(settings, files, source, system)
    _check_lengths(asked, tokenizer, recipe.base)
    return asked


def _check_lengths(asked: Asked, tokenizer: Any, base: Path) -> None:
    room = orjson.loads((base / "config.json").read_bytes()).get("max_position_embeddings")
    for file in asked.files if isinstance(room, int) else ():
        problems = Problems(file.name)
        for at, row in enumerate(file.rows):
            length = len(prompt_tokens(tokenizer, asked.prompt(file, at)))
            if length + asked.settings.max_tokens > room:
                problems.add(
                    row["line"],
                    f"{length} tokens, and {asked.settings.max_tokens} to answer; the model takes {room}",
                )
        problems.stop_if_any()


def evaluate(asked: Asked, recipe: Recipe, trained: Trained, tokenizer: Any, tell: Progress) -> Evaluated:
    """Ask both models everything, judge, write page and record. Blocking, minutes. Raises OSError.

    What was answered before the process was killed is not asked again.
    """
    given: dict[str, list[list[Answer]]] = {}
    done = 0
    for name, who in ((BASE, None), (RESULT, trained)):
        with answering(recipe.base, who, tokenizer, asked.settings.max_tokens) as answer:
            given[name] = []
            for file in asked.files:
                kept = _Kept(recipe.out / _ANSWERS / f"{name}-{file.digest[:12]}.jsonl")
                for at in range(len(file.rows)):
                    if at >= len(kept.texts):
                        kept.add(answer(asked.prompt(file, at)))
                    done += 1
                    tell.step(done, asked.count, {"answered": float(done)})
                given[name].append([Answer(text) for text in kept.texts[: len(file.rows)]])
    parts = [
        compare(
            file,
            {name: answers[at] for name, answers in given.items()},
            # Values of general answers are not the organisation's.
            Judge(asked.source if at == 0 else None),
            documents=at == 0 and asked.source is not None,
        )
        for at, file in enumerate(asked.files)
    ]
    general = parts[1] if len(parts) > 1 else None
    evaluated = Evaluated(_figures(parts[0], general), tuple(held(asked.settings, parts[0], general)))
    _write(recipe, asked, parts, evaluated)
    shutil.rmtree(recipe.out / _ANSWERS, ignore_errors=True)
    return evaluated


def _figures(questions: Part, general: Part | None) -> dict[str, float]:
    result, base = questions.scores[RESULT], questions.scores[BASE]
    figures = {
        "accuracy": result.accuracy.rate,
        "accuracy_low": result.accuracy.low,
        "accuracy_high": result.accuracy.high,
        "base_accuracy": base.accuracy.rate,
        "better_than_base_p": questions.difference(BASE, RESULT).p,
        "fact_failures": result.fact_failures.rate,
        "base_fact_failures": base.fact_failures.rate,
        "handed_over": ended_otherwise(result).rate,
    }
    if general is not None:
        figures["general_accuracy"] = general.scores[RESULT].accuracy.rate
        figures["base_general_accuracy"] = general.scores[BASE].accuracy.rate
        figures["forgetting"] = forgot(general)[0]
    return {name: value for name, value in figures.items() if value is not None}


def _write(recipe: Recipe, asked: Asked, parts: Sequence[Part], evaluated: Evaluated) -> None:
    documents = (
        None
        if asked.source is None
        else {"policy": asked.source.folder.name, "today": str(asked.source.today)}
    )
    record = {
        "name": recipe.name,
        "documents": documents,
        "terms": {
            "max_tokens": asked.settings.max_tokens,
            "system": asked.system,
            "proven": asked.settings.proven,
        },
        "bars": [asdict(one) for one in evaluated.bars],
        "parts": [part.record(answers=True) for part in parts],
    }
    with beside(recipe.out / RECORD) as draft:
        draft.write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2) + b"\n")
    about = [
        ("base", recipe.base.name),
        ("documents", f"{documents['policy']} as of {documents['today']}" if documents else "none"),
        ("asked", f"greedily, at most {asked.settings.max_tokens} tokens, without a server or its checks"),
    ]
    verdict = [one.text for one in evaluated.bars]
    with beside(recipe.out / PAGE) as draft:
        draft.write_text(
            page(f"Evaluation of {recipe.name}", parts, about, answers=True, verdict=verdict),
            encoding="utf-8",
        )


class _Kept:
    """Answers in a file, one a line, so that a killed run does not lose them; a line that was cut off is dropped."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.texts: list[str] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
        self.texts = [str(orjson.loads(line)) for line in whole.splitlines()]
        with beside(path) as draft:
            draft.write_bytes(whole + b"\n" if whole else b"")

    def add(self, text: str) -> None:
        """One more. Raises OSError."""
        with self._path.open("ab") as file:
            file.write(orjson.dumps(text) + b"\n")
        self.texts.append(text)
