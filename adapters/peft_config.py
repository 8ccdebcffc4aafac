"""adapter_config.json: what of PEFT's LoRA configuration vLLM serves, and a refusal of all the rest.

Checked against vLLM 0.32's `PEFTHelper`, which reads some fields and silently drops the others. A field it
drops is admitted only where it cannot change what the adapter computes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.module_pattern import ModulePattern, PatternError, Steps, is_cheap, parse_pattern
from adapters.package import CONFIG, MAX_CONFIG_BYTES
from adapters.problem import Problem, quoted
from adapters.strict_json import parse_object

MAX_TARGETS = 1024
MAX_PATTERNS = 512
MAX_ALPHA = 1e6

# Served inits: they set only the starting weights. PiSSA, OLoRA, CorDA and LoftQ change the base model's.
SERVED_INITS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")

# Fields that say how the adapter was trained or loaded, not what it computes.
HARMLESS = frozenset(
    {
        "arrow_config",
        "auto_mapping",
        "base_model_name_or_path",
        "corda_config",
        "eva_config",
        "inference_mode",
        "loftq_config",
        "lora_dropout",
        "lora_ga_config",
        "megatron_core",
        "peft_version",
        "qalora_group_size",
        "revision",
        "runtime_config",
    }
)
READ_HERE = frozenset(
    {
        "alpha_pattern",
        "bias",
        "exclude_modules",
        "init_lora_weights",
        "layers_pattern",
        "layers_to_transform",
        "lora_alpha",
        "peft_type",
        "r",
        "rank_pattern",
        "target_modules",
        "task_type",
        "use_rslora",
    }
)
# Why a feature is refused when it is switched on; fields not known at all get a general answer.
REFUSED = {
    "alora_invocation_tokens": "vLLM does not serve activated LoRA (aLoRA)",
    "ensure_weight_tying": "vLLM does not serve adapters on tied embeddings",
    "fan_in_fan_out": "vLLM ignores transposed weights; convert the adapter to nn.Linear layout",
    "layer_replication": "vLLM does not serve replicated layers",
    "lora_bias": "vLLM does not serve LoRA biases",
    "megatron_config": "vLLM ignores Megatron layers",
    "modules_to_save": "vLLM does not serve fully trained modules; train LoRA weights only",
    "target_parameters": "vLLM ignores adapters on bare parameters",
    "trainable_token_indices": "vLLM ignores trained tokens; train LoRA weights only",
    "use_bdlora": "vLLM does not serve block-diagonal LoRA",
    "use_dora": "vLLM does not serve DoRA; train with use_dora=false",
    "use_qalora": "vLLM does not serve QALoRA",
}

Targets = tuple[str, ...] | ModulePattern | None


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """The usable part of a config. Fields are None (or empty) where the file had no usable value."""

    rank: int | None = None
    alpha: float | None = None
    rslora: bool = False
    targets: Targets = None
    all_linear: bool = False
    excluded: Targets = None
    layers: frozenset[int] | None = None
    rank_pattern: tuple[tuple[ModulePattern, int], ...] = ()
    alpha_pattern: tuple[tuple[ModulePattern, float], ...] = ()
    warnings: tuple[Problem, ...] = field(default=())

    def rank_of(self, path: str, steps: Steps) -> int | None:
        """The module's rank; the first matching pattern wins, as in PEFT and vLLM. Raises PatternError."""
        return next((rank for pattern, rank in self.rank_pattern if pattern.ends(path, steps)), self.rank)

    def scaling_of(self, path: str, rank: int, steps: Steps) -> float | None:
        """What B·A is multiplied by. Raises PatternError."""
        alpha = next(
            (alpha for pattern, alpha in self.alpha_pattern if pattern.ends(path, steps)), self.alpha
        )
        return None if alpha is None else alpha / (math.sqrt(rank) if self.rslora else rank)


