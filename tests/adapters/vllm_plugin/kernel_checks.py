"""Checks of the LoRA kernels against a row-by-row reference; run in the engine's environment by test_kernels.py.

Prints one JSON object: the name of every check and its traceback, or null when it passed.
"""

import json
import os
import traceback
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from atelier_vllm_plugin import lora_kernels, packed_weights, slot_products  # type: ignore[import-not-found]
from atelier_vllm_plugin.lora_kernels import (  # type: ignore[import-not-found]
    GroupedLora,
    group_rows,
)
from vllm.lora.layers import LoRAMapping
from vllm.lora.layers import base_linear as vllm_base_linear
from vllm.lora.model_manager import LoRAModelManager
from vllm.lora.ops import torch_ops
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU
from vllm.platforms import current_platform

SLOTS, MAX_RANK, WIDTH = 4, 16, 24
RANKS = (1, 8, 16, 0)  # what the adapters in the slots use; the last changes nothing
IDS = (11, 12, 13, 14)


def random_slots(seed: int, rows: int) -> list[int]:
    """A slot for each row: long runs for even seeds, a jumble for odd ones."""
    chance = torch.Generator().manual_seed(seed)
    slots = torch.randint(-1, SLOTS, (rows,), generator=chance)
    chosen: list[int] = (slots.sort().values if seed % 2 == 0 else slots).tolist()
    return chosen


def stack(shape: tuple[int, ...], seed: int, dtype: torch.dtype, *, side: str) -> torch.Tensor:
    """Stacked weights as vLLM pads them: beyond an adapter's rank all is zero."""
    weights = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    for slot, rank in enumerate(RANKS):
        if side == "A":
            weights[slot, :, rank:] = 0
        else:
            weights[slot, ..., rank:] = 0
    return weights


def wrapper(slots: list[int], sampled: list[int] | None = None) -> GroupedLora:
    """A wrapper told of a batch by vLLM's own call; slot −1 is adapter id 0 there."""
    made = GroupedLora(2048, 64, "cpu")
    ids = [0 if slot < 0 else IDS[slot] for slot in slots]
    prompts = [0 if slot < 0 else IDS[slot] for slot in (sampled or slots)]
    mapping = LoRAMapping(tuple(ids), tuple(prompts), is_prefill=True)
    made.update_metadata(mapping, list(IDS), SLOTS, 1000)
    return made


def reference(
    y: torch.Tensor, x: torch.Tensor, a: torch.Tensor, b: torch.Tensor, slots: list[int], scale: float = 1.0
) -> torch.Tensor:
    """y + x·Aᵀ·Bᵀ row by row in float64."""
    out = y.double().clone()
    for row, slot in enumerate(slots):
        if slot >= 0:
            delta = b[slot, 0].double() @ (a[slot, 0].double() @ x[row].double()) * scale
            width = min(out.shape[1], delta.shape[0])
            out[row, :width] += delta[:width]
    return out


def close(got: torch.Tensor, wanted: torch.Tensor) -> None:
    tolerance = {torch.float32: 1e-4, torch.bfloat16: 3e-2}[got.dtype]
    torch.testing.assert_close(got.double(), wanted, rtol=tolerance, atol=tolerance * 4)


def check_linear() -> None:
    """Packed linear layers (three slices of different width), both types, groups of few rows and of many."""
    many = slot_products.FEW_ROWS * (SLOTS + 1)
    for dtype in (torch.float32, torch.bfloat16):
        for seed in range(40):
            slots = random_slots(seed, (1 + seed * 5 % 61) if seed % 4 else 2 * many - seed)
            sizes = (32, 16, 16)
            a = tuple(stack((SLOTS, 1, MAX_RANK, WIDTH), 10 + i, dtype, side="A") for i in range(3))
            b = tuple(stack((SLOTS, 1, n, MAX_RANK), 20 + i, dtype, side="B") for i, n in enumerate(sizes))
            x = torch.randn(len(slots), WIDTH, generator=torch.Generator().manual_seed(seed)).to(dtype)
            y = torch.randn(len(slots), sum(sizes), generator=torch.Generator().manual_seed(-seed)).to(dtype)
            before = y.clone()
            wrapper(slots).add_lora_linear(y, x, a, b, 0.5, sizes)
            starts = (0, 32, 48)
            for start, size, a_part, b_part in zip(starts, sizes, a, b, strict=True):
                part = before[:, start : start + size]
                close(y[:, start : start + size], reference(part, x, a_part, b_part, slots, 0.5))
            untouched = torch.tensor([slot < 0 for slot in slots])
            assert torch.equal(y[untouched], before[untouched]), "a row without an adapter has changed"


