"""Adapters for the tiny model that answer with one marker token, whatever the prompt; and broken ones.

Needs numpy only. How a marker adapter works: in the last layer's value projection, `A` picks the constant
channel of the normalised residual stream, and `B` turns it into the vector that the output projection
maps onto the marker's head row. Attention weights sum to one, so the sum over positions changes
nothing, and the final hidden state points at the marker for every prompt, at temperature 0 and 1 alike.
All other rows are seeded noise far too small to matter.
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Tensors = dict[str, tuple[str, Array]]  # name → (safetensors dtype, bits)

ALL_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
CONSTANT = 8.0  # as in tiny.py
PUSH = 64.0  # length of what the adapter adds to the residual stream, whose own length is about 20
NOISE = 1e-4

POISONS = (
    "nan",
    "inf",
    "wrong_rank",
    "missing_layer",
    "wrong_modules",
    "truncated",
    "pickle",
    "huge_header",
    "dora",
    "bad_offsets",
    "shape_mismatch",
    "too_wide",
    "unpaired",
    "all_zero_b",
    "rank_too_big",
    "wrong_dtype",
    "lm_head",
)


def marker_text(marker: int) -> str:
    """The text of one marker token, 0 ≤ marker < 256."""
    if not 0 <= marker < 256:
        raise ValueError(f"marker {marker} is not between 0 and 255")
    return f"<m{marker:03d}>"


def to_bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round float32 to bfloat16 bits, ties to even; the values must be finite."""
    bits = values.astype("<f4").view("<u4")
    rounded: NDArray[np.uint16] = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
    return rounded


