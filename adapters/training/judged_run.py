"""A reward model's run, apart from the training itself: its data read and checked, its plan, its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from adapters.package import CARD
from adapters.training.feedback import Reward
from adapters.training.judgements import (
    EncodedJudgement,
    check_apart,
    encode_judgements,
    judgements_digest,
    rater_scales,
    read_judgements,
)
from adapters.training.plan import Plan, make_plan, require
from adapters.training.recipe import Recipe
from adapters.training.reward_model import member_digests
from adapters.vllm_plugin.base_model import fingerprint


@dataclass(frozen=True, slots=True)
class Judged:
    """Judgements, read and checked. `digest`: sha256 (hex) of all of them."""

    train: tuple[EncodedJudgement, ...]
    held_out: tuple[EncodedJudgement, ...]
    digest: str
    plan: Plan


def prepare_judgements(recipe: Recipe, settings: Reward, tokenizer: Any) -> Judged:
    """Raises BadRows, TooLittle, ValueError, OSError."""
    data = recipe.data
    train = read_judgements(data.train, data.system)
    kept = read_judgements(data.held_out, data.system) if data.held_out is not None else ()
    scales = rater_scales(train, data.train.name)
    rows = encode_judgements(tokenizer, train, scales, data.max_tokens, data.train.name)
    held_out: tuple[EncodedJudgement, ...] = ()
    if data.held_out is not None:
        check_apart(train, data.train.name, kept, data.held_out.name)
        held_out = encode_judgements(tokenizer, kept, scales, data.max_tokens, data.held_out.name)
    # Memory is planned by the first row's number of sequences.
    by_size = sorted(rows, key=lambda row: -len(row.answers))
    plan = make_plan(recipe, by_size, held_out)
    pairs = sum(row.score is None for row in train)
    raters = len({row.rater for row in train if row.score is not None})
    judged = f"{pairs:,} pairs, {len(rows) - pairs:,} scores" + (f" of {raters:,} raters" if raters else "")
    plan = replace(
        plan,
        steps=plan.steps * settings.members,
        more=(("judgements", judged), ("members", f"{settings.members}")),
    )
    require(plan, recipe.out)
    return Judged(rows, held_out, judgements_digest(train + kept), plan)


def write_reward_card(folder: Path, recipe: Recipe, data_digest: str, figures: Mapping[str, float]) -> None:
    """What the reward model is made of, so that a run that uses it can check and name it. Raises OSError."""
    assert isinstance(recipe.method, Reward)
    card = {
        "base": {"fingerprint": fingerprint(recipe.base), "name": recipe.base.name},
        "members": recipe.method.members,
        "files": member_digests(folder, recipe.method.members),
        "dataset_digest": data_digest,
        "recipe_digest": recipe.digest(),
        "method": "reward",
        "seed": recipe.seed,
        "evaluation": {name: round(value, 6) for name, value in sorted(figures.items())},
    }
    (folder / CARD).write_bytes(orjson.dumps(card, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
