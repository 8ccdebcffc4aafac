"""LoRA on CPU, grouped: the rows of a batch that use the same adapter are multiplied together.

Stock vLLM 0.32 indexes the stacked adapter weights with each row's slot. A row without an adapter has
slot −1, which Python takes for the *last* slot: with that slot taken, base requests answer with another
tenant's adapter. It also copies the adapter's weights once per row, which makes a prompt 5 times slower
than the base model's.
"""

import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from vllm.lora.model_manager import LoRAModelManager
from vllm.lora.ops.torch_ops import bgmv_expand, bgmv_shrink
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU
from vllm.platforms import current_platform

from .slot_products import PreparedSlots, add_product, matrix, shrink

logger = logging.getLogger("vllm.atelier")  # under vLLM's own, so that it is shown

CHOICE = "ATELIER_LORA_KERNELS"  # auto (default), grouped, stock
WRAPPER = f"{__name__}.GroupedLora"
NO_ADAPTER = -1


@dataclass(frozen=True)
class Group:
    """The rows of one batch that use the adapter in one slot."""

    slot: int
    rows: slice | torch.Tensor  # a slice when they are neighbours, which saves a copy each way


def group_rows(slots: torch.Tensor) -> tuple[Group, ...]:
    """Group the rows of a batch by adapter slot; `slots` has shape (rows,), −1 means none and is left out."""
    if slots.numel() == 0:
        return ()
    values, counts = torch.unique_consecutive(slots, return_counts=True)
    runs: dict[int, list[slice]] = defaultdict(list)
    start = 0
    for slot, count in zip(values.tolist(), counts.tolist(), strict=True):
        if slot != NO_ADAPTER:
            runs[slot].append(slice(start, start + count))
        start += count
    return tuple(Group(slot, join_runs(slices)) for slot, slices in runs.items())


def join_runs(slices: list[slice]) -> slice | torch.Tensor:
    """One selector for several runs of rows."""
    if len(slices) == 1:
        return slices[0]
    return torch.cat([torch.arange(run.start, run.stop) for run in slices])


class GroupedLora(PunicaWrapperCPU):  # type: ignore[misc]  # vLLM has no types here
    """The CPU platform's punica wrapper with grouped products. Rows are grouped once per model step."""

    def __init__(self, max_num_batched_tokens: int, max_batches: int, device: Any, **kwargs: Any) -> None:
        super().__init__(max_num_batched_tokens, max_batches, device, **kwargs)
        self.prepared = PreparedSlots()
        self._token_groups: tuple[Group, ...] = ()
        self._sampler_groups: tuple[Group, ...] = ()

    def update_metadata(self, mapping: Any, *args: Any, **kwargs: Any) -> None:
        """Called by vLLM when the batch's rows or the slots change."""
        super().update_metadata(mapping, *args, **kwargs)
        self._token_groups = group_rows(self.token_lora_indices)
        self._sampler_groups = group_rows(self.sampler_indices)

    def add_lora_linear(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: tuple[torch.Tensor, ...],
        lora_b_stacked: tuple[torch.Tensor, ...],
        scale: float,
        output_slices: tuple[int, ...],
        *,
        add_inputs: bool = True,
        **kwargs: Any,
    ) -> None:
        """y[:, slice] += x·Aᵀ·Bᵀ·scale for every slice of a (packed) linear layer, in place."""
        if not add_inputs:
            y.zero_()
        y, x = y.view(-1, y.shape[-1]), x.view(-1, x.shape[-1])
        parts = tuple(zip(lora_a_stacked, lora_b_stacked, strict=True))
        self._add(self._token_groups, y, x, parts, output_slices, scale)

    def add_lora_logits(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: torch.Tensor,
        lora_b_stacked: torch.Tensor,
        scale: float,
        **kwargs: Any,
    ) -> None:
        """The same for the output head, whose rows are the sampled positions."""
        y, x = y.view(-1, y.shape[-1]), x.view(-1, x.shape[-1])
        parts = ((lora_a_stacked, lora_b_stacked),)
        self._add(self._sampler_groups, y, x, parts, (y.shape[1],), scale)

    def add_lora_embedding(
        self, y: torch.Tensor, x: torch.Tensor, lora_b_stacked: torch.Tensor, **kwargs: Any
    ) -> None:
        """The same for the embedding, whose A was looked up already: x has shape (rows, max rank)."""
        for group in self._token_groups:
            add_product(y, group.rows, x[group.rows], matrix(lora_b_stacked, group.slot))

    def add_shrink(
        self,
        y: Sequence[torch.Tensor] | torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: tuple[torch.Tensor, ...],
        scale: float,
        **kwargs: Any,
    ) -> None:
        """y[i] = x·A[i]ᵀ·scale, zero in rows without an adapter; for layers that call the halves apart."""
        x = x.view(-1, x.shape[-1])
        for index, stack in enumerate(lora_a_stacked):
            y[index].zero_()
            for group in self._token_groups:
                inner = shrink(x[group.rows], matrix(stack, group.slot), scale)
                y[index][group.rows, : inner.shape[1]] = inner.to(y[index].dtype)

    def add_expand(
        self,
        y: torch.Tensor,
        x: Sequence[torch.Tensor] | torch.Tensor,
        lora_b_stacked: tuple[torch.Tensor, ...],
        output_slices: tuple[int, ...],
        offset_start: int = 0,
        add_inputs: bool = True,
        **kwargs: Any,
    ) -> None:
        """y[:, slice] += x[i]·B[i]ᵀ (or =, rows without an adapter then zero)."""
        y = y.view(-1, y.shape[-1])
        offset = offset_start
        for index, (stack, size) in enumerate(zip(lora_b_stacked, output_slices, strict=True)):
            part = y[:, offset : offset + size]
            if not add_inputs:
                part.zero_()
            for group in self._token_groups:
                b = matrix(stack, group.slot)[:size]
                add_product(part, group.rows, x[index][group.rows], b)
            offset += size

    def apply_lora_full_linear(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        weight_stacked: torch.Tensor,
        bias_stacked: torch.Tensor,
        module_enabled: torch.Tensor,
    ) -> None:
        """Rows whose adapter brings a whole classification head of its own get that head's output."""
        for group in self._sampler_groups:
            if module_enabled[group.slot]:
                own = shrink(x[group.rows], matrix(weight_stacked, group.slot), 1.0)
                y[group.rows] = (own + bias_stacked[group.slot]).to(y.dtype)

    def _add(
        self,
        groups: tuple[Group, ...],
        y: torch.Tensor,
        x: torch.Tensor,
        parts: tuple[tuple[torch.Tensor, torch.Tensor], ...],
        sizes: tuple[int, ...],
        scale: float,
    ) -> None:
        for group in groups:
            products = self.prepared.of(parts, group.slot, sizes)
            if products is not None:
                products.add(y, group.rows, x[group.rows], scale)


