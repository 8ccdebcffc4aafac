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

    def run(self, step: Step, environment: Mapping[str, str]) -> None:
        """Run it, unless it is finished. Ends the program with the command's status where that fails."""
        mark, key = self._folder / f"{step.name}.json", _key(step)
        done = step.once and mark.exists() and orjson.loads(mark.read_bytes()) == key
        if done and all(path.exists() for path in step.makes):
            err.print(f"{step.name}: done before", style="dim", highlight=False)
            return
        err.print(
            f"\n[bold]{step.name}[/bold]  atelier {' '.join(step.command)}", highlight=False, soft_wrap=True
        )
        command = [sys.executable, "-m", "app.cli", *step.command]
        status = subprocess.run(command, check=False, env=dict(environment)).returncode
        if status:
            fail(f"{step.name} ended with status {status}; run this again to go on from here", max(1, status))
        with beside(mark) as draft:
            draft.write_bytes(orjson.dumps(key))


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
