"""Engine settings measured to serve the default model best on a CPU. Standard library only.

The measurements are `benchmarks/engine_speed.py`'s; every setting says what it is for. Settings that belong to
adapters (`--enable-lora …`) or to the process (socket, model, names) are the launcher's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class EngineSettings:
    """What to add to the engine's command line and to its environment."""

    flags: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)


def cpu_settings(cores: int, engine_python: Path | None = None) -> EngineSettings:
    """The settings for an engine that may use `cores` CPU cores of this process's allowed ones.

    `engine_python` is the interpreter of the engine's environment; with it, Intel's OpenMP runtime is used if
    the environment holds it. Raises ValueError when `cores` is below 1.
    """
    if cores < 1:
        raise ValueError(f"an engine needs at least one core, not {cores}")
    env = {
        # GiB. 87,000 tokens of this model: 21 requests of the longest length at once. Set rather than left to
        # the engine, whose own choice is most of the machine's memory.
        "VLLM_CPU_KVCACHE_SPACE": "1",
        # Everything is local: no question to a hub, no waiting for its time-out, no usage report.
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    bound = _cores_to_bind(cores)
    if bound:
        # By itself the engine keeps one core free for its scheduler: on two cores that leaves one for all the
        # arithmetic, and prefill takes 1.6 to 1.8 times as long (235 to 1165 tokens). Two threads left unbound
        # gained less: 1.3 to 1.9 times as long from 645 tokens on, and a third fewer tokens/s at 4 in flight.
        # (The log's "Reducing Torch threads from 2 to 1" is about the scheduler's process, not the worker.)
        env["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, bound))
    runtime = next(_intel_openmp(engine_python), None) if engine_python else None
    if runtime:
        # 43 tokens/s where GNU's runtime gave 35, and 133 where it gave 106 at 4 in flight: its idle threads
        # keep spinning on the cores the scheduler and the HTTP process need. The engine preloads torch's
        # libgomp unless an OpenMP runtime is named here.
        env["LD_PRELOAD"] = str(runtime)
    return EngineSettings(flags=_FLAGS, env=env)


# Qwen2.5 was trained on this form of tool calls. Only for the default model: another one may need another parser.
DEFAULT_MODEL_FLAGS = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")

_FLAGS = (
    # A prefix is cached in whole blocks. With the engine's 128 tokens a system prompt of 100 is never shared;
    # 32 is the smallest size its attention kernels are made for. 235 tokens asked again: 0.06 s instead of 0.10.
    "--block-size",
    "32",
    "--enable-prefix-caching",
)


def _cores_to_bind(cores: int) -> tuple[int, ...]:
    """The first `cores` allowed core numbers; none where the system cannot tell (the engine then decides)."""
    if not hasattr(os, "sched_getaffinity"):
        return ()
    return tuple(sorted(os.sched_getaffinity(0)))[:cores]


def _intel_openmp(engine_python: Path) -> Iterator[Path]:
    # Not resolved: the interpreter of an environment is a link to the system's, and the library is beside the
    # link. Absolute, because the engine may start in another folder.
    library = engine_python.absolute().parent.parent / "lib" / "libiomp5.so"
    if library.is_file() and " " not in str(library) and ":" not in str(library):  # LD_PRELOAD's separators
        yield library
