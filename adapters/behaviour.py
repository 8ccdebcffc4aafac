"""Behavioural fingerprint: does an engine make of an adapter what was made of it where it was recorded?

A fingerprint is a few prompts with the adapter's greedy tokens and their log-probabilities. An engine is
compared by teacher forcing: it is given prompt and recorded tokens and asked for the probability of each, so
that one greedy choice that falls the other way by rounding does not make the rest incomparable.

Two demands. The mean |Δ log-probability| (nats per token) to the record is within a tolerance; and the
engine's answer is clearly closer to the record than to its own base model on the same tokens, which catches an
adapter the engine silently ignores, however small the adapter's effect. An adapter that changes nothing
anywhere is refused.

Prefix caching cannot hide an error: vLLM does not read the cache for a request that wants prompt
log-probabilities, and every request here carries its own cache salt.
"""

import math
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from adapters.engine_api import AdapterRefused, EngineApi, EngineFault

T = TypeVar("T")

TOLERANCE = 0.15
"""Nats per token. Measured on Qwen2.5-0.5B with five adapters: the same engine again, also under load, 0.0000; a
record made in bf16 and an engine in INT8, 0.05 to 0.08; another adapter, 0.04 to 0.29 (tiny model: 58).
"""
CLOSER = 0.8
"""The distance to the record must be below this part of the distance to the base model: in the same measurement
another adapter reached 0.91 within the tolerance. An adapter whose effect is as small as the difference between two
number formats (0.07) cannot be told from noise and has to be recorded in the format it is served in.
"""
NO_EFFECT = 1e-3
NOT_FINITE = "the engine's log-probabilities are not all finite numbers (NaN or infinite)"
RECORDED_TOKENS = 8
PASSAGES_PER_REQUEST = 4

PROMPTS = (
    "问：请问你们的营业时间是几点到几点？\n答：",
    "客户：我的信用卡丢了，现在应该怎么办？\n客服：",
    "Question: What are the fees for an international transfer?\nAnswer:",
    "Write one short sentence about saving money.\n",
)
"""What an engine is asked when the package's card brings no fingerprint of its own."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A prompt, the adapter's greedy continuation (token ids) and each token's natural log-probability."""

    prompt: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`distance`, `base_distance`: mean |Δ log-probability| of the engine's answer to the record and to its
    own base model; `effect`: the largest |Δ| between the adapter and the base model on any token. Nats.
    """

    ok: bool
    reason: str
    distance: float
    base_distance: float
    effect: float


def to_json(passages: Sequence[Passage]) -> str:
    """The form a card carries and the registry keeps."""
    return orjson.dumps(
        [{"prompt": p.prompt, "tokens": p.tokens, "logprobs": p.logprobs} for p in passages]
    ).decode()


def parse(value: object) -> tuple[Passage, ...]:
    """A fingerprint from a card's `behaviour` (already decoded). Raises ValueError when it is malformed."""
    if not isinstance(value, list) or not value:
        raise ValueError("behaviour: expected a list of {prompt, tokens, logprobs}, at least one")
    return tuple(_passage(index, entry) for index, entry in enumerate(value))


