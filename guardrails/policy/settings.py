"""`policy.yaml`: what each check does, and the numbers it works with. Every field has a good default."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

# YAML reads an unquoted 110 as a number.
Phone = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    StringConstraints(min_length=1, max_length=64),
]


class Mode(StrEnum):
    """What follows from a check's verdict."""

    ENFORCE = "enforce"
    SHADOW = "shadow"
    OFF = "off"


class OnFailure(StrEnum):
    """What follows when the check itself breaks."""

    OPEN = "open"
    CLOSED = "closed"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CheckSettings(_Part):
    """One check."""

    mode: Mode = Mode.ENFORCE
    on_failure: OnFailure = OnFailure.CLOSED


class Checks(_Part):
    """Every check of the chain, by its name in verdicts, metrics and audit records."""

    words: CheckSettings = CheckSettings()
    fraud: CheckSettings = CheckSettings()
    privacy: CheckSettings = CheckSettings()
    attack: CheckSettings = CheckSettings(mode=Mode.SHADOW, on_failure=OnFailure.OPEN)
    handoff: CheckSettings = CheckSettings(on_failure=OnFailure.OPEN)
    answers: CheckSettings = CheckSettings()
    facts: CheckSettings = CheckSettings()


class WordSettings(_Part):
    """The sensitive words."""

    engine: Literal["pyahocorasick", "daachorse"] = "pyahocorasick"


class AnswerSettingsFile(_Part):
    """Answers from the knowledge documents."""

    approved: Literal["off", "prefer", "only"] = Field(
        "prefer",
        description="Answer in approved wording from a typed fact where question and documents agree: never, "
        "where possible, or nothing else.",
    )
    thresholds: dict[str, float] = Field(
        {}, description="Overrides of the answer engine's own thresholds, by name."
    )


class JudgeSettings(_Part):
    """A model that looks at sentences the rules have nothing against."""

    url: str = Field(pattern=r"^https?://\S+$", description="OpenAI-compatible server, up to and with /v1.")
    model: str
    key_env: str = Field("", description="Environment variable of the gateway that holds its key.")
    seconds: Annotated[float, Field(ge=0.1, le=30)] = Field(3.0, description="Longest wait for one sentence.")
    on_failure: OnFailure = OnFailure.OPEN


class FactSettings(_Part):
    """The fact check of generated answers."""

    judge: JudgeSettings | None = None


class LadderSettings(_Part):
    """What happens when there is no answer, first to last."""

    nearest: Annotated[int, Field(ge=0, le=8)] = Field(3, description="Nearest questions offered.")
    handoff_after: Annotated[int, Field(ge=1, le=20)] = Field(
        3, description="Unanswered questions of one session after which a person takes over."
    )
    session_seconds: Annotated[int, Field(ge=60, le=604_800)] = 3600


class AuditSettings(_Part):
    """What of the texts may be written down, where the operator writes texts down at all."""

    text: Literal["off", "masked", "plain"] = "masked"


class PolicyFile(_Part):
    """The whole file."""

    checks: Checks = Checks()
    hotline: Phone = Field("", validate_default=False, description="The organisation's own telephone.")
    police: Phone = "110"
    antifraud: Phone = Field("96110", description="The line for victims of fraud.")
    words: WordSettings = WordSettings()
    answers: AnswerSettingsFile = AnswerSettingsFile()
    facts: FactSettings = FactSettings()
    ladder: LadderSettings = LadderSettings()
    audit: AuditSettings = AuditSettings()
