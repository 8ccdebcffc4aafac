"""card.json: what the trainer says about an adapter. Every field is optional; unknown fields are kept."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.package import CARD, MAX_CARD_BYTES
from adapters.problem import Problem, quoted
from adapters.strict_json import parse_object

MAX_PROMPTS = 32
MAX_PROMPT_CHARACTERS = 8192
MAX_PROMPT_TOKENS = 256
MAX_LABEL_CHARACTERS = 512
_DIGEST = re.compile(r"(sha256:)?[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Probe:
    """One prompt of a behavioural fingerprint: greedy tokens (ids) and their natural log-probabilities."""

    prompt: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """`fields` is the whole card as parsed; the rest is what Atelier reads from it."""

    fields: Mapping[str, Any]
    base_fingerprint: str | None
    base_name: str | None
    behaviour: tuple[Probe, ...]


def parse_card(raw: bytes) -> tuple[Card | None, tuple[Problem, ...]]:
    """The card and every problem found in it; no card when it has any. Never raises."""
    fields, problems = parse_object(raw, CARD, MAX_CARD_BYTES)
    if fields is None:
        return None, problems
    found = [*_base_problems(fields), *_digest_problems(fields)]
    evaluation = fields.get("evaluation")
    if evaluation is not None and not isinstance(evaluation, dict):
        found.append(_wrong("evaluation", "must be an object of measures"))
    probes, wrong = parse_behaviour(fields.get("behaviour"))
    found.extend(wrong)
    if found:
        return None, tuple(found)
    base = fields.get("base") or {}
    return Card(fields, base.get("fingerprint"), base.get("name"), probes), ()


def parse_behaviour(value: object) -> tuple[tuple[Probe, ...], tuple[Problem, ...]]:
    """The behavioural fingerprint `[{prompt, tokens, logprobs, …}]`; None means none was recorded."""
    if value is None:
        return (), ()
    if not isinstance(value, list) or len(value) > MAX_PROMPTS:
        return (), (_wrong("behaviour", f"must be a list of at most {MAX_PROMPTS} prompts"),)
    probes: list[Probe] = []
    problems: list[Problem] = []
    for index, entry in enumerate(value):
        complaint = _probe_complaint(entry)
        if complaint:
            problems.append(_wrong(f"behaviour[{index}]", complaint))
        else:
            probes.append(
                Probe(entry["prompt"], tuple(entry["tokens"]), tuple(map(float, entry["logprobs"])))
            )
    return tuple(probes), tuple(problems)


def _probe_complaint(entry: object) -> str:
    if not isinstance(entry, dict):
        return "must be an object with prompt, tokens and logprobs"
    prompt = entry.get("prompt")
    if not isinstance(prompt, str) or not 0 < len(prompt) <= MAX_PROMPT_CHARACTERS:
        return f"prompt must be text of 1 to {MAX_PROMPT_CHARACTERS} characters"
    return _output_complaint(entry.get("tokens"), entry.get("logprobs"))


def _output_complaint(tokens: object, logprobs: object) -> str:
    if not isinstance(tokens, list) or not 0 < len(tokens) <= MAX_PROMPT_TOKENS:
        return f"tokens must be a list of 1 to {MAX_PROMPT_TOKENS} token ids"
    if not all(type(token) is int and 0 <= token < 2**31 for token in tokens):
        return "tokens must be integers from 0 to 2147483647"
    if not isinstance(logprobs, list) or len(logprobs) != len(tokens):
        return "logprobs must be a list as long as tokens"
    # Rounding in the engine can put the log-probability of a sure token a hair above zero.
    if not all(type(p) in (int, float) and math.isfinite(p) and p <= 1e-3 for p in logprobs):
        return "logprobs must be finite natural logarithms, none above 0"
    return ""


def _base_problems(fields: Mapping[str, Any]) -> list[Problem]:
    base = fields.get("base")
    if base is None:
        return []
    if not isinstance(base, dict):
        return [_wrong("base", "must be an object with fingerprint and name")]
    problems = []
    fingerprint, name = base.get("fingerprint"), base.get("name")
    if fingerprint is not None and not _is_label(fingerprint):
        problems.append(
            _wrong("base.fingerprint", "must be the text the engine gives as its base fingerprint")
        )
    if name is not None and not _is_label(name):
        problems.append(_wrong("base.name", f"must be text of 1 to {MAX_LABEL_CHARACTERS} characters"))
    return problems


def _digest_problems(fields: Mapping[str, Any]) -> list[Problem]:
    problems = []
    for key in ("dataset_digest", "recipe_digest"):
        value = fields.get(key)
        if value is not None and not (isinstance(value, str) and _DIGEST.match(value)):
            problems.append(_wrong(key, f"{quoted(value)} is not a sha256 in 64 lowercase hex digits"))
    return problems


def _is_label(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_LABEL_CHARACTERS


def _wrong(field: str, message: str) -> Problem:
    return Problem("card_invalid", f"{CARD}: {field}", message)
