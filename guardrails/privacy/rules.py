"""`privacy.yaml`: which private data is hidden, and how it looks then. Every field has a good default."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from guardrails.policy.yaml_source import read_yaml


class Style(StrEnum):
    """How a find looks when it is hidden."""

    PARTIAL = "partial"
    STARS = "stars"
    LABEL = "label"


class KindMode(StrEnum):
    """Whether a find is hidden."""

    MASK = "mask"
    KEEP = "keep"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# A label must not look like private data itself, or a masked text would be masked again.
Label = Annotated[
    str,
    StringConstraints(min_length=1, max_length=40, pattern=r"^[〔\[【<（(][^\x00-\x1f0-9@]*[〕\]】>）)]$"),
]


@dataclass(frozen=True, slots=True)
class KindRule:
    """One kind."""

    mode: KindMode
    style: Style
    label: str


_DEFAULTS = {
    "id": KindRule(KindMode.MASK, Style.PARTIAL, "〔身份证号〕"),
    "card": KindRule(KindMode.MASK, Style.PARTIAL, "〔银行卡号〕"),
    "mobile": KindRule(KindMode.MASK, Style.PARTIAL, "〔手机号〕"),
    "landline": KindRule(KindMode.MASK, Style.PARTIAL, "〔电话号码〕"),
    "account": KindRule(KindMode.MASK, Style.PARTIAL, "〔账号〕"),
    "email": KindRule(KindMode.MASK, Style.PARTIAL, "〔邮箱〕"),
    "passport": KindRule(KindMode.MASK, Style.PARTIAL, "〔证件号码〕"),
    "code": KindRule(KindMode.MASK, Style.LABEL, "〔验证码〕"),
    "address": KindRule(KindMode.MASK, Style.LABEL, "〔地址〕"),
    "secret": KindRule(KindMode.MASK, Style.LABEL, "〔密钥〕"),
}
KINDS = tuple(_DEFAULTS)


class KindRuleFile(_Part):
    """What the file says of a kind; the rest stays as shipped."""

    mode: KindMode | None = None
    style: Style | None = None
    label: Label | None = None


class KindRules(_Part):
    """Every kind, by its name in verdicts."""

    id: KindRuleFile = KindRuleFile()
    card: KindRuleFile = KindRuleFile()
    mobile: KindRuleFile = KindRuleFile()
    landline: KindRuleFile = KindRuleFile()
    account: KindRuleFile = KindRuleFile()
    email: KindRuleFile = KindRuleFile()
    passport: KindRuleFile = KindRuleFile()
    code: KindRuleFile = KindRuleFile()
    address: KindRuleFile = KindRuleFile()
    secret: KindRuleFile = KindRuleFile()

    def of(self, kind: str) -> KindRule:
        """The rule of a kind."""
        said, shipped = getattr(self, kind), _DEFAULTS[kind]
        assert isinstance(said, KindRuleFile)
        return KindRule(said.mode or shipped.mode, said.style or shipped.style, said.label or shipped.label)


class PrivacyFile(_Part):
    """The whole file."""

    kinds: KindRules = KindRules()
    allow: tuple[Annotated[str, StringConstraints(min_length=2, max_length=200)], ...] = Field(
        (),
        description="Numbers, addresses and mail boxes of the organisation itself, as anyone would write them.",
    )
    allow_documents: bool = Field(True, description="What the organisation's own documents say may be said.")


def read_rules(path: Path) -> PrivacyFile:
    """The rules of a file; the defaults where there is none. Raises PolicyProblem."""
    return read_yaml(path).parse(PrivacyFile) if path.exists() else PrivacyFile()
