"""Greedy answers of the base model and of what was trained on it, where it was trained: no server is asked.

One question at a time, in the precision that engines serve, so that neither padding nor company moves an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from adapters.training.encoding import render
from adapters.training.method import Trained

Prompt = Sequence[dict[str, str]]


def prompt_tokens(tokenizer: Any, prompt: Prompt) -> list[int]:
    """What the model reads, as the engine renders it."""
    text = render(tokenizer, list(prompt), ask=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


@contextmanager
def answering(
    base: Path, trained: Trained | None, tokenizer: Any, max_tokens: int
) -> Iterator[Callable[[Prompt], str]]:
    """A function that answers a prompt; `trained` None: of the base model itself. Blocking."""
    folder = base if trained is None or trained.kind == "adapter" else trained.folder
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    if trained is not None and trained.kind == "adapter":
        model = PeftModel.from_pretrained(model, trained.folder)
    model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    device = next(model.parameters()).device

    def answer(prompt: Prompt) -> str:
        ids = torch.tensor([prompt_tokens(tokenizer, prompt)], device=device)
        with torch.inference_mode():
            said = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=max_tokens,
                pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id,
            )
        return str(tokenizer.decode(said[0, ids.shape[1] :], skip_special_tokens=True))

    yield answer
