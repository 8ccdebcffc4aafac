"""A batch of base and adapter requests gives each exactly what it gives alone, on the real engine."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.adapters.vllm_plugin.conftest import Publish
from tests.engine_process import EngineProcess

pytestmark = pytest.mark.engine

PROMPTS = (
    "hello",
    "信用卡年费是多少？",
    "Tell me about fees and loans. " * 9,
    "a",
    '{"name": "get_balance"}',
)
TOKENS = 24
SLOTS = 4


@pytest.fixture
def crowd(engine: EngineProcess, store: Path, publish: Publish) -> Iterator[dict[str, str]]:
    """All four slots taken, the last one too: stock kernels give it to requests without an adapter."""
    markers = dict(publish(marker, rank=(8, 64, 16, 32)[marker % 4]) for marker in range(70, 70 + SLOTS))
    for version in markers:
        assert engine.load(version, store / version)[0] == 200
    yield markers


def answer(engine: EngineProcess, job: tuple[str, str]) -> tuple[str, list[float]]:
    """Text and log-probabilities of a greedy answer."""
    choice = engine.complete(job[0], job[1], max_tokens=TOKENS, logprobs=0)
    return choice["text"], choice["logprobs"]["token_logprobs"]


@pytest.mark.parametrize("seed", range(12))
def test_every_request_gets_what_it_gets_alone(
    engine: EngineProcess, crowd: dict[str, str], seed: int
) -> None:
    chance = random.Random(seed)
    jobs = [(model, prompt) for model in ("base", *crowd) for prompt in PROMPTS]
    chance.shuffle(jobs)
    jobs = [*jobs[: chance.randint(4, len(jobs))], ("base", chance.choice(PROMPTS))]
    alone = {job: answer(engine, job) for job in set(jobs)}
    with ThreadPoolExecutor(len(jobs)) as pool:
        together = list(pool.map(lambda job: answer(engine, job), jobs))
    for job, (text, logprobs) in zip(jobs, together, strict=True):
        assert text == alone[job][0], job
        # bf16 products round differently in batches of other sizes; a foreign adapter is off by whole units.
        assert logprobs == pytest.approx(alone[job][1], abs=0.25), job
        if job[0] != "base":
            assert text == crowd[job[0]] * TOKENS
        else:
            assert not any(marker in text for marker in crowd.values())
