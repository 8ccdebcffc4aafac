"""What an engine says about the base model it serves, and the shapes an adapter must fit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import orjson

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")

# What transformers assumes when config.json leaves the field out: (key/value heads, head size).
# None: as many key/value heads as heads; hidden size / heads.
_DEFAULTS: dict[str, tuple[int | None, int | None]] = {
    "LlamaForCausalLM": (None, None),
    "MistralForCausalLM": (8, None),
    "Qwen2ForCausalLM": (32, None),
    "Qwen3ForCausalLM": (32, 128),
}


@dataclass(frozen=True, slots=True)
class BaseModel:
    """One engine's base model, as published at /atelier/base. `config` is the content of its config.json."""

    model: str
    fingerprint: str
    config: Mapping[str, Any]
    max_lora_rank: int
    max_loras: int
    max_cpu_loras: int
    epoch: str

    @classmethod
    def from_json(cls, value: bytes | str | Mapping[str, Any]) -> Self:
        """Raises ValueError naming the field that is missing or of the wrong type."""
        data = orjson.loads(value) if isinstance(value, bytes | str) else value
        if not isinstance(data, Mapping):
            raise ValueError("the engine's base description is not a JSON object")
        for field, kind in _FIELDS.items():
            if not isinstance(data.get(field), kind) or isinstance(data.get(field), bool):
                raise ValueError(f"the engine's base description has no usable {field!r}; update its plugin")
        return cls(**{field: data[field] for field in _FIELDS})


_FIELDS: dict[str, type] = {
    "model": str,
    "fingerprint": str,
    "config": Mapping,
    "max_lora_rank": int,
    "max_loras": int,
    "max_cpu_loras": int,
    "epoch": str,
}


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """A dense decoder: number of layers, and (input, output) size of each linear module."""

    layers: int
    modules: Mapping[str, tuple[int, int]]

    def path(self, layer: int, module: str) -> str:
        """The module's name in the model: `model.layers.0.self_attn.q_proj`."""
        return f"model.layers.{layer}.{'self_attn' if module in ATTENTION else 'mlp'}.{module}"


def decoder_shape(config: Mapping[str, Any]) -> DecoderShape | None:
    """Shapes for Llama, Mistral, Qwen2 and Qwen3 dense decoders; None for every other architecture."""
    architectures = config.get("architectures")
    known = architectures[0] if isinstance(architectures, list) and len(architectures) == 1 else None
    if not isinstance(known, str) or known not in _DEFAULTS:
        return None
    default_kv, default_head = _DEFAULTS[known]
    try:
        hidden, inner, heads, layers = (
            _positive(config[key])
            for key in ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers")
        )
        kv_heads = _positive(config.get("num_key_value_heads", default_kv) or heads)
        head_dim = _positive(config.get("head_dim", default_head) or hidden // heads)
    except (KeyError, ValueError):
        return None
    if known == "Qwen2ForCausalLM":
        head_dim = hidden // heads  # vLLM's Qwen2 does not read head_dim
    queries, keys = heads * head_dim, kv_heads * head_dim
    return DecoderShape(
        layers,
        {
            "q_proj": (hidden, queries),
            "k_proj": (hidden, keys),
            "v_proj": (hidden, keys),
            "o_proj": (queries, hidden),
            "gate_proj": (hidden, inner),
            "up_proj": (hidden, inner),
            "down_proj": (inner, hidden),
        },
    )


def layer_count(config: Mapping[str, Any]) -> int | None:
    """Number of decoder layers, when the config says it."""
    value = config.get("num_hidden_layers")
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def initializer_range(config: Mapping[str, Any]) -> float:
    """Standard deviation of the base model's initial weights; 0.02, transformers' default, when not said."""
    value = config.get("initializer_range")
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 10
    return float(value) if usable and value is not None else 0.02


def _positive(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(value)
    return value
