"""Prepare the default chat model: `python -m adapters.base_model.prepare --out var/models --cache var/cache`.

Runs in the engine's environment, from the repository's root. Downloads the packages, checks the digest,
converts to bf16 and (unless `--variant bf16`) quantises to INT8. Finished folders are left alone, so it may
be run before every start. The bf16 folder is always made: the trainer needs it. Exit code 1 with a message
when it cannot be done.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from adapters.base_model import folder, source
from adapters.base_model.folder import Origin, Variant
from adapters.base_model.source import ModelUnavailableError, Say, Source

# Bytes at the peak, with some room: packages and GGUF; weights of either variant.
_CACHE_BYTES = 1_050_000_000
_BYTES: dict[Variant, int] = {"bf16": 1_150_000_000, "int8": 750_000_000}
_MEMORY_BYTES = 5_000_000_000


@dataclass(frozen=True)
class Plan:
    """What to prepare and where."""

    out: Path
    cache: Path
    variant: Variant = "int8"
    keep: bool = False  # leave packages and GGUF in the cache
    source: Source = source.QWEN

    @property
    def variants(self) -> tuple[Variant, ...]:
        return ("bf16",) if self.variant == "bf16" else ("bf16", "int8")

    @property
    def missing(self) -> tuple[Variant, ...]:
        return tuple(v for v in self.variants if not folder.is_finished(self.folder(v), v, self.source))

    def folder(self, variant: Variant) -> Path:
        return self.out / folder.folder_name(variant)


def prepare(plan: Plan, say: Say) -> Path:
    """Make what is missing and return the folder of `plan.variant`.

    Raises ModelUnavailableError with a message for the user. Safe to run twice at once: the second run waits.
    """
    if plan.missing:
        with folder.exclusive(plan.out, say):
            # Asked again: the run that was waited for may have made it.
            missing = plan.missing
            if missing:
                _check_room(plan, missing, say)
            if "bf16" in missing:
                _make_bf16(plan, say)
            if "int8" in missing:
                _make_int8(plan, say)
            if missing and not plan.keep:
                source.remove(plan.source, plan.cache)
    return plan.folder(plan.variant)


def _check_room(plan: Plan, missing: tuple[Variant, ...], say: Say) -> None:
    needed = sum(_BYTES[variant] for variant in missing)
    if "bf16" in missing:
        same_disk = _device(plan.out) == _device(plan.cache)
        if same_disk:
            needed += _CACHE_BYTES
        else:
            folder.require_disk(plan.cache, _CACHE_BYTES, "the default model's download")
    folder.require_disk(plan.out, needed, "the default model")
    available = _available_memory()
    if available is not None and available < _MEMORY_BYTES:
        say(
            f"only {available / 1e9:.1f} GB of memory are free; converting takes about "
            f"{_MEMORY_BYTES / 1e9:.0f} GB and may be killed"
        )


def _make_bf16(plan: Plan, say: Say) -> None:
    gguf = source.fetch(plan.source, plan.cache, say)
    say("converting to bf16 safetensors (half a minute to a minute)")
    from adapters.base_model import convert  # noqa: PLC0415 (torch: seconds, and only now needed)

    target = plan.folder("bf16")
    with folder.built_aside(target) as aside:
        match = convert.gguf_to_bf16(gguf, aside)
        folder.write_card(aside, Origin(plan.source, match.same), "bf16", convert.versions())
    figures = f"difference {match.relative:.1%} of the norm, lowest cosine {match.min_cosine:.4f}"
    if match.same:
        say(f"output head tied to the embedding again ({figures})")
    else:
        say(f"output head kept apart: it is not the embedding ({figures})")
    say(f"made {target}")


def _make_int8(plan: Plan, say: Say) -> None:
    say("quantising to INT8")
    from adapters.base_model import convert  # noqa: PLC0415

    target, bf16 = plan.folder("int8"), plan.folder("bf16")
    card = json.loads((bf16 / folder.CARD).read_text(encoding="utf-8"))
    with folder.built_aside(target) as aside:
        convert.to_int8(bf16, aside)
        folder.write_card(aside, Origin(plan.source, card["tied_head"]), "int8", convert.versions())
    say(f"made {target}")


def _device(path: Path) -> int:
    return next(p for p in (path, *path.resolve().parents) if p.exists()).stat().st_dev


def _available_memory() -> int | None:
    """Free memory in bytes, None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="adapters.base_model.prepare", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("var/models"), help="folder of the prepared models")
    parser.add_argument("--cache", type=Path, default=Path("var/cache"), help="folder for downloads")
    parser.add_argument("--variant", choices=get_args(Variant), default="int8", help="int8 also makes bf16")
    parser.add_argument("--keep", action="store_true", help="keep the downloaded packages and the GGUF file")
    options = parser.parse_args(argv)
    plan = Plan(options.out, options.cache, options.variant, options.keep)
    started = time.monotonic()

    def say(text: str) -> None:
        sys.stdout.write(f"[model {time.monotonic() - started:5.1f} s] {text}\n")
        sys.stdout.flush()

    try:
        ready = prepare(plan, say)
    except ModelUnavailableError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    say(f"ready: {ready}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
