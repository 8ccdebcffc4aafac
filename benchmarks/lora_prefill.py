"""What an adapter costs on CPU: first-token and decode time with one, against the base model, on a real vLLM.

`python -m benchmarks.lora_prefill [--model DIR] [--kernels stock]`, from the repository's root. Base and
adapter take turns in pairs (every other pair the other way round), so that a busy machine hits both; the
figure is the median of the pairs' ratios. Prompts are random token ids: nothing comes out of the prefix
cache. The same ratio of the engine's processor time, honest with `--threads 1` only (waiting threads
spin), also holds on a busy machine.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from tests.engine_process import ROOT, EngineProcess
from tests.models.marker import model_config, write_random_adapter

VERSION = "bench@0123456789ab"
DEFAULT_MODEL = ROOT / "var" / "models" / "qwen2.5-0.5b-bf16"


@dataclass(frozen=True)
class Cost:
    """One prompt length and answer length, medians over the pairs."""

    prompt_tokens: int
    answer_tokens: int
    base_s: float
    adapter_s: float
    ratio: float
    processor_ratio: float


def processor_seconds(engine: EngineProcess) -> float:
    """User and system time of all the engine's processes so far."""
    leader = psutil.Process(engine.pid)
    times = [process.cpu_times() for process in (leader, *leader.children(recursive=True))]
    return float(sum(taken.user + taken.system for taken in times))


def seconds(engine: EngineProcess, model: str, prompt: list[int], answer_tokens: int) -> tuple[float, float]:
    """(wall time, processor time) of one greedy completion."""
    body = {
        "model": model,
        "prompt": prompt,
        "max_tokens": answer_tokens,
        "temperature": 0,
        "ignore_eos": True,
    }
    start, worked = time.perf_counter(), processor_seconds(engine)
    status, answer = engine.request("POST", "/v1/completions", body, timeout_s=600)
    if status != 200:
        raise RuntimeError(f"the engine answered {status}: {answer}")
    return time.perf_counter() - start, processor_seconds(engine) - worked


def measure(engine: EngineProcess, vocabulary: int, tokens: tuple[int, int], pairs: int) -> Cost:
    """Time `pairs` pairs with the given (prompt, answer) tokens."""
    chance = random.Random(tokens[0])
    taken: dict[str, list[tuple[float, float]]] = {"base": [], VERSION: []}
    for turn in range(pairs):
        for model in ("base", VERSION) if turn % 2 else (VERSION, "base"):
            prompt = [chance.randrange(100, vocabulary) for _ in range(tokens[0])]
            taken[model].append(seconds(engine, model, prompt, tokens[1]))
    wall = {model: [one[0] for one in times] for model, times in taken.items()}
    worked = {model: [one[1] for one in times] for model, times in taken.items()}
    base, own = (round(statistics.median(wall[model]), 4) for model in ("base", VERSION))
    return Cost(*tokens, base, own, median_ratio(wall), median_ratio(worked))


def median_ratio(taken: dict[str, list[float]]) -> float:
    """The median over the pairs of adapter to base."""
    ratios = [own / base for base, own in zip(taken["base"], taken[VERSION], strict=True)]
    return round(statistics.median(ratios), 3)


def run(model: Path, kernels: str, rank: int, pairs: int, threads: int, lengths: list[int]) -> Iterator[Cost]:
    """Start an engine on `model`, load one adapter and measure one length after another."""
    vocabulary = min(model_config(model)["vocab_size"], 30_000)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        write_random_adapter(model, store / VERSION, rank)
        settings = {"ATELIER_LORA_KERNELS": kernels, "OMP_NUM_THREADS": str(threads)}
        with EngineProcess(model, Path(folder), store, max_model_len=2048, extra_env=settings) as engine:
            status, answer = engine.load(VERSION, store / VERSION)
            if status != 200:
                raise RuntimeError(f"the adapter was not loaded: {answer}")
            measure(engine, vocabulary, (64, 4), 1)  # warm up
            for tokens in (*((length, 1) for length in lengths), (26, 33)):
                yield measure(engine, vocabulary, tokens, pairs)


def main() -> None:
    """Read the command line, measure, print one JSON line per length."""
    parser = argparse.ArgumentParser(description="Adapter against base: first token and decode on CPU.")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="model folder")
    parser.add_argument("--kernels", choices=("auto", "grouped", "stock"), default="auto")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lengths", type=int, nargs="+", default=[26, 235, 645, 1165], help="prompt tokens")
    arguments = parser.parse_args()
    if not (arguments.model / "config.json").exists():
        parser.error(f"{arguments.model} is no model folder; `make serve` prepares one, or give --model")
    for cost in run(**vars(arguments)):
        print(json.dumps(asdict(cost)), flush=True)


if __name__ == "__main__":
    main()