def _passage(index: int, entry: object) -> Passage:
    try:
        if not isinstance(entry, Mapping):
            raise TypeError("not an object")
        passage = Passage(
            str(entry["prompt"]),
            tuple(int(token) for token in entry["tokens"]),
            tuple(float(logprob) for logprob in entry["logprobs"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"behaviour[{index}]: {error}: expected prompt, tokens and logprobs") from error
    if not passage.tokens or len(passage.tokens) != len(passage.logprobs):
        raise ValueError(f"behaviour[{index}]: tokens and logprobs must be equally many, at least one")
    if not all(math.isfinite(logprob) for logprob in passage.logprobs):
        raise ValueError(f"behaviour[{index}]: a log-probability is not finite")
    return passage


def judge(
    recorded: Sequence[float], measured: Sequence[float], base: Sequence[float], tolerance: float = TOLERANCE
) -> Comparison:
    """Compare log-probabilities of the same tokens: as recorded, from the engine, from its base model.
    Pure."""
    if not recorded or not len(recorded) == len(measured) == len(base):
        return _failed(
            f"{len(recorded)} recorded, {len(measured)} measured, {len(base)} base log-probabilities"
        )
    if not all(map(math.isfinite, (*recorded, *measured, *base))):
        return _failed(NOT_FINITE)
    distance, base_distance = _mean_gap(recorded, measured), _mean_gap(base, measured)
    effect = max(abs(a - b) for a, b in zip(measured, base, strict=True))
    reason = ""
    if effect <= NO_EFFECT:
        reason = (
            "the adapter has no effect: its answers have the base model's probabilities on every prompt "
            "(untrained weights, or the engine ignores them)"
        )
    elif distance > tolerance:
        reason = (
            f"the engine's answers differ from the recorded behaviour by {distance:.3f} nats per token, "
            f"tolerance {tolerance:g} (other weights, another base model or a wrong scaling)"
        )
    elif distance > CLOSER * base_distance:
        reason = (
            f"the engine's answers are about as close to the base model ({base_distance:.4f} nats per token) "
            f"as to the recorded behaviour ({distance:.4f}): the adapter is ignored, or its effect is too small to "
            "tell; without `behaviour` in card.json the engine records its own"
        )
    return Comparison(not reason, reason, distance, base_distance, effect)


def _failed(reason: str) -> Comparison:
    return Comparison(False, reason, math.nan, math.nan, math.nan)


def _mean_gap(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(abs(x - y) for x, y in zip(a, b, strict=True)) / len(a)


async def warm_up(engine: EngineApi, base_model: str) -> None:
    """Ask once for what users and probes ask: the first time compiles for seconds. Raises EngineError."""
    await engine.complete({"model": base_model, "prompt": PROMPTS[0], "max_tokens": 4})
    await _forced(engine, base_model, [await engine.tokenize(base_model, PROMPTS[0])], [[0]])


async def record(engine: EngineApi, version: str, prompts: Sequence[str] = PROMPTS) -> tuple[Passage, ...]:
    """The fingerprint of a loaded `version` on this engine. Raises EngineError."""
    prompt_ids = [await engine.tokenize(version, prompt) for prompt in prompts]
    continuations = await _greedy(engine, version, prompt_ids)
    logprobs = await _forced(engine, version, prompt_ids, continuations)
    return tuple(
        Passage(prompt, tokens, tuple(row))
        for prompt, tokens, row in zip(prompts, continuations, logprobs, strict=True)
    )


async def compare(
    engine: EngineApi,
    base_model: str,
    version: str,
    passages: Sequence[Passage],
    tolerance: float = TOLERANCE,
) -> Comparison:
    """Compare a loaded `version` on this engine with its fingerprint. Raises EngineError."""
    prompt_ids = [await engine.tokenize(base_model, passage.prompt) for passage in passages]
    continuations = [passage.tokens for passage in passages]
    measured = await _forced(engine, version, prompt_ids, continuations)
    base = await _forced(engine, base_model, prompt_ids, continuations)
    recorded = [passage.logprobs for passage in passages]
    return judge(_flat(recorded), _flat(measured), _flat(base), tolerance)


def _flat(rows: Iterable[Sequence[float]]) -> list[float]:
    return [value for row in rows for value in row]


async def _greedy(engine: EngineApi, model: str, prompts: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    for batch in _batches(prompts):
        choices = await _choices(
            engine,
            {
                "model": model,
                "prompt": batch,
                "max_tokens": RECORDED_TOKENS,
                "ignore_eos": True,
                "return_token_ids": True,
            },
        )
        found += [tuple(int(token) for token in choice["token_ids"]) for choice in choices]
    return found


async def _forced(
    engine: EngineApi, model: str, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
) -> list[list[float]]:
    """Log-probability of each continuation token given all tokens before it; shape as `continuations`."""
    rows: list[list[float]] = []
    pairs = zip(prompts, continuations, strict=True)
    for batch in _batches([([*p, *c], len(p)) for p, c in pairs]):
        choices = await _choices(
            engine,
            {"model": model, "prompt": [ids for ids, _ in batch], "max_tokens": 1, "prompt_logprobs": 0},
        )
        for (ids, start), choice in zip(batch, choices, strict=True):
            rows.append([_logprob(choice["prompt_logprobs"][i], ids[i]) for i in range(start, len(ids))])
    return rows


def _logprob(position: Any, token: int) -> float:
    value = position[str(token)]["logprob"]
    # JSON has no NaN: a server that writes one leaves null.
    return math.nan if value is None else float(value)


def _batches(items: Sequence[T]) -> list[list[T]]:
    # A handful at a time, so that a card with many prompts does not push users' requests aside.
    return [list(items[i : i + PASSAGES_PER_REQUEST]) for i in range(0, len(items), PASSAGES_PER_REQUEST)]


async def _choices(engine: EngineApi, request: Mapping[str, Any]) -> list[Any]:
    """The choices in the order of the prompts."""
    asked = {**request, "temperature": 0, "repetition_penalty": 1.0, "cache_salt": secrets.token_hex(16)}
    try:
        body = await engine.complete(asked)
    except AdapterRefused as refused:
        # vLLM's JSON encoder refuses to write NaN and blames the request.
        if "Out of range float" in str(refused):
            raise AdapterRefused(NOT_FINITE, refused.status) from refused
        raise
    try:
        choices = sorted(body["choices"], key=lambda choice: int(choice["index"]))
    except (KeyError, TypeError, ValueError) as error:
        raise EngineFault(f"engine {engine.url}: a completion without choices ({error!r})", 200) from error
    if len(choices) != len(request["prompt"]):
        raise EngineFault(
            f"engine {engine.url}: {len(choices)} choices for {len(request['prompt'])} prompts", 200
        )
    return choices
