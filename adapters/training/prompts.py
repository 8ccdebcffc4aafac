"""Prompts that a policy answers: read with their line numbers, from whatever rows begin with one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from adapters.training.conversation import with_system
from adapters.training.data.lines import BadRows, Problems, read_lines
from adapters.training.data.shapes import Dialogue, Turns, read_row
from adapters.training.preferences import prompt_ids

_PLACEHOLDER = "-"


@dataclass(frozen=True, slots=True)
class Prompt:
    """Turns up to the user's last. `line` counts from 1."""

    line: int
    turns: Turns


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """`ids`: as serving would send it; `room`: how many tokens an answer may have."""

    ids: tuple[int, ...]
    room: int

    @property
    def learnt(self) -> int:
        """How many tokens an answer has at most."""
        return self.room

    @property
    def sequences(self) -> tuple[tuple[int, ...], ...]:
        """What the model reads at most, the answer's tokens not yet known."""
        return (self.ids + (0,) * self.room,)


def read_prompts(path: Path, system: str = "") -> tuple[Prompt, ...]:
    """Every row's prompt: a row may be a prompt alone, or whatever has an answer too. Raises BadRows, OSError.

    `system` goes before a prompt that has no system message of its own.
    """
    problems = Problems(path.name)
    prompts: list[Prompt] = []
    for line, value in read_lines(path, problems):
        try:
            prompts.append(Prompt(line, with_system(_turns(value), system)))
        except ValueError as error:
            problems.add(line, str(error))
    problems.stop_if_any()
    if not prompts:
        raise BadRows(f'{path.name}: no rows; expected one JSON object a line: {{"prompt": …}} or a dialogue')
    return tuple(prompts)


def _turns(value: Any) -> Turns:
    if isinstance(value, Mapping) and set(value) == {"prompt"}:
        value = {
            **value,
            "chosen": _PLACEHOLDER,
            "rejected": _PLACEHOLDER * 2,
        }  # read as strictly as a pair's
    row = read_row(value)
    return row.turns[:-1] if isinstance(row, Dialogue) else row.prompt


def check_unseen(
    prompts: Sequence[Prompt], file: str, held_out: Sequence[Prompt], held_out_file: str
) -> None:
    """Raises BadRows for held-out prompts that are trained on: gold is to be measured where nothing was learnt."""
    lines = {prompt.turns: prompt.line for prompt in prompts}
    problems = Problems(held_out_file)
    for prompt in held_out:
        if (line := lines.get(prompt.turns)) is not None:
            problems.add(prompt.line, f"asks what {file}:{line} asks; hold out other prompts")
    problems.stop_if_any()


def encode_prompts(
    tokenizer: Any, prompts: Sequence[Prompt], room: int, max_tokens: int, file: str
) -> tuple[EncodedPrompt, ...]:
    """Every prompt encoded. Raises BadRows that names every one that leaves an answer of `room` tokens no place."""
    problems = Problems(file)
    encoded: list[EncodedPrompt] = []
    for prompt in prompts:
        ids = prompt_ids(tokenizer, prompt.turns)
        if any(token in text for token in tokenizer.all_special_tokens for _, text in prompt.turns):
            problems.add(prompt.line, "the text holds a token that ends or begins a turn in this template")
        elif len(ids) + room > max_tokens:
            problems.add(
                prompt.line,
                f"{len(ids)} tokens and {room} of method.max_new_tokens, data.max_tokens is {max_tokens}",
            )
        else:
            encoded.append(EncodedPrompt(ids, room))
    problems.stop_if_any()
    return tuple(encoded)


def prompts_digest(prompts: Sequence[Prompt]) -> str:
    """sha256 (hex) of the prompts in their order."""
    whole = sha256()
    for prompt in prompts:
        whole.update(orjson.dumps(prompt.turns) + b"\n")
    return whole.hexdigest()
