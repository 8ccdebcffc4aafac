"""What a model must be to be quantised to INT8, and what that would take; known from its files' headers."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from adapters.served_base import DecoderShape, decoder_shape
from adapters.training.encoding import Encoded
from adapters.training.plan import Plan

ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
Tensors = dict[str, tuple[str, tuple[int, ...]]]
"""Name → type and shape, as a safetensors header has them."""
_GIB = 2**30
_LISTED = 5
"""Problems that are named; of more only the number."""


@dataclass(frozen=True, slots=True)
class Quantisable:
    """`single`: whether the weights are finer than bfloat16. Sizes in bytes; `int8_size` estimated."""

    layers: int
    single: bool
    size: int
    int8_size: int


@dataclass(frozen=True, slots=True)
class QuantisePlan(Plan):
    """Nothing is learnt: rows are only measured."""

    def lines(self) -> list[tuple[str, str]]:
        """What a person reads."""
        return [
            ("rows", f"{self.held_out_rows:,} held out, measured before and after"),
            (
                "tokens",
                f"{self.tokens:,}, of which {self.learnt_tokens:,} in answers; longest {self.longest:,}",
            ),
            *self.more,
            ("memory", f"about {self.memory / _GIB:.1f} GiB"),
            ("disk", f"about {self.disk / _GIB:.1f} GiB"),
        ]


def inspect(base: Path) -> Quantisable:
    """Raises ValueError that says what of the model in `base` cannot be quantised, OSError. Reads headers only."""
    config = orjson.loads((base / "config.json").read_bytes())
    shape = decoder_shape(config)
    if shape is None:
        raise ValueError(
            f"{base.name}: {config.get('architectures')} is no dense decoder whose layers are known here; "
            "Llama, Mistral, Qwen2 and Qwen3 are"
        )
    files = sorted(base.glob("*.safetensors"))
    if not files:
        raise ValueError(f"{base.name} holds no safetensors; save the model with safe_serialization=True")
    tensors: Tensors = {}
    for file in files:
        tensors |= _header(file)
    linear = _linear(shape)
    _require_sound(base.name, tensors, linear)
    size = sum(_bytes(dtype, sizes) for dtype, sizes in tensors.values())
    after = sum(
        # A row's scale is a number in single precision.
        sizes[0] * sizes[1] + 4 * sizes[0] if name in linear else _bytes("BF16", sizes)
        for name, (_, sizes) in tensors.items()
    )
    return Quantisable(len(linear), any(dtype != "BF16" for dtype, _ in tensors.values()), size, after)


def plan_of(model: Quantisable, held_out: Sequence[Encoded], vocabulary: int) -> QuantisePlan:
    """A step is a row measured, or the conversion."""
    longest = max(len(row.ids) for row in held_out)
    smaller = f"{model.size / 1e6:,.1f} MB, about {model.int8_size / 1e6:,.1f} MB as INT8"
    return QuantisePlan(
        rows=0,
        held_out_rows=len(held_out),
        tokens=sum(len(row.ids) for row in held_out),
        learnt_tokens=sum(row.learnt for row in held_out),
        longest=longest,
        steps=2 * len(held_out) + 1,
        trained_weights=0,
        # Either form beside the other while it is made, or the scores of a row in two precisions.
        memory=model.size + max(model.int8_size, longest * vocabulary * 6) + _GIB // 2,
        disk=model.int8_size + _GIB // 10,
        more=(
            ("weights", smaller),
            ("layers", f"{model.layers:,} to INT8; embedding and head stay in bfloat16"),
        ),
        advice="lower data.max_tokens, or quantise on a larger machine",
    )


def _header(file: Path) -> Tensors:
    """Raises ValueError for what is no whole safetensors file, OSError."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8).ljust(8, b"\xff"))
        raw = opened.read(length) if length < size else b""
    try:
        entries = orjson.loads(raw)
        entries.pop("__metadata__", None)
        end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        if 8 + length + end != size:
            raise ValueError(f"{8 + length + end:,} bytes are announced, {size:,} are there")
        return {name: (entry["dtype"], tuple(entry["shape"])) for name, entry in entries.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{file.name} is no whole safetensors file ({error}); fetch it again") from error


def _linear(shape: DecoderShape) -> dict[str, tuple[int, int]]:
    """Name of every weight that becomes INT8 → (output, input) size."""
    return {
        f"{shape.path(layer, module)}.weight": (outputs, inputs)
        for layer in range(shape.layers)
        for module, (inputs, outputs) in shape.modules.items()
    }


def _require_sound(base: str, tensors: Tensors, linear: Mapping[str, tuple[int, int]]) -> None:
    problems = [
        f"{name}: not there"
        if name not in tensors
        else f"{name}: shape {tensors[name][1]}, config.json says {sizes}"
        for name, sizes in linear.items()
        if name not in tensors or tensors[name][1] != sizes
    ]
    problems += [
        f"{name}: {dtype}, already quantised; name the model it was made from"
        for name, (dtype, _) in tensors.items()
        if dtype not in ITEM_BYTES
    ]
    if problems:
        more = [f"and {len(problems) - _LISTED} more"] if len(problems) > _LISTED else []
        raise ValueError("\n".join([f"{base} cannot be quantised:", *problems[:_LISTED], *more]))


def _bytes(dtype: str, sizes: Sequence[int]) -> int:
    size = ITEM_BYTES[dtype]
    for one in sizes:
        size *= one
    return size
