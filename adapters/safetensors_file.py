"""The safetensors header, read without trusting it: bounded, exact, every problem reported at once."""

import struct
from dataclasses import dataclass
from io import BufferedReader
from itertools import pairwise
from typing import Any

from adapters.package import WEIGHTS
from adapters.problem import Problem, quoted
from adapters.strict_json import parse_object

MAX_HEADER_BYTES = 1 << 20  # the reference parser allows 100 MB, which costs seconds and gigabytes to parse
MAX_TENSORS = 8192
ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}

_MAGIC = (
    (b"PK\x03\x04", "a zip archive (a PyTorch .bin or .pt file)"),
    (b"\x80\x02", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"\x1f\x8b", "a gzip file"),
    (b"GGUF", "a GGUF file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file it points to"),
)


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor's entry. `start` is its first byte in the file; shape sizes are positive."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


def read_header(source: BufferedReader, file_bytes: int) -> tuple[tuple[Tensor, ...], tuple[Problem, ...]]:
    """The tensors of a safetensors file of `file_bytes` bytes, sorted by position, and what is wrong.

    Entries that cannot be understood are left out of the tensors and reported. Raises OSError only.
    """
    head = source.read(32)
    for magic, kind in _MAGIC:
        # A real header begins with its length, and eight bytes later with '{'.
        if head.startswith(magic) and head[8:9] != b"{":
            return (), (_wrong("not_safetensors", f"this is {kind}; save the adapter as safetensors"),)
    if len(head) < 8:
        return (), (
            _wrong("truncated", f"{file_bytes} bytes is too short for a safetensors file; send it whole"),
        )
    (length,) = struct.unpack("<Q", head[:8])
    if length > MAX_HEADER_BYTES:
        message = f"the header claims {length:,} bytes, at most {MAX_HEADER_BYTES:,} are allowed"
        return (), (_wrong("header_too_large", f"{message}; save the adapter as safetensors, weights only"),)
    if 8 + length > file_bytes:
        message = (
            f"the header claims {length:,} bytes, the file has {file_bytes:,} in all; send the whole file"
        )
        return (), (_wrong("truncated", message),)
    source.seek(8)
    header, problems = parse_object(source.read(length), f"{WEIGHTS}: header", MAX_HEADER_BYTES)
    if header is None:
        return (), problems
    return _read_entries(header, 8 + length, file_bytes)


def _read_entries(
    header: dict[str, Any], data_start: int, file_bytes: int
) -> tuple[tuple[Tensor, ...], tuple[Problem, ...]]:
    problems = []
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        problems.append(_wrong("metadata_invalid", "__metadata__ must map text to text; save the file again"))
    if not header:
        problems.append(_wrong("no_tensors", "the file holds no tensors; save a trained adapter"))
    if len(header) > MAX_TENSORS:
        message = f"{len(header):,} tensors, at most {MAX_TENSORS:,} are allowed"
        return (), (*problems, _wrong("too_many_tensors", f"{message}; save LoRA weights only"))
    tensors = []
    for name, entry in header.items():
        tensor = _read_entry(name, entry, data_start)
        if isinstance(tensor, Tensor):
            tensors.append(tensor)
        else:
            problems.append(tensor)
    tensors.sort(key=lambda tensor: (tensor.start, tensor.size))
    # With an entry missing, a hole says nothing new about the others.
    whole = len(tensors) == len(header)
    problems.extend(_layout_problems(tensors, data_start, file_bytes, whole))
    inside = tuple(tensor for tensor in tensors if tensor.start + tensor.size <= file_bytes)
    return inside, tuple(problems)


def _read_entry(name: str, entry: object, data_start: int) -> Tensor | Problem:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        return _wrong("entry_invalid", "the entry must hold exactly dtype, shape and data_offsets", name)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        message = f"dtype {quoted(dtype)} is not allowed; save the adapter as F32, F16 or BF16"
        return _wrong("dtype_not_allowed", message, name)
    if not isinstance(shape, list) or len(shape) > 8 or not all(_is_count(n) and n > 0 for n in shape):
        return _wrong("shape_invalid", f"shape {quoted(shape)} is not a list of positive sizes", name)
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_count(n) for n in offsets):
        return _wrong("offsets_invalid", f"data_offsets {quoted(offsets)} are not two byte positions", name)
    size = ITEM_BYTES[dtype]
    for count in shape:
        size *= count
    begin, end = offsets
    if end - begin != size:
        message = f"data_offsets span {end - begin:,} bytes, shape {shape} of {dtype} needs {size:,}"
        return _wrong("size_mismatch", message, name)
    return Tensor(name, dtype, tuple(shape), data_start + begin, size)


def _layout_problems(tensors: list[Tensor], data_start: int, file_bytes: int, whole: bool) -> list[Problem]:
    problems = []
    for tensor in tensors:
        if tensor.start + tensor.size > file_bytes:
            message = f"its data ends at byte {tensor.start + tensor.size:,}, the file at {file_bytes:,}"
            problems.append(_wrong("truncated", f"{message}; send the whole file", tensor.name))
    for left, right in pairwise(tensors):
        if right.start < left.start + left.size:
            problems.append(_wrong("overlap", f"its data overlaps that of {quoted(left.name)}", right.name))
        elif whole and right.start > left.start + left.size:
            problems.append(
                _wrong("hole", f"unused bytes lie before it, after {quoted(left.name)}", right.name)
            )
    if whole and tensors:
        if tensors[0].start != data_start:
            problems.append(_wrong("hole", "unused bytes lie between the header and the first tensor"))
        end = max(tensor.start + tensor.size for tensor in tensors)
        if end < file_bytes:
            message = f"{file_bytes - end:,} unused bytes follow the last tensor; save the file again"
            problems.append(_wrong("trailing_bytes", message))
    return problems


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= 1 << 42


def _wrong(code: str, message: str, tensor: str | None = None) -> Problem:
    return Problem(code, WEIGHTS if tensor is None else f"{WEIGHTS}: {quoted(tensor)}", message)
