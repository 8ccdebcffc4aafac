"""Assistants: profiles in YAML files, one a file, reloaded while the gateway runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.chat.request import SamplingRequest

log = logging.getLogger("atelier.assistants")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]

# What an assistant may preset; anything the client sends wins over it.
SAMPLING_DEFAULTS = frozenset(
    {
        "temperature", "top_p", "top_k", "min_p", "max_tokens", "stop", "seed", "presence_penalty",
        "frequency_penalty", "repetition_penalty",
    }
)  # fmt: skip


class AssistantFile(BaseModel):
    """The YAML form of an assistant."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    description: str = ""
    adapter: Name | None = Field(None, description="Alias of the adapter; none: the base model.")
    system_prompt: str = ""
    defaults: dict[str, Any] = {}
    max_tokens: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Ceiling of one answer's tokens."
    )
    required: bool = Field(True, description="Not ready before the adapter is loaded and proved.")
    policy: str | None = Field(
        None,
        min_length=1,
        description="Folder of the guardrail policy, from this file's folder; none: no checks.",
    )


@dataclass(frozen=True, slots=True)
class Assistant:
    """A profile: adapter alias, guardrail policy, system prompt, sampling defaults."""

    name: str
    description: str
    adapter: str | None
    system_prompt: str
    defaults: Mapping[str, Any]
    max_tokens: int | None
    required: bool
    policy: Path | None = None


@dataclass(frozen=True, slots=True)
class AssistantError:
    """A file that could not be taken, and why."""

    path: Path
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one reading of the folder gave."""

    assistants: Mapping[str, Assistant] = field(default_factory=dict)
    errors: tuple[AssistantError, ...] = ()


def read_assistant(path: Path) -> Assistant:
    """Read one file. Raises ValueError with the line where YAML names one, else the field."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(str(error).replace("\n", " ")) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read as UTF-8 text: {error}") from None
    if not isinstance(raw, dict):
        raise ValueError("must be a mapping with at least `name:`")
    try:
        parsed = AssistantFile.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"`{'.'.join(map(str, first['loc']))}`: {first['msg']}") from None
    unknown = parsed.defaults.keys() - SAMPLING_DEFAULTS
    if unknown:
        raise ValueError(f"`defaults`: unknown {sorted(unknown)}; known: {sorted(SAMPLING_DEFAULTS)}")
    _check_defaults(parsed.defaults)
    return Assistant(
        name=parsed.name,
        description=parsed.description,
        adapter=parsed.adapter,
        system_prompt=parsed.system_prompt.strip(),
        defaults=parsed.defaults,
        max_tokens=parsed.max_tokens,
        required=parsed.required,
        policy=(path.parent / parsed.policy).resolve() if parsed.policy else None,
    )


def _check_defaults(defaults: Mapping[str, Any]) -> None:
    """Raises ValueError. Without it every request of the assistant would fail, blaming the client."""
    try:
        SamplingRequest.model_validate({"model": "any", **defaults})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"`defaults.{first['loc'][0]}`: {first['msg']}") from None


def read_folder(
    folder: Path, previous: Mapping[str, tuple[Path, Assistant]]
) -> tuple[dict[str, tuple[Path, Assistant]], tuple[AssistantError, ...]]:
    """Read every `*.yaml` of `folder`. A file that became wrong keeps its last good assistant."""
    found: dict[str, tuple[Path, Assistant]] = {}
    errors: list[AssistantError] = []
    kept = dict(previous.values())
    for path in sorted(folder.glob("*.yaml")):
        try:
            assistant = read_assistant(path)
        except ValueError as error:
            errors.append(AssistantError(path, str(error)))
            if path not in kept:
                continue
            assistant = kept[path]
        if assistant.name in found:
            errors.append(
                AssistantError(path, f"`name`: {assistant.name} is taken by {found[assistant.name][0]}")
            )
            continue
        found[assistant.name] = (path, assistant)
    return found, tuple(errors)


class AssistantFolder:
    """The assistants of one folder, always the last good reading."""

    def __init__(self, folder: Path, *, interval: float = 1.0) -> None:
        self._folder = folder
        self._interval = interval
        self._by_name: dict[str, tuple[Path, Assistant]] = {}
        self._stamp: tuple[tuple[str, int, int], ...] | None = None
        self.loaded = Loaded()

    def reload(self) -> bool:
        """Read the folder again if a file changed. Returns whether it did."""
        stamp = tuple(
            (path.name, stat.st_mtime_ns, stat.st_size)
            for path in sorted(self._folder.glob("*.yaml"))
            if (stat := path.stat())
        )
        if stamp == self._stamp:
            return False
        self._by_name, errors = read_folder(self._folder, self._by_name)
        self._stamp = stamp
        self.loaded = Loaded({name: assistant for name, (_, assistant) in self._by_name.items()}, errors)
        for error in errors:
            log.error("assistant refused, the last good one stays: %s", error)
        return True

    def get(self, name: str) -> Assistant | None:
        """The assistant of that name, or None."""
        return self.loaded.assistants.get(name)

    async def run(self) -> None:
        """Watch the folder until cancelled. Reading happens off the event loop."""
        while True:
            await asyncio.sleep(self._interval)
            try:
                await asyncio.to_thread(self.reload)
            except OSError as error:
                log.error("assistants folder %s cannot be read: %s", self._folder, error)
