"""A policy's run, apart from the training itself: its prompts and reward models read and checked, and its plan."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import orjson

from adapters.package import WEIGHTS
from adapters.training.conversation import digest_of, read_conversations
from adapters.training.encoding import Encoded, encode_all
from adapters.training.feedback import Ppo
from adapters.training.plan import Plan, make_plan, require
from adapters.training.prompts import (
    EncodedPrompt,
    check_unseen,
    encode_prompts,
    prompts_digest,
    read_prompts,
)
from adapters.training.recipe import Recipe
from adapters.training.reward_model import RewardFolder, read_reward
from adapters.training.start import Start, read_start

_LOGITS = 3
"""Copies of an answer's scores over the vocabulary that a pass holds at once, in single precision."""


@dataclass(frozen=True, slots=True)
class PolicyInputs:
    """`held_out`: prompts to answer. `ordinary`: the same rows with their own answers. `digest`: of all of them."""

    prompts: tuple[EncodedPrompt, ...]
    held_out: tuple[EncodedPrompt, ...]
    ordinary: tuple[Encoded, ...]
    reward: RewardFolder
    gold: RewardFolder
    start: Start | None
    digest: str
    plan: Plan

    def digests(self) -> dict[str, str]:
        """What else it was made from, as run and card name it."""
        return {"reward_digest": self.reward.digest, "gold_digest": self.gold.digest}


def prepare_policy(recipe: Recipe, settings: Ppo, tokenizer: Any) -> PolicyInputs:
    """Raises BadRows, NotAReward, NotServable, TooLittle, ValueError, OSError."""
    data = recipe.data
    assert data.held_out is not None
    reward = read_reward(settings.reward, recipe.base, "method.reward")
    gold = read_reward(settings.gold, recipe.base, "method.gold")
    if reward.digest == gold.digest:
        raise ValueError("method.gold: it is the same model as method.reward, so it would be optimised too")
    start = read_start(settings.start_from, recipe.base) if settings.start_from is not None else None
    prompts = read_prompts(data.train, data.system)
    kept = read_prompts(data.held_out, data.system)
    check_unseen(prompts, data.train.name, kept, data.held_out.name)
    rows = read_conversations(data.held_out, data.system)
    room = settings.max_new_tokens
    encoded = encode_prompts(tokenizer, prompts, room, data.max_tokens, data.train.name)
    held_out = encode_prompts(tokenizer, kept, room, data.max_tokens, data.held_out.name)
    ordinary = encode_all(tokenizer, rows, data.max_tokens, data.held_out.name)
    plan = _plan(recipe, settings, encoded, held_out, (reward, gold), start)
    require(plan, recipe.out)
    digest = sha256((prompts_digest(prompts) + digest_of(rows)).encode("ascii")).hexdigest()
    return PolicyInputs(encoded, held_out, ordinary, reward, gold, start, digest, plan)


def _plan(
    recipe: Recipe,
    settings: Ppo,
    prompts: tuple[EncodedPrompt, ...],
    held_out: tuple[EncodedPrompt, ...],
    judges: tuple[RewardFolder, ...],
    start: Start | None,
) -> Plan:
    plan = make_plan(recipe, prompts, held_out, start)
    steps = math.ceil(math.ceil(len(prompts) / settings.prompts) * settings.epochs)
    steps = min(steps, settings.max_steps or steps)
    adapters = sum((one / WEIGHTS).stat().st_size for judge in judges for one in judge.member_folders)
    vocabulary = orjson.loads((recipe.base / "config.json").read_bytes())["vocab_size"]
    scores = settings.batch * settings.max_new_tokens * vocabulary * 4 * _LOGITS
    answers = settings.prompts * settings.samples
    evaluations = 1 + math.ceil(steps / settings.checkpoint_every)
    return replace(
        plan,
        steps=steps,
        memory=plan.memory + adapters + scores,
        more=(
            (
                "a step",
                f"{answers:,} answers of at most {settings.max_new_tokens:,} tokens, {settings.passes} times",
            ),
            ("answers", f"{steps * answers:,} to learn from, {evaluations * len(held_out):,} held out"),
            ("reward models", f"{judges[0].members} earned, {judges[1].members} gold"),
        ),
    )
