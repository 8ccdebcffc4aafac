"""One layer's adapter in one slot, made ready for multiplying.

vLLM pads adapters to the engine's largest rank, gives every wrapped layer a slot, adapted or not, and keeps
the parts of a packed layer (q, k, v; gate, up) apart. Most of the padded arithmetic would be with zeros, and
for a few rows the arithmetic is nothing beside the cost of starting each product: so the A of all parts is
multiplied at once, by oneDNN on weights it has laid out before, which starts in less than half of the time.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from vllm import _custom_ops as ops

Product = Callable[[torch.Tensor], torch.Tensor]

# Up to here starting the products is what takes the time; with more rows adding in place saves a copy of
# the output. Between 128 and 200 rows both took the same on two AMX cores.
FEW_ROWS = 128
PRIMITIVES = 8  # row counts for which a product remembers oneDNN's choice of kernel


@dataclass(frozen=True)
class Expansion:
    """One part of a packed layer: its columns of the shrunk rows, its B and its columns of the output."""

    inner: slice
    b: torch.Tensor  # (output, rank), a view of vLLM's stack
    few: Product  # (rows, rank) → (rows, output)
    output: slice


@dataclass(frozen=True)
class SlotProducts:
    """All parts of a layer that one adapter changes; none means that it leaves the layer alone."""

    a: torch.Tensor  # (sum of the ranks, input)
    few: Product  # (rows, input) → (rows, sum of the ranks)
    expansions: tuple[Expansion, ...]

    def add(self, y: torch.Tensor, rows: slice | torch.Tensor, x: torch.Tensor, scale: float) -> None:
        """y[rows] += x·Aᵀ·Bᵀ·scale in place; y (all rows, output), x (rows, input)."""
        few = x.shape[0] <= FEW_ROWS
        inner = self.few(x.to(self.a.dtype)) if few else x.to(self.a.dtype) @ self.a.T
        if scale != 1.0:
            inner = inner * scale
        for part in self.expansions:
            own, shrunk = y[:, part.output], inner[:, part.inner]
            if not few:
                add_product(own, rows, shrunk, part.b)
            elif isinstance(rows, slice):
                own[rows].add_(part.few(shrunk))
            else:
                own[rows] += part.few(shrunk).to(y.dtype)


def used_rank(b: torch.Tensor) -> int:
    """How many leading columns of B, shape (output, max rank), matter: up to the last not all zero."""
    columns = b.any(dim=0).nonzero()
    return int(columns[-1]) + 1 if columns.numel() else 0


def matrix(stack: torch.Tensor, slot: int) -> torch.Tensor:
    """One slot's matrix of a stack of shape (slots, [1,] m, n)."""
    chosen = stack[slot]
    return chosen[0] if chosen.dim() == 3 else chosen


def shrink(x: torch.Tensor, a: torch.Tensor, scale: float) -> torch.Tensor:
    """x·Aᵀ·scale for x (rows, input) and A (rank, input)."""
    inner = x.to(a.dtype) @ a.T
    return inner if scale == 1.0 else inner * scale


def add_product(y: torch.Tensor, rows: slice | torch.Tensor, inner: torch.Tensor, b: torch.Tensor) -> None:
    """y[rows] += inner·Bᵀ in place; y (all rows, output), inner (rows, rank), B (output, rank)."""
    if isinstance(rows, slice) and y.dtype == b.dtype:
        y[rows].addmm_(inner.to(b.dtype), b.T)
    else:
        y[rows] += (inner.to(b.dtype) @ b.T).to(y.dtype)


def product(weight: torch.Tensor) -> Product:
    """x → x·Wᵀ for a W of shape (output, input), laid out by oneDNN where vLLM was built with it."""
    if not ops._supports_onednn:  # vLLM's own linear layers ask the same
        return lambda x: x @ weight.T
    handler = ops.create_onednn_mm(weight.T, PRIMITIVES)
    return lambda x: ops.onednn_mm(handler, x, None)


def prepare(
    stacks: tuple[tuple[torch.Tensor, torch.Tensor], ...], slot: int, sizes: tuple[int, ...]
) -> SlotProducts | None:
    """The products of the adapter in `slot`; `stacks` are the parts' (A, B), `sizes` their outputs' widths."""
    chosen, expansions, first, column = [], [], 0, 0
    for (a_stack, b_stack), size in zip(stacks, sizes, strict=True):
        b = matrix(b_stack, slot)
        if rank := used_rank(b):
            # The model may pad its output (or the adapter's B) to a round size.
            width = min(size, b.shape[0])
            b = b[:width, :rank]
            inner, output = slice(first, first + rank), slice(column, column + width)
            expansions.append(Expansion(inner, b, product(b), output))
            chosen.append(matrix(a_stack, slot)[:rank])
            first += rank
        column += size
    if not chosen:
        return None
    a = torch.cat(chosen)
    return SlotProducts(a, product(a), tuple(expansions))


class PreparedSlots:
    """The products of every layer's adapter in every slot, made when first needed."""

    def __init__(self) -> None:
        self._known: dict[int, dict[int, SlotProducts | None]] = defaultdict(dict)  # slot → address of B

    def of(
        self, stacks: tuple[tuple[torch.Tensor, torch.Tensor], ...], slot: int, sizes: tuple[int, ...]
    ) -> SlotProducts | None:
        """See `prepare`; the stacks' addresses name the layer, they are as old as the model."""
        known = self._known[slot]
        layer = stacks[0][1].data_ptr()
        if layer not in known:
            known[layer] = prepare(stacks, slot, sizes)
        return known[layer]

    def forget(self, slot: int) -> None:
        """Another adapter was put into the slot."""
        self._known.pop(slot, None)
