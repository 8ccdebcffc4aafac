"""The model a run learns from: what it has in common with the learner, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from adapters.training.conversation import Conversation
from adapters.training.encoding import render
from adapters.training.method import Progress
from adapters.vllm_plugin.base_model import fingerprint


@dataclass(frozen=True, slots=True)
class Teacher:
    """`shared`: whether its tokens are the learner's; `size`: of its weights, in bytes."""

    folder: Path
    fingerprint: str
    shared: bool
    size: int

    def lines(self, answer_tokens: int) -> tuple[tuple[str, str], ...]:
        """What a person reads."""
        how = (
            "by its probabilities: one vocabulary"
            if self.shared
            else f"by its answers of at most {answer_tokens} tokens: another vocabulary"
        )
        return (("teacher", f"{self.folder.name}, {how}"),)


def read_teacher(folder: Path, tokenizer: Any) -> Teacher:
    """Raises OSError."""
    vocabulary = AutoTokenizer.from_pretrained(folder).get_vocab()
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return Teacher(folder, fingerprint(folder), vocabulary == tokenizer.get_vocab(), size)


def load_teacher(teacher: Teacher) -> Any:
    """The model, for reading only."""
    model = AutoModelForCausalLM.from_pretrained(teacher.folder, dtype=torch.bfloat16)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    return model.eval().requires_grad_(False)


def answers(
    teacher: Teacher, rows: Sequence[Conversation], longest: int, file: Path, tell: Progress
) -> list[str | None]:
    """The teacher's greedy answer to the last question of every row; None where it is empty or longer than `longest`.

    They are kept in `file` as they come, and a later call goes on behind the last whole one.
    """
    known = _kept(file)
    if len(known) < len(rows):
        model, tokenizer = load_teacher(teacher), AutoTokenizer.from_pretrained(teacher.folder)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as kept:
            kept.writelines(orjson.dumps(one) + b"\n" for one in known)
            for row in rows[len(known) :]:
                known.append(_answer(model, tokenizer, row.messages()[:-1], longest))
                kept.write(orjson.dumps(known[-1]) + b"\n")
                kept.flush()
                tell.step(len(known), len(rows), {})
    return known


def _kept(file: Path) -> list[str | None]:
    if not file.exists():
        return []
    # What was cut off ends without a line break.
    return [orjson.loads(line) for line in file.read_bytes().split(b"\n")[:-1]]


def _answer(model: Any, tokenizer: Any, prompt: list[dict[str, str]], longest: int) -> str | None:
    text = render(tokenizer, prompt, ask=True)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids.to(model.device)
    with torch.inference_mode():
        said = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=longest + 1,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id,
        )[0, ids.shape[1] :].tolist()
    if not said or said[-1] != tokenizer.eos_token_id:
        return None
    return str(tokenizer.decode(said, skip_special_tokens=True)).strip() or None