def check_linear_without_inputs() -> None:
    """add_inputs=False gives the delta alone."""
    slots = [0, -1, 2]
    a = stack((SLOTS, 1, MAX_RANK, WIDTH), 1, torch.float32, side="A")
    b = stack((SLOTS, 1, 8, MAX_RANK), 2, torch.float32, side="B")
    x, y = torch.randn(3, WIDTH), torch.full((3, 8), 7.0)
    wrapper(slots).add_lora_linear(y, x, (a,), (b,), 1.0, (8,), add_inputs=False)
    close(y, reference(torch.zeros(3, 8), x, a, b, slots))


def check_logits() -> None:
    """The head: rows are sampled positions, and the logits may be narrower than the padded B."""
    for logits, vocabulary in ((40, 40), (40, 48), (48, 40)):
        sampled = [1, -1, 0, 2, -1, 1]
        a = stack((SLOTS, 1, MAX_RANK, WIDTH), 3, torch.bfloat16, side="A")
        b = stack((SLOTS, 1, vocabulary, MAX_RANK), 4, torch.bfloat16, side="B")
        x = torch.randn(len(sampled), WIDTH).to(torch.bfloat16)
        for dtype in (torch.float32, torch.bfloat16):
            y = torch.randn(len(sampled), logits).to(dtype)
            wanted = reference(y, x, a, b, sampled)
            wrapper([1] * 30, sampled).add_lora_logits(y, x, a, b, 1.0)
            torch.testing.assert_close(y.double(), wanted, rtol=3e-2, atol=0.12)


def check_embedding() -> None:
    """The embedding's expand: A is looked up by vLLM."""
    slots = [2, 2, -1, 0, 1, -1, 2]
    b = stack((SLOTS, 1, WIDTH, MAX_RANK), 5, torch.float32, side="B")
    x, y = torch.randn(len(slots), MAX_RANK), torch.randn(len(slots), WIDTH)
    identity = torch.eye(MAX_RANK).expand(SLOTS, 1, MAX_RANK, MAX_RANK)
    wanted = reference(y, x, identity, b, slots)
    wrapper(slots).add_lora_embedding(y, x, b, add_input=True)
    close(y, wanted)


def check_halves() -> None:
    """Shrink then expand on their own give the whole; the buffer's old content is overwritten."""
    slots = random_slots(7, 23)
    sizes = (8, 12)
    a = tuple(stack((SLOTS, 1, MAX_RANK, WIDTH), 30 + i, torch.float32, side="A") for i in range(2))
    b = tuple(stack((SLOTS, 1, n, MAX_RANK), 40 + i, torch.float32, side="B") for i, n in enumerate(sizes))
    x, y = torch.randn(23, WIDTH), torch.randn(23, 3 + sum(sizes))
    before = y.clone()
    made, buffer = wrapper(slots), torch.full((2, 23, MAX_RANK), 99.0)
    made.add_shrink(buffer, x, a, 2.0)
    made.add_expand(y, buffer, b, sizes, offset_start=3)
    assert torch.equal(y[:, :3], before[:, :3])
    close(y[:, 3:11], reference(before[:, 3:11], x, a[0], b[0], slots, 2.0))
    close(y[:, 11:], reference(before[:, 11:], x, a[1], b[1], slots, 2.0))


def check_full_linear() -> None:
    """A classification head of an adapter's own, only where it is enabled."""
    slots = [0, -1, 1, 2]
    weight, bias = torch.randn(SLOTS, 1, 3, WIDTH), torch.randn(SLOTS, 3)
    enabled = torch.tensor([True, False, True, True])
    x, y = torch.randn(4, WIDTH), torch.randn(4, 3)
    wanted = y.double().clone()
    for row in (0, 3):
        slot = slots[row]
        wanted[row] = weight[slot, 0].double() @ x[row].double() + bias[slot].double()
    wrapper(slots).apply_lora_full_linear(y, x, weight, bias, enabled)
    close(y, wanted)


