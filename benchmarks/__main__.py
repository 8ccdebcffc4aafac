"""All benchmarks in turn, within 25 minutes; the report goes to var/bench/report.md and report.json.

    python -m benchmarks        (or `make bench`)

Each runs as a process of its own, so that one's memory and collector are not another's. For figures worth
publishing the machine should do nothing else: the report holds the load average at its start.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import ROOT, Bound, Result, circumstances, end_cleanly, markdown, save

OUT = ROOT / "var" / "bench"
ALL_SECONDS = 25 * 60.0
STOP_SECONDS = 60.0
DEFAULT_MODEL = "var/models/qwen2.5-0.5b"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A module of this package and its arguments; `seconds` is the most it may take.

    `needs`: a model folder without which it is left out. `tells`: it writes a `Result` to `--json`; otherwise
    the report quotes what it prints.
    """

    name: str
    seconds: float
    arguments: Sequence[str] = ()
    needs: str = ""
    tells: bool = True

    @property
    def command(self) -> str:
        """As a user would type it."""
        return " ".join(["python -m", f"benchmarks.{self.name}", *self.arguments])


BENCHMARKS = (
    Benchmark("gateway_overhead", 480),
    Benchmark("gateway_memory", 180),
    Benchmark("adapter_swap", 300),
    Benchmark("engine_throughput", 360),
    Benchmark(
        "engine_speed", 360, ("--model", f"{DEFAULT_MODEL}-int8"), needs=f"{DEFAULT_MODEL}-int8", tells=False
    ),
    Benchmark(
        "lora_prefill",
        300,
        ("--model", f"{DEFAULT_MODEL}-bf16", "--pairs", "5"),
        needs=f"{DEFAULT_MODEL}-bf16",
        tells=False,
    ),
)


def run_one(benchmark: Benchmark, seconds: float) -> tuple[Result | None, str]:
    """Its result, if it tells one, and what it printed. Raises RuntimeError when it failed or took too long."""
    found = OUT / f"{benchmark.name}.json"
    found.unlink(missing_ok=True)
    told = ("--json", str(found)) if benchmark.tells else ()
    process = subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{benchmark.name}", *benchmark.arguments, *told],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"not done within {seconds:.0f} s") from None
    finally:
        _end(process)
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}")
    return (_result(benchmark.name, found) if benchmark.tells else None), printed


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_SECONDS)


def _result(name: str, path: Path) -> Result:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))[name]
    bounds = [Bound(**{k: v for k, v in bound.items() if k != "met"}) for bound in found["bounds"]]
    return Result(name, found["figures"], bounds, found["notes"], found["versions"])


def main() -> int:
    """Run all; 1 when one failed or a bound was missed."""
    end_cleanly()
    OUT.mkdir(parents=True, exist_ok=True)
    about = circumstances()
    deadline = time.monotonic() + ALL_SECONDS
    results: list[Result] = []
    quoted: dict[str, str] = {}
    failed: dict[str, str] = {}
    for benchmark in BENCHMARKS:
        if benchmark.needs and not (ROOT / benchmark.needs / "config.json").exists():
            failed[benchmark.name] = f"left out: {benchmark.needs} is not prepared (`make model`)"
            continue
        print(f"{benchmark.name} …", flush=True)
        try:
            result, printed = run_one(
                benchmark, max(1.0, min(benchmark.seconds, deadline - time.monotonic()))
            )
        except RuntimeError as error:
            failed[benchmark.name] = str(error)
            print(f"{benchmark.name}: {error}", file=sys.stderr)
            continue
        if result is None:
            quoted[benchmark.name] = printed
        else:
            results.append(result)
    text = markdown(results, about, [benchmark.command for benchmark in BENCHMARKS])
    text += "".join(f"\n## {name}\n\n```\n{printed.strip()}\n```\n" for name, printed in quoted.items())
    text += "".join(f"\n## {name}\n\n{why}\n" for name, why in failed.items())
    (OUT / "report.md").write_text(text, encoding="utf-8")
    content = {
        result.name: json.loads((OUT / f"{result.name}.json").read_text())[result.name] for result in results
    }
    save(OUT / "report.json", {"about": about, **content, "printed": quoted, "failed": failed})
    print(text)
    return int(bool(failed) or not all(bound.met for result in results for bound in result.bounds))


if __name__ == "__main__":
    sys.exit(main())
