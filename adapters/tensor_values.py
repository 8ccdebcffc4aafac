"""What the numbers in a tensor are like, read in pieces of bounded size."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.safetensors_file import ITEM_BYTES, Tensor

CHUNK_BYTES = 1 << 21  # at most 12 MiB live at once: the bytes, float32 and float64 copies of BF16


@dataclass(frozen=True, slots=True)
class Values:
    """Frobenius norm and largest magnitude over the finite values; how many values are not finite."""

    norm: float
    largest: float
    not_finite: int


def read_values(source: BufferedReader, tensor: Tensor) -> Values:
    """Read all of one tensor. Raises OSError, and EOFError when the file became shorter meanwhile.

    Reads rather than maps: a mapped file that shrinks kills the process with SIGBUS.
    """
    square, largest, not_finite = 0.0, 0.0, 0
    for chunk in _chunks(source, tensor):
        finite = np.isfinite(chunk)
        bad = chunk.size - int(np.count_nonzero(finite))
        # float64: the square of a large float32 does not fit float32.
        values = (chunk[finite] if bad else chunk).astype(np.float64)
        # Not np.dot: its BLAS threads spin for each other and take seconds on a busy machine.
        square += float(np.einsum("i,i->", values, values))
        largest = max(largest, float(np.max(np.abs(values), initial=0.0)))
        not_finite += bad
    return Values(square**0.5, largest, not_finite)


def _chunks(source: BufferedReader, tensor: Tensor) -> Iterator[NDArray[Any]]:
    source.seek(tensor.start)
    left = tensor.size
    while left:
        raw = source.read(min(left, CHUNK_BYTES))
        if not raw or len(raw) % ITEM_BYTES[tensor.dtype]:
            raise EOFError(f"the file ends inside {tensor.name[:80]!r}")
        left -= len(raw)
        yield as_floats(raw, tensor.dtype)


def as_floats(raw: bytes, dtype: str) -> NDArray[Any]:
    """Little-endian F32, F16 or BF16 bytes as float32 or float16; numpy has no bfloat16."""
    if dtype == "BF16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(raw, "<f4" if dtype == "F32" else "<f2")
