"""A model that computes as an engine does with INT8 weights and activations (W8A8), to be measured without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

_LARGEST = 127
_SCALE = ".weight_scale"


class Int8Linear(torch.nn.Module):  # type: ignore[misc]
    """INT8 weight (output, input) with a scale for each output, activations with a scale for each token."""

    def __init__(self, weight: Any, scale: Any, bias: Any) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("weight_scale", scale.float())
        self.register_buffer("bias", bias)

    def forward(self, x: Any) -> Any:
        """(…, input) → (…, output), in the type of `x`."""
        rows = x.reshape(-1, x.shape[-1]).float()
        scale = rows.abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / _LARGEST
        whole = torch.round(rows / scale).clamp(-_LARGEST - 1, _LARGEST).to(torch.int8)
        # Sums of INT8 products are exact in INT32, as on the engine.
        result = torch._int_mm(whole, self.weight.t()).float() * scale * self.weight_scale.t()
        if self.bias is not None:
            result = result + self.bias.float()
        return result.to(x.dtype).reshape(*x.shape[:-1], -1)


def put_into(model: Any, folder: Path) -> int:
    """Replace the weights of `model` (bfloat16) by those of its INT8 form in `folder`; returns how many layers.

    Raises ValueError where the two do not fit, OSError.
    """
    stored: dict[str, Any] = {}
    for file in sorted(folder.glob("*.safetensors")):
        stored |= load_file(file)
    quantised = [name.removesuffix(_SCALE) for name in stored if name.endswith(_SCALE)]
    for name in quantised:
        holder, _, last = name.rpartition(".")
        layer = Int8Linear(
            stored.pop(f"{name}.weight"), stored.pop(name + _SCALE), stored.pop(f"{name}.bias", None)
        )
        setattr(model.get_submodule(holder), last, layer)
    missing, unexpected = model.load_state_dict(stored, strict=False)
    lost = [
        name
        for name in missing
        if name.rpartition(".")[0] not in quantised
        and not (name == "lm_head.weight" and model.config.tie_word_embeddings)
    ]
    if lost or unexpected:
        raise ValueError(f"{folder.name} does not fit: missing {lost}, unexpected {unexpected}")
    return len(quantised)
