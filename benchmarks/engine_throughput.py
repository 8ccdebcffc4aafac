"""Tokens per second through the gateway beside those of direct calls to the same vLLM.

    python -m benchmarks.engine_throughput [--model DIR]

Streams of fixed length, several at once, direct and through the gateway in turn (every other round the other way
round). The figure is the median of the rounds' ratios. Without `--model`: the tiny model, and the default chat
model if it is prepared.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import uvloop

from app.engine.rundir import run_directory
from benchmarks.report import ROOT, Bound, Result, end_cleanly, show
from benchmarks.wire import Connection, Target
from tests.engine_process import make_tiny_model
from tests.stack import Stack

DEFAULT_MODEL = ROOT / "var" / "models" / "qwen2.5-0.5b-int8"
STREAMS = 4
TOKEN = "benchmark-engine-token"
ASSISTANT = "plain"
_COUNTED = re.compile(rb'"completion_tokens":(\d+)')


@dataclass(frozen=True, slots=True)
class Plan:
    """`tokens` of each stream; `rounds` of a direct and a through run each."""

    tokens: int
    rounds: int


TINY = Plan(tokens=128, rounds=12)
REAL = Plan(tokens=32, rounds=6)


async def measure(stack: Stack, plan: Plan) -> tuple[float, float, float]:
    """Tokens per second direct and through, and the median ratio of a round's pair."""
    socket = run_directory(stack.var) / "engine-0.sock"
    key = await asyncio.to_thread(stack.make_key)
    direct = Target("direct", f"unix://{socket}", {"authorization": f"Bearer {TOKEN}"}, "base")
    through = Target("through", stack.url, {"authorization": f"Bearer {key}"}, ASSISTANT)
    rates: dict[str, list[float]] = {"direct": [], "through": []}
    for number in range(plan.rounds + 1):
        for target in (direct, through) if number % 2 else (through, direct):
            rate = await _tokens_per_second(target, plan.tokens, number)
            if number:  # The first round warms up.
                rates[target.name].append(rate)
    pairs = zip(rates["through"], rates["direct"], strict=True)
    return (
        statistics.median(rates["direct"]),
        statistics.median(rates["through"]),
        statistics.median(ours / theirs for ours, theirs in pairs),
    )


async def _tokens_per_second(target: Target, tokens: int, round_number: int) -> float:
    opened = [await Connection.open(target.url) for _ in range(STREAMS)]
    try:
        requests = [_request(target, tokens, f"{target.name} {round_number} {n}") for n in range(STREAMS)]
        started = perf_counter()
        replies = await asyncio.gather(
            *(connection.call(request) for connection, request in zip(opened, requests, strict=True))
        )
        taken = perf_counter() - started
    finally:
        for connection in opened:
            connection.close()
    for reply in replies:
        counted = _COUNTED.findall(reply.raw)
        if not counted or int(counted[-1]) != tokens:
            raise RuntimeError(
                f"{target.name}: {counted[-1:]} tokens instead of {tokens}: the rate would be wrong"
            )
    return STREAMS * tokens / taken


def _request(target: Target, tokens: int, start: str) -> bytes:
    # The start is new each time, so that nothing comes out of the engine's prefix cache.
    return target.request(
        {
            "messages": [{"role": "user", "content": f"{start}: tell me about savings accounts."}],
            "max_tokens": tokens,
            "ignore_eos": True,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    )


def run(model: Path | None = None) -> Result:
    """The whole benchmark: one engine start and a minute for each model."""
    figures: dict[str, float] = {}
    bounds: list[Bound] = []
    with tempfile.TemporaryDirectory(prefix="atl-rate-") as name:
        folder = Path(name)
        assistants = folder / "assistants"
        assistants.mkdir()
        (assistants / f"{ASSISTANT}.yaml").write_text(f"name: {ASSISTANT}\n")
        models = [model] if model else [make_tiny_model(folder / "tiny"), DEFAULT_MODEL]
        for each in models:
            if not (each / "config.json").exists():
                continue
            with Stack(each, ATELIER_ASSISTANTS_DIR=str(assistants), ATELIER_ENGINE_TOKEN=TOKEN) as stack:
                direct, through, ratio = uvloop.run(measure(stack, TINY if each.name == "tiny" else REAL))
            figures |= {
                f"{each.name}_direct_tokens_per_s": direct,
                f"{each.name}_through_tokens_per_s": through,
            }
            bounds.append(Bound(f"{each.name}: through / direct", ratio, at_least=0.97))
    return Result("engine_throughput", figures, bounds, [f"{STREAMS} streams at once"])


def main() -> None:
    """The command line."""
    end_cleanly()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="a model folder")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    show(run(options.model), options.json)


if __name__ == "__main__":
    main()
