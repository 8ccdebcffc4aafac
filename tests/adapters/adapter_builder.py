"""Small adapters on an imaginary base model, made with numpy alone."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from adapters.package import CARD, CONFIG, WEIGHTS, PackageFiles
from adapters.served_base import BaseModel, decoder_shape

Entry = tuple[str, tuple[int, ...], bytes]  # dtype, shape, little-endian bytes

BASE_CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.02,
}
BASE = BaseModel("base", "f" * 64, BASE_CONFIG, max_lora_rank=64, max_loras=4, max_cpu_loras=16, epoch="e0")
ALL_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SIZES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def encode(values: np.ndarray[Any, Any], dtype: str) -> bytes:
    """The values as safetensors bytes; BF16 by cutting float32 short."""
    if dtype == "BF16":
        return (np.asarray(values, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return np.asarray(values, SIZES[dtype]).tobytes()


def entry(values: np.ndarray[Any, Any], dtype: str = "F32") -> Entry:
    return dtype, tuple(values.shape), encode(values, dtype)


def tensor_name(path: str, side: str) -> str:
    return f"base_model.model.{path}.lora_{side}.weight"


def safetensors(tensors: Mapping[str, Entry], metadata: object = None) -> bytes:
    header: dict[str, Any] = {"__metadata__": metadata if metadata is not None else {"format": "pt"}}
    data = b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    return with_header(json.dumps(header).encode(), data)


def with_header(header: bytes, data: bytes = b"") -> bytes:
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


@dataclass(frozen=True)
class Adapter:
    """An adapter to be changed and written; `weights`, when set, stands in place of the tensors."""

    config: dict[str, Any]
    tensors: dict[str, Entry]
    card: dict[str, Any] | None = None
    weights: bytes | None = None
    raw_config: bytes | None = None

    def configured(self, **fields: Any) -> "Adapter":
        return replace(self, config={**self.config, **fields})

    def with_tensor(self, name: str, value: Entry | None) -> "Adapter":
        tensors = {key: old for key, old in self.tensors.items() if key != name}
        return replace(self, tensors=tensors if value is None else {**tensors, name: value})

    def write(self, directory: Path) -> PackageFiles:
        directory.mkdir(parents=True, exist_ok=True)
        config = self.raw_config if self.raw_config is not None else json.dumps(self.config).encode()
        (directory / CONFIG).write_bytes(config)
        (directory / WEIGHTS).write_bytes(
            self.weights if self.weights is not None else safetensors(self.tensors)
        )
        if self.card is not None:
            (directory / CARD).write_text(json.dumps(self.card))
        return PackageFiles.from_directory(directory)


@dataclass(frozen=True)
class Recipe:
    """What to build; every field has a servable default."""

    modules: tuple[str, ...] = ("q_proj", "v_proj")
    rank: int = 4
    alpha: float = 8.0
    dtype: str = "F32"
    seed: int = 0
    base: BaseModel = BASE
    extra: dict[str, Any] = field(default_factory=dict)


def build(recipe: Recipe | None = None) -> Adapter:
    """A valid adapter, with weights of the size training leaves behind."""
    recipe = recipe or Recipe()
    shape = decoder_shape(recipe.base.config)
    assert shape is not None
    random = np.random.default_rng(recipe.seed)
    tensors: dict[str, Entry] = {}
    for layer in range(shape.layers):
        for module in recipe.modules:
            inputs, outputs = shape.modules[module]
            path = shape.path(layer, module)
            a = random.uniform(-1, 1, (recipe.rank, inputs)) / inputs**0.5
            b = random.normal(0, 0.01, (outputs, recipe.rank))
            tensors[tensor_name(path, "A")] = entry(a, recipe.dtype)
            tensors[tensor_name(path, "B")] = entry(b, recipe.dtype)
    return Adapter(peft_config(recipe), tensors)


def peft_config(recipe: Recipe) -> dict[str, Any]:
    """The fields PEFT 0.21 writes, with their usual values."""
    return {
        "alora_invocation_tokens": None,
        "alpha_pattern": {},
        "arrow_config": None,
        "auto_mapping": None,
        "base_model_name_or_path": "somewhere/base",
        "bias": "none",
        "corda_config": None,
        "ensure_weight_tying": False,
        "eva_config": None,
        "exclude_modules": None,
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "layer_replication": None,
        "layers_pattern": None,
        "layers_to_transform": None,
        "loftq_config": {},
        "lora_alpha": recipe.alpha,
        "lora_bias": False,
        "lora_dropout": 0.05,
        "megatron_config": None,
        "megatron_core": "megatron.core",
        "modules_to_save": None,
        "peft_type": "LORA",
        "peft_version": "0.21.2",
        "qalora_group_size": 16,
        "r": recipe.rank,
        "rank_pattern": {},
        "revision": None,
        "target_modules": list(recipe.modules),
        "target_parameters": None,
        "task_type": "CAUSAL_LM",
        "trainable_token_indices": None,
        "use_bdlora": None,
        "use_dora": False,
        "use_qalora": False,
        "use_rslora": False,
        **recipe.extra,
    }
