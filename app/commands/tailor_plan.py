"""The plan of a tailored assistant: one YAML file says from which documents, by which recipe, measured on what."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from guardrails.policy.yaml_source import read_yaml

Count = Annotated[int, Field(ge=1)]
Portion = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """No unknown fields, no changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Part):
    """The dialogues that are made from the documents, and the rows that are chosen to train on."""

    dialogues: Count = 100_000
    seed: Annotated[int, Field(ge=0)] = 1
    bars: Path | None = None
    """Of `atelier data check`; none: the usual ones."""
    rows: Count = 400
    held_out_rows: Count = 24
    held_out_share: Annotated[float, Field(ge=0, le=0.9)] = 0.5
    """Of the facts: no row that is trained on shows one of these."""
    one_fact: Portion = 0.3
    unanswered: Portion = 0.1


class Evaluate(Part):
    """Whom it asks what."""

    questions: Path
    count: Count | None = None
    """Only the first so many questions of each part."""
    max_tokens: Count = 128
    seconds: Annotated[float, Field(gt=0)] = 120.0
    concurrency: Count = 2


class Plan(Part):
    """One case, whole. Paths are from the plan's folder."""

    policy: Path
    assistant: Path
    """The assistant that is tailored, as it is served without an adapter."""
    recipe: Path
    """Its `data` are `train.jsonl` and `held_out.jsonl` of `work`; its `name` is the adapter's and the alias'."""
    work: Path
    """All that is made; nothing else is written."""
    model: Path | None = None
    """What the engine serves, where this starts it; none: the default model."""
    today: date | None = None
    """The day whose documents are in force; none: the day of the run."""
    data: Data = Data()
    evaluate: Evaluate


def read_plan(path: Path) -> Plan:
    """The plan, its paths made absolute. Raises PolicyProblem with file, line and field."""
    plan = read_yaml(path).parse(Plan)
    folder = path.resolve().parent

    def whole(part: Path | None) -> Path | None:
        return None if part is None else (folder / part.expanduser()).resolve()

    paths = {name: whole(getattr(plan, name)) for name in ("policy", "assistant", "recipe", "work", "model")}
    data = plan.data.model_copy(update={"bars": whole(plan.data.bars)})
    asked = plan.evaluate.model_copy(update={"questions": whole(plan.evaluate.questions)})
    return plan.model_copy(update={**paths, "data": data, "evaluate": asked})