def check_no_adapter_at_all() -> None:
    """A batch of base requests is not touched, whatever the slots hold; NaN there neither."""
    slots = [-1] * 9
    a = torch.full((SLOTS, 1, MAX_RANK, WIDTH), float("nan"))
    b = torch.full((SLOTS, 1, 8, MAX_RANK), float("nan"))
    x, y = torch.randn(9, WIDTH), torch.randn(9, 8)
    before = y.clone()
    wrapper(slots).add_lora_linear(y, x, (a,), (b,), 1.0, (8,))
    wrapper(slots).add_lora_logits(y, x, a, b, 1.0)
    assert torch.equal(y, before)


def check_groups() -> None:
    """Every row is in exactly its adapter's group; neighbours come as a slice."""
    for seed in range(60):
        slots = random_slots(seed, seed)
        seen: dict[int, int] = {}
        for group in group_rows(torch.tensor(slots, dtype=torch.long)):
            for row in torch.arange(len(slots))[group.rows].tolist():
                assert row not in seen
                seen[row] = group.slot
        assert seen == {row: slot for row, slot in enumerate(slots) if slot >= 0}
    assert group_rows(torch.tensor([-1, 2, 2, 2, -1]))[0].rows == slice(1, 4)


def check_a_slot_that_changes_hands() -> None:
    """After vLLM activates another adapter in a slot, the larger rank counts."""
    lora_kernels.follow_slots()
    made = wrapper([0, 0])
    a, b = torch.zeros(SLOTS, 1, MAX_RANK, WIDTH), torch.zeros(SLOTS, 1, 8, MAX_RANK)
    a[0, 0, 0], b[0, 0, :, 0] = 1.0, 1.0
    layer = SimpleNamespace(
        set_lora=lambda index, _a, _b: (a[index].fill_(1.0), b[index].fill_(1.0)),
        reset_lora=lambda index: None,
    )
    x = torch.randn(2, WIDTH)

    def says() -> torch.Tensor:
        y = torch.zeros(2, 8)
        made.add_lora_linear(y, x, (a,), (b,), 1.0, (8,))
        return y

    close(says(), reference(torch.zeros(2, 8), x, a, b, [0, 0]))
    manager: Any = LoRAModelManager.__new__(LoRAModelManager)
    manager.lora_index_to_id = [None]
    manager._active_adapters = {}
    manager._registered_adapters = {5: SimpleNamespace(id=5)}
    manager.modules = {"layer": layer}
    manager.punica_wrapper_mapping = {"model": made}
    manager._get_lora_layer_weights = lambda model, name: SimpleNamespace(lora_a=None, lora_b=None)
    assert LoRAModelManager.activate_adapter(manager, 5)
    close(says(), reference(torch.zeros(2, 8), x, a, b, [0, 0]))
    found = slot_products.prepare
    try:
        # vLLM activates at every model step: an adapter that is active already keeps what was found of it.
        slot_products.prepare = None
        assert not LoRAModelManager.activate_adapter(manager, 5)
        close(says(), reference(torch.zeros(2, 8), x, a, b, [0, 0]))
    finally:
        slot_products.prepare = found
    kept = weakref.ref(made.prepared.of(((a, b),), 0, (8,)))
    assert kept() is not None
    manager._deactivate_adapter(5)
    assert kept() is None, "the memory of an adapter that is gone is kept"
    assert manager.lora_index_to_id == [None]


def check_parts_of_different_rank() -> None:
    """Parts that an adapter leaves alone (the last slot), or of which it uses less, keep their columns."""
    sizes = (8, 4, 12)
    ranks = (0, 3, 16)
    a, b = [], []
    for seed, (size, rank) in enumerate(zip(sizes, ranks, strict=True)):
        chance = torch.Generator().manual_seed(seed)
        a.append(torch.randn(SLOTS, 1, MAX_RANK, WIDTH, generator=chance))
        b.append(torch.randn(SLOTS, 1, size, MAX_RANK, generator=chance))
        b[-1][..., rank:] = 0
        b[-1][3] = 0
    x, y = torch.randn(5, WIDTH), torch.randn(5, sum(sizes))
    slots, wanted, column = [0, 3, -1, 1, 3], [], 0
    for size, a_part, b_part in zip(sizes, a, b, strict=True):
        wanted.append(reference(y[:, column : column + size], x, a_part, b_part, slots))
        column += size
    before = y.clone()
    wrapper(slots).add_lora_linear(y, x, tuple(a), tuple(b), 1.0, sizes)
    close(y, torch.cat(wanted, dim=1))
    assert torch.equal(y[:, :8], before[:, :8])
    assert torch.equal(y[[1, 4]], before[[1, 4]])