def stock_spoils_base_rows() -> bool:
    """Whether the installed kernels change a row without an adapter: tried on two rows, slot taken."""
    rows, slots = torch.ones(2, 4), torch.tensor([0, NO_ADAPTER])
    inner, output = torch.zeros(2, 2), torch.zeros(2, 4)
    bgmv_shrink(rows, torch.ones(2, 1, 2, 4), inner, slots, 1.0)
    bgmv_expand(inner, torch.ones(2, 1, 4, 2), output, slots, True)
    return bool(output[1].any())


def wants_grouped() -> bool:
    """The rule: on the CPU platform ours are used as long as the stock kernels spoil rows without an adapter.

    `ATELIER_LORA_KERNELS` set to `grouped` or `stock` decides instead. Raises ValueError for another value.
    """
    choice = os.environ.get(CHOICE, "auto")
    if choice not in {"auto", "grouped", "stock"}:
        raise ValueError(f"{CHOICE}={choice!r} is not one of auto, grouped, stock")
    return choice == "grouped" or (choice == "auto" and stock_spoils_base_rows())


def register() -> None:
    """Point the CPU platform at `GroupedLora` where `wants_grouped`; may be called again."""
    if not wants_grouped():
        logger.info("LoRA kernels: the stock ones treat rows without an adapter rightly; not replaced")
        return
    platform = type(current_platform)
    platform.get_punica_wrapper = classmethod(lambda cls: WRAPPER)
    follow_slots()
    logger.info("LoRA kernels: grouped products in place of the stock CPU kernels")


def follow_slots() -> None:
    """Have every change of a slot's adapter forget what was prepared for it."""
    stock_activate, stock_deactivate = LoRAModelManager.activate_adapter, LoRAModelManager._deactivate_adapter
    if getattr(stock_activate, "follows_slots", False):
        return

    def forget(manager: Any, lora_id: int) -> None:
        if lora_id in manager.lora_index_to_id:
            slot = manager.lora_index_to_id.index(lora_id)
            for wrapper in manager.punica_wrapper_mapping.values():
                wrapper.prepared.forget(slot)

    def activate_adapter(self: Any, lora_id: int) -> bool:
        try:
            activated = bool(stock_activate(self, lora_id))
        except BaseException:
            forget(self, lora_id)  # some of the slot's layers may have been written
            raise
        # vLLM asks at every model step; preparing the products each time costs more than they save.
        if activated:
            forget(self, lora_id)
        return activated

    def deactivate_adapter(self: Any, lora_id: int) -> None:
        forget(self, lora_id)  # gives the memory back; the next adapter in the slot forgets again
        stock_deactivate(self, lora_id)

    activate_adapter.follows_slots = True  # type: ignore[attr-defined]
    LoRAModelManager.activate_adapter = activate_adapter
    LoRAModelManager._deactivate_adapter = deactivate_adapter
