"""GGUF to bf16 safetensors, and those or others to INT8: the two steps that need torch.

Not supported: other architectures' quirks. What is checked here (head and embedding alike, the vocabulary's
stop tokens) is checked because the default model needs it.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before transformers is imported: everything is local, so no look-up on a hub and no waiting for one.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import torch
from compressed_tensors.compressors import ModelCompressor
from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config
from compressed_tensors.quantization.quant_scheme import preset_name_to_scheme
from compressed_tensors.quantization.utils import calculate_qparams
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, GgufConfig

from adapters.base_model.source import ModelUnavailableError

# The file holds the same matrix twice, in 5 bits (embedding) and in 8 bits (head). The two roundings differ
# by 4.5 % of its norm (measured), with every row pointing the same way (cosine above 0.998); a head with a
# training of its own would differ by far more than these bounds.
TIE_MAX_RELATIVE = 0.08
TIE_MIN_COSINE = 0.99
_STOP, _TEXT_END = "<|im_end|>", "<|endoftext|>"


@dataclass(frozen=True)
class HeadMatch:
    """How alike the output head and the embedding are."""

    relative: float  # |head - embedding| / |head|, Frobenius
    min_cosine: float  # of the worst row

    @property
    def same(self) -> bool:
        return self.relative <= TIE_MAX_RELATIVE and self.min_cosine >= TIE_MIN_COSINE


def versions() -> dict[str, str]:
    names = ("torch", "transformers", "compressed-tensors", "gguf", "safetensors", "tokenizers")
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}


def gguf_to_bf16(gguf: Path, out: Path) -> HeadMatch:
    """Write the model in `gguf` to `out`: bf16 safetensors, tokenizer, template and generation defaults.

    The head is tied to the embedding again if they are the same matrix (the result says so): 136 M parameters
    less to hold and to read for every token. Raises ModelUnavailableError if the vocabulary lacks the chat's
    stop tokens or its template.
    """
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    match = match_head(model.lm_head.weight, model.get_input_embeddings().weight)
    if match.same:
        _tie(model)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model.generation_config = _generation(tokenizer)
    # The GGUF's own label ("… AWQ") is wrong for what is written here.
    vars(model.config).pop("_model_name_or_path", None)
    tokenizer.model_max_length = model.config.max_position_embeddings
    _save(model, tokenizer, out)
    return match


def to_int8(source: Path, out: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write the model of `source` to `out` with INT8 linear layers, in the compressed-tensors format.

    Weights: symmetric, one scale per output channel, rounded to nearest from `dtype`, the precision they are read
    in. Activations: symmetric, one scale per token, found while serving. Head and embedding stay bf16: vLLM has no
    INT8 embedding, and a tied head is the embedding. Raises ValueError for weights that are not finite.
    """
    model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype)
    scheme = preset_name_to_scheme("W8A8", ["Linear"])
    apply_quantization_config(
        model, QuantizationConfig(config_groups={"group_0": scheme}, ignore=["lm_head"])
    )
    for name, module in model.named_modules():
        if getattr(module, "quantization_scheme", None) is not None:
            _set_scale(name, module)
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    _rest_to_bf16(model)
    _save(model, AutoTokenizer.from_pretrained(source), out)
    compressor.update_config(str(out))


def match_head(head: Any, embedding: Any) -> HeadMatch:
    """Compare two matrices of shape (vocabulary, hidden)."""
    left, right = head.detach().float(), embedding.detach().float()
    relative = ((left - right).norm() / left.norm()).item()
    cosine = torch.nn.functional.cosine_similarity(left, right, dim=1).min().item()
    return HeadMatch(relative, cosine)


def _tie(model: Any) -> None:
    """Keep the head's values for both: they are the finer rounding of the one matrix."""
    model.set_input_embeddings(
        torch.nn.Embedding.from_pretrained(model.lm_head.weight.detach(), freeze=False)
    )
    model.config.tie_word_embeddings = True
    model.tie_weights()


def _set_scale(name: str, module: Any) -> None:
    """Scales in fp32 (the engine's own type for them): divided in bf16, with its 8 significant bits, a weight
    near 100 would be half a step off before it is rounded."""
    weight = module.weight.detach().float()
    low, high = weight.amin(dim=1, keepdim=True), weight.amax(dim=1, keepdim=True)
    if not (low.isfinite().all() and high.isfinite().all()):
        raise ValueError(f"{name}.weight holds a value that is not finite: no INT8 comes near it")
    scale, _ = calculate_qparams(low, high, module.quantization_scheme.weights)
    module.weight_scale = torch.nn.Parameter(scale.float(), requires_grad=False)


def _rest_to_bf16(model: Any) -> None:
    """What is not INT8, except the scales: what a model in single precision is served in."""
    for name, weight in model.named_parameters():
        if weight.is_floating_point() and not name.endswith("weight_scale"):
            weight.data = weight.data.to(torch.bfloat16)
    model.config.dtype = torch.bfloat16


def _save(model: Any, tokenizer: Any, out: Path) -> None:
    model.save_pretrained(out, max_shard_size="4GB")
    tokenizer.save_pretrained(out)
    for path in out.iterdir():
        path.chmod(0o644)  # safetensors makes 0600; an engine in a container runs as someone else


def _generation(tokenizer: Any) -> Any:
    """The makers' sampling advice, except their repetition penalty of 1.1: it also counts the prompt's
    tokens, and so pushes the model away from repeating the figures it was given to answer with."""
    vocabulary = tokenizer.get_vocab()
    missing = [token for token in (_STOP, _TEXT_END) if token not in vocabulary]
    if missing or not tokenizer.chat_template:
        raise ModelUnavailableError(
            f"The default model's file has no {' and no '.join(missing) or 'chat template'}: it is not the "
            f"chat model this command was written for. Report this with the file's digest."
        )
    return GenerationConfig(
        bos_token_id=vocabulary[_TEXT_END],
        eos_token_id=[vocabulary[_STOP], vocabulary[_TEXT_END]],
        pad_token_id=vocabulary[_TEXT_END],
        do_sample=True,
        temperature=0.7,
        top_p=0.8,
        top_k=20,
    )