def fixed_bgmv(expand: bool) -> Callable[..., None]:
    """A stand-in for repaired stock kernels: right about −1."""

    def kernel(inputs: Any, weights: Any, output: Any, slots: Any, *_: Any) -> None:
        for row, slot in enumerate(slots.tolist()):
            if slot >= 0:
                delta = weights[slot].squeeze(0) @ inputs[row]
                output[row] = output[row] + delta if expand else delta

    return kernel


def check_the_rule() -> None:
    """Ours while stock spoils base rows; stock when it is repaired; the setting decides over both."""
    assert lora_kernels.stock_spoils_base_rows() == stock_leaks(), (
        "the self-check disagrees with a direct look"
    )
    stock = lora_kernels.bgmv_expand, lora_kernels.bgmv_shrink
    platform = type(current_platform)
    asked = platform.__dict__["get_punica_wrapper"]
    try:
        lora_kernels.bgmv_expand, lora_kernels.bgmv_shrink = fixed_bgmv(True), fixed_bgmv(False)
        assert not lora_kernels.wants_grouped()
        lora_kernels.register()
        assert current_platform.get_punica_wrapper().endswith("PunicaWrapperCPU"), "did not step aside"
        os.environ[lora_kernels.CHOICE] = "grouped"
        assert lora_kernels.wants_grouped()
        lora_kernels.register()
        assert current_platform.get_punica_wrapper() == "atelier_vllm_plugin.lora_kernels.GroupedLora"
    finally:
        lora_kernels.bgmv_expand, lora_kernels.bgmv_shrink = stock
        os.environ.pop(lora_kernels.CHOICE, None)
        platform.get_punica_wrapper = asked
    os.environ[lora_kernels.CHOICE] = "stock"
    assert not lora_kernels.wants_grouped()
    os.environ[lora_kernels.CHOICE] = "fast"
    try:
        lora_kernels.wants_grouped()
    except ValueError as error:
        assert "fast" in str(error)
    else:
        raise AssertionError("an unknown setting was taken")
    finally:
        os.environ.pop(lora_kernels.CHOICE)


def stock_leaks() -> bool:
    """Whether stock expands a row of slot −1 with the last slot's weights."""
    output = torch.zeros(1, 3)
    torch_ops.bgmv_expand(torch.ones(1, 2), torch.ones(2, 1, 3, 2), output, torch.tensor([-1]), True)
    return bool(output.abs().sum() > 0)


def check_the_wrapper_covers_what_stock_has() -> None:
    """A new method of vLLM's wrapper must be looked at: it may reach the stock kernels."""
    known = {"add_shrink", "add_expand", "add_lora_embedding", "add_lora_linear", "add_lora_logits"}
    public = {name for name in vars(PunicaWrapperCPU) if not name.startswith("_")}
    assert public == known | {"apply_lora_full_linear"}
    assert public <= set(vars(GroupedLora))


def check_packed_weights() -> None:
    """A layer whose weight was packed away is on the CPU; others are asked as before; repairing twice is once."""
    module: Any = SimpleNamespace(_get_lora_device=vllm_base_linear._get_lora_device)
    stock = module._get_lora_device
    packed_weights.repair(module)
    packed_weights.repair(module)
    repaired = module._get_lora_device
    assert repaired is not stock
    assert repaired(SimpleNamespace(weight=None)) == torch.device("cpu")
    assert repaired(SimpleNamespace(routed_experts=SimpleNamespace(weight=None))) == torch.device("cpu")
    assert repaired(SimpleNamespace(weight=torch.empty(1, device="meta"))) == torch.device("meta")
    assert repaired(SimpleNamespace(qweight=torch.empty(1, device="meta"))) == torch.device("meta")
    try:
        repaired(SimpleNamespace())
    except ValueError:
        return
    raise AssertionError("a layer without weights has no device")


def main() -> None:
    """Run every check of this file."""
    results: dict[str, str | None] = {}
    for name, check in sorted(globals().items()):
        if name.startswith("check_"):
            try:
                check()
                results[name] = None
            except Exception:
                results[name] = traceback.format_exc()
    print(json.dumps(results))


if __name__ == "__main__":
    main()
