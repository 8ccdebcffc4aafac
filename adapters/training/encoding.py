"""Conversations as token ids, exactly as the engine reads them, with the answers marked.

The chat template is the base model's own file, which is also what vLLM uses, and it is rendered whole before it is
split into tokens: a text that is split in parts can split differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapters.training.conversation import Conversation
from adapters.training.data.lines import Problems

IGNORED = -100
"""The label of a token that is not learnt, by PyTorch's convention."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """`labels`, as long as `ids`: the ids of the answers' tokens and of the token that ends each, else IGNORED."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def learnt(self) -> int:
        """How many tokens count in the loss."""
        return sum(label != IGNORED for label in self.labels)

    @property
    def sequences(self) -> tuple[tuple[int, ...], ...]:
        """What the model reads for this row."""
        return (self.ids,)


def encode_all(
    tokenizer: Any, rows: Sequence[Conversation], max_tokens: int, file: str
) -> tuple[Encoded, ...]:
    """Every row encoded. Raises BadRows that names every row too long, or that the template cannot say."""
    problems = Problems(file)
    encoded: list[Encoded] = []
    for row in rows:
        try:
            encoded.append(within(max_tokens, encode(tokenizer, row)))
        except ValueError as error:
            problems.add(row.line, str(error))
    problems.stop_if_any()
    return tuple(encoded)


def within(max_tokens: int, row: Encoded) -> Encoded:
    """`row`, if it is not too long. Raises ValueError."""
    if len(row.ids) > max_tokens:
        raise ValueError(f"{len(row.ids)} tokens, data.max_tokens is {max_tokens}; shorten it or raise that")
    return row


def encode(tokenizer: Any, row: Conversation) -> Encoded:
    """One row. Raises ValueError where the template changes what was said before when a turn is added."""
    messages = row.messages()
    for token in tokenizer.all_special_tokens:
        if any(token in message["content"] for message in messages):
            raise ValueError(f"the text holds {token}, which ends or begins a turn in this model's template")
    whole = render(tokenizer, messages, ask=False)
    spans = [
        _answer_span(tokenizer, messages, position, whole)
        for position, message in enumerate(messages)
        if message["role"] == "assistant"
    ]
    split = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = split["input_ids"], split["offset_mapping"]
    starts = {start for start, _ in offsets}
    for start, _ in spans:
        if start not in starts:
            raise ValueError(
                "a token runs from the prompt into the answer, so that serving would read it otherwise"
            )
    labels = [
        token if any(start <= begin and end <= stop and end > begin for start, stop in spans) else IGNORED
        for token, (begin, end) in zip(ids, offsets, strict=True)
    ]
    return Encoded(tuple(ids), tuple(labels))


def _answer_span(
    tokenizer: Any, messages: list[dict[str, str]], position: int, whole: str
) -> tuple[int, int]:
    """From where to where an answer stands in the rendered text, its end token included."""
    asked = render(tokenizer, messages[:position], ask=True)
    if not whole.startswith(asked):
        raise ValueError("the chat template does not put the answer after the prompt that serving would send")
    content = messages[position]["content"]
    end = whole.find(tokenizer.eos_token, len(asked))
    if end < 0 or whole[len(asked) : end].strip() != content.strip():
        raise ValueError("the chat template does not end an answer with the model's end token")
    return len(asked), end + len(tokenizer.eos_token)


def render(tokenizer: Any, messages: list[dict[str, str]], *, ask: bool) -> str:
    """The text a model reads; with `ask`, up to where its answer begins."""
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask))
