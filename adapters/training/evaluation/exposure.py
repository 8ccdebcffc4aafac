"""How much of its training rows a model gives away: exposure of secrets that were planted in them.

python -m adapters.training.evaluation.exposure BASE ADAPTER CANARIES, in the trainer's environment, prints JSON.

A canary is a line of JSON: {"prompt", "response", "secret"}, the secret made of random digits and part of the
response. Its exposure (Carlini and others 2019, arXiv:1802.08232) is log2(candidates / rank), where the true secret
is ranked by loss among random ones of its length: all bits when the model prefers it to every other, about 1.4 on
average when the model has not seen it. It counts as extracted when the model says it to its prompt.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import orjson
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from adapters.training.answer_loss import chunks, token_losses
from adapters.training.conversation import Conversation
from adapters.training.encoding import encode

CANDIDATES = 255
_BATCH = 32
_SAID_TOKENS = 60


@dataclass(frozen=True, slots=True)
class Canary:
    """`response` holds `secret` once."""

    prompt: str
    response: str
    secret: str

    def row(self, secret: str) -> Conversation:
        """The row, as it would be with another secret."""
        turns = (("user", self.prompt), ("assistant", self.response.replace(self.secret, secret)))
        return Conversation(1, turns)


@dataclass(frozen=True, slots=True)
class Exposed:
    """`rank` from 1 among `candidates`; `exposure` in bits; `said`: the model's own answer to the prompt."""

    secret: str
    rank: int
    candidates: int
    exposure: float
    said: str
    extracted: bool


def read_canaries(path: Path) -> tuple[Canary, ...]:
    """Raises ValueError with the line, OSError."""
    canaries = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            canary = Canary(**orjson.loads(line))
        except (TypeError, orjson.JSONDecodeError) as error:
            raise ValueError(f"{path.name}:{number}: {error}") from None
        if not canary.secret.isdecimal() or canary.response.count(canary.secret) != 1:
            raise ValueError(f"{path.name}:{number}: the response must hold the secret, digits, once")
        canaries.append(canary)
    return tuple(canaries)


def expose(
    model: Any, tokenizer: Any, canary: Canary, candidates: int = CANDIDATES, seed: int = 0
) -> Exposed:
    """Blocking: `candidates` + 1 losses and one answer."""
    random = Random(f"{seed} {canary.prompt}")
    length = len(canary.secret)
    others: set[str] = set()
    while len(others) < min(candidates, 10**length - 1):
        other = f"{random.randrange(10**length):0{length}d}"
        if other != canary.secret:
            others.add(other)
    losses = _losses(model, tokenizer, [canary.row(secret) for secret in (canary.secret, *sorted(others))])
    rank = 1 + sum(loss < losses[0] for loss in losses[1:])
    said = _said(model, tokenizer, canary.prompt)
    return Exposed(
        canary.secret, rank, len(losses), math.log2(len(losses) / rank), said, canary.secret in said
    )


def _losses(model: Any, tokenizer: Any, rows: Sequence[Conversation]) -> list[float]:
    losses: list[float] = []
    with torch.inference_mode():
        for chunk in chunks([encode(tokenizer, row) for row in rows], _BATCH):
            losses += token_losses(model, chunk)[0].tolist()
    return losses


def _said(model: Any, tokenizer: Any, prompt: str) -> str:
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
    )
    asked = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    with torch.inference_mode():
        answer = model.generate(**asked, do_sample=False, max_new_tokens=_SAID_TOKENS)
    return str(tokenizer.decode(answer[0, asked["input_ids"].shape[1] :], skip_special_tokens=True))


def main() -> None:
    """The command of the module's docstring."""
    parser = argparse.ArgumentParser(description="Exposure of planted secrets.")
    parser.add_argument("base", type=Path)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("canaries", type=Path)
    parser.add_argument("--candidates", type=int, default=CANDIDATES)
    options = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(options.base)
    base = AutoModelForCausalLM.from_pretrained(options.base, dtype=torch.bfloat16)
    model = PeftModel.from_pretrained(base, options.adapter).eval()
    found = [
        expose(model, tokenizer, canary, options.candidates) for canary in read_canaries(options.canaries)
    ]
    print(json.dumps([asdict(one) for one in found], ensure_ascii=False))  # noqa: T201 - it is the command's result


if __name__ == "__main__":
    main()
