"""Answers drawn from a policy, and how likely a policy holds them to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Answer:
    """`ids`: what was said after `prompt`, with the token that ends it if it is `finished`, else it was cut off."""

    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    finished: bool

    def whole(self, end: int) -> tuple[int, ...]:
        """Prompt and answer, ended if need be: a reward model reads the end token."""
        return self.prompt + self.ids + (() if self.finished else (end,))


@dataclass(frozen=True, slots=True)
class Likelihood:
    """By token, (answers, longest): `log_probs` in nats; `mask`; `states`, (answers, longest, hidden), what the
    policy had read before the token, cut off from the gradient.
    """

    log_probs: Any
    mask: Any
    states: Any


def draw(
    model: Any,
    prompts: Sequence[tuple[int, ...]],
    *,
    end: int,
    room: int,
    temperature: float,
    seed: int,
    together: int,
) -> list[Answer]:
    """One answer a prompt, at most `room` tokens, `together` at a time. The same seed draws the same. Blocking.

    From the whole distribution, as likelihoods are of it: no top-k or top-p.
    """
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    answers: list[Answer] = []
    with torch.no_grad():
        for start in range(0, len(prompts), together):
            chunk = prompts[start : start + together]
            said = _said(model, chunk, end, room, temperature, generator)
            answers += [_ended(prompt, ids, end) for prompt, ids in zip(chunk, said, strict=True)]
    return answers


def _said(
    model: Any, prompts: Sequence[tuple[int, ...]], end: int, room: int, temperature: float, generator: Any
) -> list[list[int]]:
    longest, device = max(map(len, prompts)), next(model.parameters()).device
    ids = torch.tensor([[end] * (longest - len(one)) + list(one) for one in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in prompts], device=device)
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    drawn, cache = [], None
    for _ in range(room):
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        read = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        chances = torch.softmax(read.logits[:, -1].float() / temperature, dim=-1)
        token = torch.multinomial(chances, 1, generator=generator)[:, 0].masked_fill(ended, end)
        drawn.append(token)
        ended = ended | (token == end)
        if bool(ended.all()):
            break
        ids, cache = token[:, None], read.past_key_values
        mask = torch.cat((mask, mask.new_ones(len(prompts), 1)), dim=1)
    return [list(row) for row in torch.stack(drawn, dim=1).tolist()]


def _ended(prompt: tuple[int, ...], said: list[int], end: int) -> Answer:
    finished = end in said
    return Answer(prompt, tuple(said[: said.index(end) + 1] if finished else said), finished)


def likelihood(model: Any, answers: Sequence[Answer], temperature: float) -> Likelihood:
    """Of the answers under the adapter that is active, at the temperature they were drawn at.

    Only the answers' tokens go through the output head, which is most of a small model.
    """
    device = next(model.parameters()).device
    rows = [answer.prompt + answer.ids for answer in answers]
    longest = max(map(len, rows))
    ids = torch.tensor([[*one, *[0] * (longest - len(one))] for one in rows], device=device)
    attended = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in rows], device=device)
    width = max(len(answer.ids) for answer in answers)
    lengths = torch.tensor([len(answer.ids) for answer in answers], device=device)
    mask = torch.arange(width, device=device) < lengths[:, None]
    before = torch.tensor([len(answer.prompt) - 1 for answer in answers], device=device)
    places = (before[:, None] + torch.arange(width, device=device)).clamp(max=longest - 2)
    base = model.get_base_model()
    hidden = base.get_decoder()(input_ids=ids, attention_mask=attended, use_cache=False).last_hidden_state
    states = hidden.gather(1, places[:, :, None].expand(-1, -1, hidden.shape[2]))
    said = ids.gather(1, places + 1)[mask]
    scores = torch.log_softmax(base.get_output_embeddings()(states[mask]).float() / temperature, dim=-1)
    of_said = scores.gather(1, said[:, None])[:, 0]
    log_probs = of_said.new_zeros(mask.shape).masked_scatter(mask, of_said)
    return Likelihood(log_probs, mask, states.detach().float())
