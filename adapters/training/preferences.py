"""Preference pairs: read with their line numbers, encoded as the engine reads the prompt and either answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from adapters.training.conversation import Conversation, read_each, with_system
from adapters.training.data.lines import Problems
from adapters.training.data.shapes import Preference, Row, Shape, Turns
from adapters.training.encoding import IGNORED, Encoded, encode, render, within

_SHAPE = f"{Shape.PREFERENCES} (prompt, chosen, rejected)"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to the user's last turn in `prompt`. `line` counts from 1."""

    line: int
    prompt: Turns
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """Prompt with either answer; only the last answer and the token that ends it are learnt, nothing follows it.

    The first `prompt` ids of both are the prompt as serving would send it.
    """

    prompt: int
    chosen: Encoded
    rejected: Encoded

    @property
    def learnt(self) -> int:
        """How many tokens count in the loss."""
        return self.chosen.learnt + self.rejected.learnt

    @property
    def sequences(self) -> tuple[tuple[int, ...], ...]:
        """What the model reads for this pair."""
        return (self.chosen.ids, self.rejected.ids)


def read_pairs(path: Path, system: str = "") -> tuple[Pair, ...]:
    """Every pair. Raises BadRows with line numbers, also where a pair says the opposite of an earlier one; OSError.

    `system` goes before a prompt that has no system message of its own.
    """
    said: dict[tuple[Turns, str, str], int] = {}

    def taken(line: int, row: Row, shape: Shape) -> Pair:
        if not isinstance(row, Preference):
            raise ValueError(f"{shape.value}, not {_SHAPE}")
        prompt = with_system(row.prompt, system)
        if (before := said.get((prompt, row.rejected, row.chosen))) is not None:
            raise ValueError(f"prefers what line {before} rejects, and the other way round; drop one of them")
        said.setdefault((prompt, row.chosen, row.rejected), line)
        return Pair(line, prompt, row.chosen, row.rejected)

    return read_each(path, taken, _SHAPE)


def pairs_digest(pairs: tuple[Pair, ...]) -> str:
    """sha256 (hex) of the pairs in their order."""
    whole = sha256()
    for pair in pairs:
        whole.update(orjson.dumps((pair.prompt, pair.chosen, pair.rejected)) + b"\n")
    return whole.hexdigest()


def encode_pairs(
    tokenizer: Any, pairs: Sequence[Pair], max_tokens: int, file: str
) -> tuple[EncodedPair, ...]:
    """Every pair encoded. Raises BadRows that names every pair too long, or that the template cannot say."""
    problems = Problems(file)
    encoded: list[EncodedPair] = []
    for pair in pairs:
        try:
            encoded.append(_encode_pair(tokenizer, pair, max_tokens))
        except ValueError as error:
            problems.add(pair.line, str(error))
    problems.stop_if_any()
    return tuple(encoded)


def _encode_pair(tokenizer: Any, pair: Pair, max_tokens: int) -> EncodedPair:
    prompt = prompt_ids(tokenizer, pair.prompt)

    def answered(name: str, text: str) -> Encoded:
        try:
            return encode_answer(tokenizer, pair.prompt, text, max_tokens)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    return EncodedPair(len(prompt), answered("chosen", pair.chosen), answered("rejected", pair.rejected))


def prompt_ids(tokenizer: Any, prompt: Turns) -> tuple[int, ...]:
    """The prompt as serving would send it, up to where the answer begins."""
    asked = [{"role": role, "content": text} for role, text in prompt]
    return tuple(tokenizer(render(tokenizer, asked, ask=True), add_special_tokens=False)["input_ids"])


def encode_answer(tokenizer: Any, prompt: Turns, text: str, max_tokens: int) -> Encoded:
    """The prompt and one answer to it, up to the token that ends the answer, which alone is learnt.

    Raises ValueError where it is too long, or the template cannot say it.
    """
    asked = prompt_ids(tokenizer, prompt)
    row = encode(tokenizer, Conversation(1, (*prompt, ("assistant", text))))
    if row.ids[: len(asked)] != asked:
        raise ValueError("the prompt is split into other tokens than serving would send")
    end = max(place for place, label in enumerate(row.labels, 1) if label != IGNORED)
    ids = row.ids[:end]
    return within(max_tokens, Encoded(ids, (IGNORED,) * len(asked) + ids[len(asked) :]))