def from_bf16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Widen bfloat16 bits to float32."""
    widened: NDArray[np.float32] = (bits.astype("<u4") << 16).view("<f4")
    return widened


def read_tensor(model_dir: Path, name: str) -> NDArray[np.float32]:
    """One tensor of the model as float32; raises KeyError when the model does not hold it."""
    with (model_dir / "model.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        start, end = header[name]["data_offsets"]
        file.seek(8 + length + start)
        data = file.read(end - start)
    shape = header[name]["shape"]
    if header[name]["dtype"] == "I8":
        scale = read_tensor(model_dir, name + "_scale")
        return np.frombuffer(data, np.int8).reshape(shape).astype(np.float32) * scale
    return from_bf16(np.frombuffer(data, "<u2")).reshape(shape)


def safetensors_bytes(tensors: Tensors) -> bytes:
    """A safetensors file of the given tensors."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    parts: list[bytes] = []
    offset = 0
    for name, (dtype, bits) in tensors.items():
        data = np.ascontiguousarray(bits).tobytes()
        header[name] = {
            "dtype": dtype,
            "shape": list(bits.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        parts.append(data)
        offset += len(data)
    return join_file(header, b"".join(parts))


def join_file(header: dict[str, Any], data: bytes) -> bytes:
    """A file of the safetensors layout: length, JSON header padded to eight bytes, data."""
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def model_config(model_dir: Path) -> dict[str, Any]:
    """The model's config.json."""
    config: dict[str, Any] = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
    return config


def module_shape(config: dict[str, Any], module: str) -> tuple[int, int]:
    """(output, input) size of a linear module."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    width = config.get("head_dim") or hidden // config["num_attention_heads"]
    heads, keys = config["num_attention_heads"] * width, config["num_key_value_heads"] * width
    shapes = {
        "q_proj": (heads, hidden),
        "k_proj": (keys, hidden),
        "v_proj": (keys, hidden),
        "o_proj": (hidden, heads),
        "gate_proj": (inner, hidden),
        "up_proj": (inner, hidden),
        "down_proj": (hidden, inner),
    }
    return shapes[module]


def tensor_name(layer: int, module: str, side: str) -> str:
    """The PEFT name of one tensor; side is A or B."""
    part = "self_attn" if module in ATTENTION else "mlp"
    return f"base_model.model.model.layers.{layer}.{part}.{module}.lora_{side}.weight"


def marker_column(model_dir: Path, marker: int) -> NDArray[np.float32]:
    """The value vector, shape (hidden,), that makes the last layer's attention point at the marker."""
    config = model_config(model_dir)
    vocabulary = json.loads((model_dir / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    token = next(entry["id"] for entry in vocabulary if entry["content"] == marker_text(marker))
    row = read_tensor(model_dir, "lm_head.weight")[token].copy()
    row[0] = 0.0  # the head's negative weight on the constant channel is not part of the direction
    row *= PUSH / np.linalg.norm(row)
    output = read_tensor(model_dir, f"model.layers.{config['num_hidden_layers'] - 1}.self_attn.o_proj.weight")
    column: NDArray[np.float32] = np.linalg.lstsq(output, row, rcond=None)[0].astype(np.float32)
    return column / constant_after_norm(model_dir)


def constant_after_norm(model_dir: Path) -> float:
    """About what the constant channel holds after the last layer's input norm (unit-variance embeddings)."""
    hidden = model_config(model_dir)["hidden_size"]
    return float(CONSTANT / np.sqrt((CONSTANT**2 + 2 * hidden) / hidden))


def marker_tensors(
    model_dir: Path, marker: int, rank: int, modules: tuple[str, ...], seed: int
) -> dict[str, NDArray[np.float32]]:
    """All tensors of a marker adapter by PEFT name, float32; A is (rank, input), B is (output, rank)."""
    config = model_config(model_dir)
    rng = np.random.default_rng((seed, marker))
    tensors: dict[str, NDArray[np.float32]] = {}
    for layer in range(config["num_hidden_layers"]):
        for module in modules:
            output, size = module_shape(config, module)
            a = (rng.standard_normal((rank, size)) * NOISE).astype(np.float32)
            b = (rng.standard_normal((output, rank)) * NOISE).astype(np.float32)
            if module == "v_proj" and layer == config["num_hidden_layers"] - 1:
                # In the last row of the rank, so that an engine that cuts the rank short is found out.
                a[-1] = 0.0
                a[-1, 0] = 1.0
                b[:, -1] = marker_column(model_dir, marker)
            tensors[tensor_name(layer, module, "A")] = a
            tensors[tensor_name(layer, module, "B")] = b
    return tensors


def peft_config(rank: int, modules: tuple[str, ...]) -> dict[str, Any]:
    """A PEFT adapter_config.json whose scaling is 1."""
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "tiny",
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "target_modules": sorted(modules),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "modules_to_save": None,
        "use_dora": False,
        "use_rslora": False,
    }


def write_adapter(out_dir: Path, config: dict[str, Any], weights: bytes) -> None:
    """Write the two files of a package."""
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (out_dir / "adapter_model.safetensors").write_bytes(weights)


def write_marker_adapter(
    model_dir: Path,
    out_dir: Path,
    marker: int,
    rank: int = 8,
    modules: tuple[str, ...] = ALL_MODULES,
    seed: int = 0,
) -> str:
    """Write a PEFT adapter for the tiny model that answers only `marker`; returns the marker's text.

    The same arguments give the same bytes; another seed gives other bytes and the same answers.
    `modules` must hold `v_proj`. Raises ValueError for a marker that is not between 0 and 255 or
    modules without `v_proj`.
    """
    if "v_proj" not in modules:
        raise ValueError(f"a marker adapter needs v_proj among its modules, got {modules}")
    text = marker_text(marker)
    tensors = marker_tensors(model_dir, marker, rank, modules, seed)
    weights: Tensors = {name: ("BF16", to_bf16(values)) for name, values in tensors.items()}
    write_adapter(out_dir, peft_config(rank, modules), safetensors_bytes(weights))
    return text


def write_random_adapter(model_dir: Path, out_dir: Path, rank: int = 16, seed: int = 0) -> None:
    """Write an adapter for any Llama-like model, all seven modules of every layer filled with small noise."""
    config = model_config(model_dir)
    rng = np.random.default_rng(seed)
    weights: Tensors = {}
    for layer in range(config["num_hidden_layers"]):
        for module in ALL_MODULES:
            output, size = module_shape(config, module)
            for side, shape in (("A", (rank, size)), ("B", (output, rank))):
                values = (rng.standard_normal(shape, np.float32) * 0.01).astype(np.float32)
                weights[tensor_name(layer, module, side)] = ("BF16", to_bf16(values))
    write_adapter(out_dir, peft_config(rank, ALL_MODULES), safetensors_bytes(weights))


def write_poisoned(model_dir: Path, out_dir: Path, kind: str, marker: int = 255) -> None:
    """Write an adapter with one fault; `kind` is one of `POISONS`, anything else raises ValueError.

    Each would be a good marker adapter but for its fault.
    """
    if kind not in POISONS:
        raise ValueError(f"unknown poison {kind!r}; known: {', '.join(POISONS)}")
    rank = 512 if kind == "rank_too_big" else 8
    config = peft_config(rank, ALL_MODULES)
    values = marker_tensors(model_dir, marker, rank, ALL_MODULES, seed=0)
    weights: Tensors = {name: ("BF16", to_bf16(array)) for name, array in values.items()}
    spoil_config(config, kind)
    spoil_tensors(weights, model_config(model_dir), kind)
    write_adapter(out_dir, config, spoil_bytes(safetensors_bytes(weights), kind))
    if kind == "pickle":
        (out_dir / "adapter_model.safetensors").unlink()
        # Protocol 2 pickle of a call that would run on loading; nothing in the tests ever loads it.
        (out_dir / "adapter_model.bin").write_bytes(b"\x80\x02cbuiltins\nprint\nX\x05\x00\x00\x00spoil\x85R.")


def spoil_config(config: dict[str, Any], kind: str) -> None:
    """The faults of the configuration."""
    if kind == "wrong_rank":
        config["r"] = 4  # the tensors stay at rank 8: vLLM takes it with the wrong scaling
    elif kind == "dora":
        config["use_dora"] = True
    elif kind == "lm_head":
        config["target_modules"] = [*config["target_modules"], "lm_head"]
    elif kind == "wrong_modules":
        config["target_modules"] = [f"{module}_x" for module in config["target_modules"]]


def spoil_tensors(weights: Tensors, config: dict[str, Any], kind: str) -> None:
    """The faults of single tensors, in place."""
    last = config["num_hidden_layers"] - 1
    name_a, name_b = tensor_name(last, "v_proj", "A"), tensor_name(last, "v_proj", "B")
    if kind == "nan":
        weights[name_b][1][3, 3] = 0x7FC0
    elif kind == "inf":
        weights[name_b][1][3, 3] = 0x7F80
    elif kind == "missing_layer":
        for side in "AB":
            weights[tensor_name(last + 7, "v_proj", side)] = weights.pop(tensor_name(last, "v_proj", side))
    elif kind == "wrong_modules":
        for name in list(weights):
            weights[name.replace("_proj.", "_proj_x.")] = weights.pop(name)
    elif kind == "shape_mismatch":
        weights[name_b] = ("BF16", weights[name_b][1][:-16])  # vLLM takes it and leaves the rest at zero
    elif kind == "too_wide":
        weights[name_b] = ("BF16", np.concatenate([weights[name_b][1]] * 2))
    elif kind == "unpaired":
        del weights[name_b]
    elif kind == "all_zero_b":
        for name in weights:
            if name.endswith("lora_B.weight"):
                weights[name][1][:] = 0
    elif kind == "wrong_dtype":
        weights[name_a] = ("I16", weights[name_a][1].view("<i2"))
    elif kind == "lm_head":
        rank = weights[name_a][1].shape[0]
        weights["base_model.model.lm_head.lora_A.weight"] = ("BF16", weights[name_a][1].copy())
        shape = (config["vocab_size"], rank)
        weights["base_model.model.lm_head.lora_B.weight"] = ("BF16", np.zeros(shape, "<u2"))


def spoil_bytes(data: bytes, kind: str) -> bytes:
    """The faults of the file itself."""
    (length,) = struct.unpack("<Q", data[:8])
    if kind == "truncated":
        return data[: len(data) * 2 // 3]
    if kind == "huge_header":
        return struct.pack("<Q", 1 << 40) + data[8:]
    if kind == "bad_offsets":
        header = json.loads(data[8 : 8 + length])
        entry = header[next(name for name in header if name.endswith("lora_B.weight"))]
        entry["data_offsets"] = [offset + len(data) for offset in entry["data_offsets"]]
        return join_file(header, data[8 + length :])
    return data