class _Reader:
    """Reads field after field of one config and collects what is wrong with them."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def wrong(self, code: str, key: str, message: str) -> None:
        self.problems.append(Problem(code, f"{CONFIG}: {quoted(key)[1:-1]}", message))

    def warn(self, code: str, key: str, message: str) -> None:
        self.warnings.append(Problem(code, f"{CONFIG}: {key}", message))


def parse_config(raw: bytes, max_rank: int) -> tuple[LoraConfig, tuple[Problem, ...]]:
    """The usable part of adapter_config.json and every problem in it. Never raises."""
    fields, problems = parse_object(raw, CONFIG, MAX_CONFIG_BYTES)
    if fields is None:
        return LoraConfig(), problems
    reader = _Reader(fields)
    _refuse_features(reader)
    rank, alpha = _rank(reader, max_rank), _alpha(reader, "lora_alpha", fields.get("lora_alpha"))
    targets, all_linear = _targets(reader)
    config = LoraConfig(
        rank=rank,
        alpha=alpha,
        rslora=_flag(reader, "use_rslora"),
        targets=targets,
        all_linear=all_linear,
        excluded=_excluded(reader),
        layers=_layers(reader),
        rank_pattern=_rank_pattern(reader, max_rank),
        alpha_pattern=_alpha_pattern(reader),
        warnings=tuple(reader.warnings),
    )
    return config, tuple(reader.problems)


def _refuse_features(reader: _Reader) -> None:
    fields = reader.fields
    for key, value in fields.items():
        off = value is None or value is False or value in ("", [], {})
        if key in READ_HERE or key in HARMLESS or off:
            continue
        reason = REFUSED.get(key, "vLLM does not know this field and would ignore it; remove it")
        reader.wrong("feature_refused" if key in REFUSED else "field_unknown", key, reason)
    if fields.get("peft_type", "LORA") != "LORA":
        reader.wrong("feature_refused", "peft_type", f"{quoted(fields['peft_type'])}: only LORA is served")
    if fields.get("task_type") not in (None, "CAUSAL_LM"):
        reader.wrong(
            "feature_refused", "task_type", f"{quoted(fields['task_type'])}: only CAUSAL_LM is served"
        )
    if fields.get("bias", "none") != "none":
        reader.wrong("feature_refused", "bias", f"{quoted(fields['bias'])}: train with bias='none'")
    init = fields.get("init_lora_weights", True)
    if not isinstance(init, bool | None) and not (isinstance(init, str) and init.lower() in SERVED_INITS):
        advice = "it changes the base weights; convert with path_initial_model_for_weight_conversion"
        reader.wrong("feature_refused", "init_lora_weights", f"{quoted(init)}: {advice}")


def _rank(reader: _Reader, max_rank: int) -> int | None:
    rank = reader.fields.get("r")
    if type(rank) is not int or rank <= 0:
        reader.wrong(
            "rank_invalid",
            "r",
            f"{quoted(rank)} is not a rank; give the positive integer it was trained with",
        )
        return None
    if rank > max_rank:
        reader.wrong(
            "rank_too_big", "r", f"rank {rank}, but the engine serves at most {max_rank}; train smaller"
        )
    return rank


def _alpha(reader: _Reader, key: str, value: object) -> float | None:
    # Text, true, NaN, zero: each would load somewhere and scale wrongly or not at all.
    if type(value) not in (int, float) or not 0 < float(value) <= MAX_ALPHA:  # type: ignore[arg-type]
        reader.wrong("alpha_invalid", key, f"{quoted(value)} is not a number above 0 and up to {MAX_ALPHA:g}")
        return None
    return float(value)  # type: ignore[arg-type]


def _flag(reader: _Reader, key: str) -> bool:
    value = reader.fields.get(key, False)
    if value is not None and not isinstance(value, bool):
        reader.wrong("type_invalid", key, f"{quoted(value)} is not true or false")
    return value is True


def _targets(reader: _Reader) -> tuple[Targets, bool]:
    value = reader.fields.get("target_modules")
    if isinstance(value, str) and value.lower() == "all-linear":
        return None, True
    targets = _names_or_pattern(reader, "target_modules", value)
    if targets is None and not isinstance(value, str):
        advice = "list the trained modules, or give a pattern or 'all-linear'"
        reader.wrong("target_modules_invalid", "target_modules", f"{quoted(value)}: {advice}")
    return targets, False


def _excluded(reader: _Reader) -> Targets:
    value = reader.fields.get("exclude_modules")
    if not value:
        return None
    excluded = _names_or_pattern(reader, "exclude_modules", value)
    if excluded is None and not isinstance(value, str):
        reader.wrong(
            "type_invalid", "exclude_modules", f"{quoted(value)} is not a list of names or a pattern"
        )
    return excluded


def _names_or_pattern(reader: _Reader, key: str, value: object) -> Targets:
    if isinstance(value, list) and 0 < len(value) <= MAX_TARGETS:
        return tuple(value) if all(isinstance(name, str) and name for name in value) else None
    if not isinstance(value, str) or not value:
        return None
    try:
        return parse_pattern(value)
    except PatternError as error:
        message = f"the pattern was not compared with the tensors: {error}"
        reader.warn("not_checked", key, message)
        return None


def _layers(reader: _Reader) -> frozenset[int] | None:
    value = reader.fields.get("layers_to_transform")
    pattern = reader.fields.get("layers_pattern")
    if pattern not in (None, [], "", "layers", ["layers"]):
        message = f"{quoted(pattern)}: only 'layers' is known here; leave the field out"
        reader.wrong("layers_invalid", "layers_pattern", message)
    listed = [value] if type(value) is int else value
    if listed is None or listed == []:
        return None
    if not isinstance(listed, list) or not all(type(index) is int and index >= 0 for index in listed):
        reader.wrong(
            "layers_invalid", "layers_to_transform", f"{quoted(value)} is not a list of layer indexes"
        )
        return None
    return frozenset(listed)


def _rank_pattern(reader: _Reader, max_rank: int) -> tuple[tuple[ModulePattern, int], ...]:
    pairs = []
    for pattern, rank in _patterns(reader, "rank_pattern"):
        key = f"rank_pattern[{quoted(pattern.text)}]"
        if type(rank) is not int or rank <= 0:
            reader.wrong("rank_invalid", key, f"{quoted(rank)} is not a positive integer")
            continue
        if rank > max_rank:
            reader.wrong(
                "rank_too_big", key, f"rank {rank}, but the engine serves at most {max_rank}; train smaller"
            )
        pairs.append((pattern, rank))
    return tuple(pairs)


def _alpha_pattern(reader: _Reader) -> tuple[tuple[ModulePattern, float], ...]:
    pairs = []
    for pattern, value in _patterns(reader, "alpha_pattern"):
        alpha = _alpha(reader, f"alpha_pattern[{quoted(pattern.text)}]", value)
        if alpha is not None:
            pairs.append((pattern, alpha))
    return tuple(pairs)


def _patterns(reader: _Reader, key: str) -> list[tuple[ModulePattern, object]]:
    value = reader.fields.get(key)
    if not value and value in (None, {}):
        return []
    if not isinstance(value, dict) or len(value) > MAX_PATTERNS:
        reader.wrong("type_invalid", key, f"must map at most {MAX_PATTERNS} module patterns to numbers")
        return []
    found = []
    for text, number in value.items():
        try:
            pattern = parse_pattern(text)
        except PatternError as error:
            reader.wrong("pattern_refused", key, f"{quoted(text)}: {error}; name the modules plainly")
            continue
        if not is_cheap(pattern):
            message = f"{quoted(text)} could hold the engine up; name the modules plainly"
            reader.wrong("pattern_refused", key, message)
        else:
            found.append((pattern, number))
    return found
