"""`glossary.yaml`: words that mean the same in a company's documents, and English terms for them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field

from guardrails.answers.folding import fold
from guardrails.policy.yaml_source import read_yaml


class GlossaryFile(BaseModel):
    """The file a policy folder may hold."""

    model_config = ConfigDict(extra="forbid")

    synonyms: list[Annotated[list[str], Field(min_length=2)]] = []
    english: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Glossary:
    """`english`: (English term, Chinese words), the longest term first."""

    synonyms: tuple[tuple[str, ...], ...]
    english: tuple[tuple[str, str], ...]


def read_glossary(path: Path) -> Glossary:
    """The file's words over the general ones. Without the file the general ones. Raises PolicyProblem."""
    own = read_yaml(path).parse(GlossaryFile) if path.exists() else GlossaryFile()
    general = yaml.safe_load(files("guardrails.answers").joinpath("english.yaml").read_text(encoding="utf-8"))
    english = {
        fold(term): " ".join(fold(part) for part in str(words).split())
        for term, words in (general | own.english).items()
    }
    return Glossary(
        tuple(tuple(group) for group in own.synonyms),
        tuple(sorted(english.items(), key=lambda pair: -len(pair[0]))),
    )
