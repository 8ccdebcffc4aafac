"""`glossary.yaml`: words that mean the same in a company's documents, and English terms for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field

from guardrails.answers.folding import fold, matchable
from guardrails.policy.yaml_source import read_yaml


class GlossaryFile(BaseModel):
    """The file a policy folder may hold."""

    model_config = ConfigDict(extra="forbid")

    synonyms: list[Annotated[list[str], Field(min_length=2)]] = []
    english: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Glossary:
    """`english`: stemmed English term → what Chinese documents call it, each a word of its own."""

    synonyms: tuple[tuple[str, ...], ...]
    english: Mapping[str, tuple[str, ...]]


def read_glossary(path: Path) -> Glossary:
    """The file's words over the general ones. Without the file the general ones. Raises PolicyProblem."""
    own = read_yaml(path).parse(GlossaryFile) if path.exists() else GlossaryFile()
    general = yaml.safe_load(files("guardrails.answers").joinpath("english.yaml").read_text(encoding="utf-8"))
    english: dict[str, dict[str, None]] = {}
    # The company's own word for a term comes before the general ones.
    for term, words in (*own.english.items(), *general.items()):
        key = " ".join(matchable(fold(str(term))).split())
        english.setdefault(key, {}).update(dict.fromkeys(fold(part) for part in str(words).split()))
    return Glossary(
        tuple(tuple(group) for group in own.synonyms),
        {term: tuple(words) for term, words in english.items()},
    )
