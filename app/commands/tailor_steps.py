"""Commands that run one after the other, each once: what was finished before is not done again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path

import orjson

from adapters.training.data.lines import beside
from app.commands.client import err, fail
from guardrails.policy.folder import PolicyFolder


@dataclass(frozen=True, slots=True)
class Step:
    """An `atelier` command. It is finished when it has ended well and `makes` are there.

    `reads`: files and folders; another content, or another command, makes it run again. Without `once` it runs every
    time, because what it does is elsewhere, and does no harm twice.
    """

    name: str
    command: tuple[str, ...]
    reads: tuple[Path, ...] = ()
    makes: tuple[Path, ...] = ()
    once: bool = True


class Steps:
    """The finished steps are remembered in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def finished(self, step: Step) -> bool:
        """Whether it was done, with what it reads as that is now."""
        mark = self._mark(step)
        done = mark.exists() and orjson.loads(mark.read_bytes()) == _key(step)
        return done and all(path.exists() for path in step.makes)

    def run(self, step: Step, environment: Mapping[str, str]) -> None:
        """Run it, unless it is finished. Ends the program with the command's status where that fails."""
        if step.once and self.finished(step):
            err.print(f"{step.name}: done before", style="dim", highlight=False)
            return
        words = " ".join(step.command)
        err.print(f"\n[bold]{step.name}[/bold]  atelier {words}", highlight=False, soft_wrap=True)
        # A mark of what was made before must not vouch for what is half made now.
        self._mark(step).unlink(missing_ok=True)
        command = [sys.executable, "-m", "app.cli", *step.command]
        status = subprocess.run(command, check=False, env=dict(environment)).returncode
        if status:
            told = f"{step.name} ended with status {status}; the same command goes on from here"
            fail(told, status if status > 0 else 128 - status)
        with beside(self._mark(step)) as draft:
            draft.write_bytes(orjson.dumps(_key(step)))

    def _mark(self, step: Step) -> Path:
        return self._folder / f"{step.name}.json"


def _key(step: Step) -> dict[str, str | list[str]]:
    return {"command": list(step.command), "reads": _digest(step.reads)}


def _digest(paths: Sequence[Path]) -> str:
    found = sha256()
    for path in paths:
        if path.is_dir():
            found.update(PolicyFolder(path).digest().encode())
        elif path.exists():
            with path.open("rb") as file:
                found.update(file_digest(file, "sha256").digest())
    return found.hexdigest()
