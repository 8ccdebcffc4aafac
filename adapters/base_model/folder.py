"""A prepared model's folder: recognised when finished, built aside and renamed, never seen half-made.

Standard library only: `make serve` asks these questions before any heavy import.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from adapters.base_model.source import ModelUnavailableError, Say, Source

Variant = Literal["bf16", "int8"]

CARD = "atelier_model.json"
LICENSE = "Apache-2.0"
# Raised whenever the same source is turned into different weights; folders of an older recipe are rebuilt.
RECIPE = 1
LOCK_WAIT_S = 3600.0


@dataclass(frozen=True)
class Origin:
    """What a folder is made from: enough to know it again, and to name the base whatever its quantisation."""

    source: Source
    tied: bool  # the output head is the embedding

    @property
    def fingerprint(self) -> str:
        """sha256 hex; the same for bf16 and INT8, because adapters fit both."""
        facts = {"gguf_sha256": self.source.sha256, "recipe": RECIPE, "tied": self.tied}
        return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def folder_name(variant: Variant) -> str:
    return f"qwen2.5-0.5b-{variant}"


def is_finished(folder: Path, variant: Variant, source: Source) -> bool:
    """Whether `folder` holds this variant of this source, complete. Looks at names and sizes only."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        same = (
            card["variant"] == variant
            and card["recipe"] == RECIPE
            and card["source"]["gguf_sha256"] == source.sha256
        )
        return same and all((folder / name).stat().st_size == size for name, size in card["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


@contextmanager
def built_aside(folder: Path) -> Iterator[Path]:
    """A fresh folder beside `folder` that takes its place when the block ends without an error.

    Only the holder of `exclusive` may call this: the name of the folder aside is fixed, so that what a killed
    run left there is cleared away by the next one.
    """
    aside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    _flush(aside)
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)


def write_card(folder: Path, origin: Origin, variant: Variant, versions: dict[str, str]) -> None:
    """Describe `folder`: written last, it is the sign that everything else is there."""
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
    card = {
        "base_fingerprint": origin.fingerprint,
        "source": {
            "packages": list(origin.source.requirements),
            "gguf_sha256": origin.source.sha256,
        },
        "variant": variant,
        "tied_head": origin.tied,
        "recipe": RECIPE,
        "license": LICENSE,
        "prepared": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": versions,
        "files": files,
    }
    text = json.dumps(card, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    (folder / CARD).write_text(text, encoding="utf-8")


@contextmanager
def exclusive(out: Path, say: Say, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Hold the right to build in `out`, waiting at most `wait_s` seconds for another run to finish.

    Prevents: two runs clearing and filling the same folder aside, one renaming what the other half wrote.
    The kernel drops the lock with its process, so a killed run leaves nothing to repair.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".prepare.lock").open("w") as lock:
        _acquire(lock.fileno(), out, say, wait_s)
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)


def require_disk(path: Path, needed: int, purpose: str) -> None:
    """Raise ModelUnavailableError when fewer than `needed` bytes are free where `path` will be."""
    existing = next(parent for parent in (path, *path.resolve().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise ModelUnavailableError(
            f"Not enough disk space for {purpose}: {path} has {free / 1e9:.1f} GB free, "
            f"{needed / 1e9:.1f} GB are needed. Free some space, or name a folder on another disk "
            f"(--out, --cache)."
        )


def _acquire(descriptor: int, out: Path, say: Say, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    waiting = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise ModelUnavailableError(
                    f"Another run is still preparing the model in {out} after {wait_s:.0f} s. "
                    f"Wait for it or end it, then run the command again."
                ) from None
            if not waiting:
                say(f"another run is preparing the model in {out}; waiting for it")
                waiting = True
            time.sleep(min(0.5, wait_s))
        else:
            return


def _flush(folder: Path) -> None:
    """Bring the files to disk before the rename makes them look finished: a power cut must not leave a
    folder with a card and empty weights."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
