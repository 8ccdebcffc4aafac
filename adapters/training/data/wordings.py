"""`wordings.yaml`: how people ask and how an answer is put, per language, without a word of any company."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from guardrails.policy.yaml_source import read_yaml

SHIPPED = Path(__file__).with_name("wordings.yaml")
Texts = Annotated[tuple[str, ...], Field(min_length=1)]


class Shares(BaseModel):
    """How many dialogues of each kind there are, in parts of their sum."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cell: Annotated[int, Field(ge=0)]
    clause: Annotated[int, Field(ge=0)]
    confirm: Annotated[int, Field(ge=0)]
    follow_up: Annotated[int, Field(ge=0)]
    compare: Annotated[int, Field(ge=0)]
    unknown: Annotated[int, Field(ge=0)]
    out_of_scope: Annotated[int, Field(ge=0)]


class Wordings(BaseModel):
    """One language's templates. What each is for, and its slots, stand in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ask: dict[str, Texts]
    clause: Texts
    condition: Texts
    section: Texts
    within: Texts
    confirm: Texts
    yes: Texts
    no: Texts
    follow_attribute: Texts
    follow_subject: Texts
    compare: Texts
    answer: Texts
    before: Texts
    after: Texts
    invented: Texts
    undocumented: Texts
    out_of_scope: Texts
    scope_frames: Texts


class WordingsFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shares: Shares
    zh: Wordings
    en: Wordings

    def of(self, lang: str) -> Wordings:
        """One language's."""
        return self.zh if lang == "zh" else self.en


def read_wordings(path: Path = SHIPPED) -> WordingsFile:
    """The file's wordings. Raises PolicyProblem with file, line and field."""
    return read_yaml(path).parse(WordingsFile)


@cache
def homophones() -> dict[str, str]:
    """Character to those that sound like it and are often typed instead."""
    text = Path(__file__).with_name("homophones.txt").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for group in text.split():
        for char in group:
            found[char] = found.get(char, "") + group.replace(char, "")
    return found
