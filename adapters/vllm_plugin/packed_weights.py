"""LoRA on an INT8 base on CPU: there vLLM packs a layer's weight away and leaves None in its place.

Stock `_get_lora_device` asks that None for its device and the engine does not start.
"""

from types import ModuleType
from typing import Any

import torch
from vllm.lora.layers import base_linear, fused_moe, utils


def register() -> None:
    """Repair every module that finds a layer's device this way; for the CPU platform. May be called again."""
    for module in (utils, base_linear, fused_moe):
        repair(module)


def repair(module: ModuleType) -> None:
    """Wrap the module's `_get_lora_device` once; each importer holds a name of its own."""
    stock = getattr(module, "_get_lora_device", None)
    if stock is None or getattr(stock, "packed_weights", False):
        return

    def lora_device(base_layer: Any) -> Any:
        layer = getattr(base_layer, "routed_experts", base_layer)
        if getattr(layer, "weight", layer) is None:
            return torch.device("cpu")
        return stock(base_layer)

    lora_device.packed_weights = True  # type: ignore[attr-defined]
    module._get_lora_device = lora_device  # type: ignore[attr-defined]
