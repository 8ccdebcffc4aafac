"""The fixed texts of an assistant: templates in Chinese and English, the policy's own before the shipped ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from guardrails.policy.yaml_source import YamlSource, read_yaml

LANGUAGES = ("zh", "en")
_FREE = {"hotline_line": {"hotline"}, "nearest": {"questions"}, "topics": {"names"}}
_COMMON = {"hotline_line", "police", "antifraud", "nearest", "topics", "question"}
_MAX_LENGTH = 4000
_BETWEEN = {"zh": "；", "en": "; "}


@dataclass(frozen=True, slots=True)
class Replies:
    """Every template, complete: name → language → text."""

    templates: Mapping[str, Mapping[str, str]]
    hotline: str
    police: str
    antifraud: str

    def text(
        self,
        name: str,
        lang: str,
        *,
        nearest: Sequence[str] = (),
        topics: Sequence[str] = (),
        question: str = "",
        reason: str = "",
    ) -> str:
        """The text of `name`. With a `reason`, the template `name.reason` wins where there is one."""
        chosen = self.templates.get(f"{name}.{reason}") or self.templates[name]
        return (
            chosen[lang]
            .format_map(
                {
                    "hotline_line": self._part("hotline_line", lang, "hotline", [self.hotline]),
                    "nearest": self._part("nearest", lang, "questions", nearest),
                    "topics": self._part("topics", lang, "names", topics),
                    "police": self.police,
                    "antifraud": self.antifraud,
                    "question": question,
                }
            )
            .strip()
        )

    def _part(self, name: str, lang: str, slot: str, items: Sequence[str]) -> str:
        items = [item for item in items if item]
        return self.templates[name][lang].format_map({slot: _BETWEEN[lang].join(items)}) if items else ""


def read_replies(path: Path, *, hotline: str, police: str, antifraud: str) -> Replies:
    """The shipped templates with those of `path` over them, if it exists. Raises PolicyProblem."""
    templates = _read(read_yaml(Path(__file__).with_name("replies.yaml")), {})
    if path.exists():
        templates = _read(read_yaml(path), templates)
    return Replies(templates, hotline, police, antifraud)


def _read(source: YamlSource, known: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """The templates of one file over the `known` ones. Raises PolicyProblem."""
    out = {name: dict(texts) for name, texts in known.items()}
    if source.data is None:
        return out
    if not isinstance(source.data, dict):
        raise source.problem("must be a mapping of template names")
    for name, texts in source.data.items():
        base = str(name).partition(".")[0]
        if known and base not in known:
            raise source.problem(f"unknown template; known: {', '.join(sorted(known))}", (str(name),))
        if not isinstance(texts, dict):
            raise source.problem("must be a mapping of languages (zh, en) to texts", (str(name),))
        # A reason's own template may be given in one language: the other keeps the general text.
        merged = dict(out.get(str(name)) or out.get(base, {}))
        for lang, text in texts.items():
            place = (str(name), str(lang))
            if lang not in LANGUAGES:
                raise source.problem(f"unknown language; known: {', '.join(LANGUAGES)}", place)
            merged[lang] = _checked(source, place, base, text)
        if missing := [lang for lang in LANGUAGES if lang not in merged]:
            raise source.problem(f"lacks {missing[0]}", (str(name),))
        out[str(name)] = merged
    return out


def _checked(source: YamlSource, place: tuple[str, str], base: str, text: object) -> str:
    if not isinstance(text, str) or not text.strip():
        raise source.problem("must be a text", place)
    if len(text) > _MAX_LENGTH:
        raise source.problem(f"longer than {_MAX_LENGTH} characters", place)
    allowed = _FREE.get(base, _COMMON)
    try:
        fields = list(Formatter().parse(text))
    except ValueError as error:
        raise source.problem(f"wrong braces: {error}", place) from None
    for _, field, spec, conversion in fields:
        if field is None:
            continue
        if field not in allowed or spec or conversion:
            raise source.problem(f"unknown slot {{{field}}}; known: {', '.join(sorted(allowed))}", place)
    return text
