"""The behavioural fingerprint of what was just trained, recorded where it was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from adapters.behaviour import PROMPTS, RECORDED_TOKENS


def record(base: Path, adapter: Path) -> list[dict[str, Any]]:
    """Greedy tokens and their natural log-probabilities for each prompt, in the form a card carries. Blocking.

    In bfloat16, as engines serve it. The prompts are plain text without special tokens, as engines get them.
    """
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16), adapter
    )
    model.eval()
    return [_passage(model, tokenizer, prompt) for prompt in PROMPTS]


def _passage(model: Any, tokenizer: Any, prompt: str) -> dict[str, Any]:
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    tokens: list[int] = []
    logprobs: list[float] = []
    with torch.inference_mode():
        for _ in range(RECORDED_TOKENS):
            scores = torch.log_softmax(model(ids).logits[0, -1].float(), dim=-1)
            best = int(scores.argmax())
            tokens.append(best)
            logprobs.append(float(scores[best]))
            ids = torch.cat((ids, torch.tensor([[best]])), dim=1)
    return {"prompt": prompt, "tokens": tokens, "logprobs": logprobs}
