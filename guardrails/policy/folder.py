"""The files of a policy folder: which there are, whether they changed, what they are together."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from guardrails.problem import PolicyProblem

MAX_FILES = 20_000

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class PolicyFolder:
    """One folder. Hidden files and editors' leftovers are no part of it."""

    path: Path

    def files(self) -> list[Path]:
        """Every file, in an order of its own. Raises PolicyProblem."""
        if not self.path.is_dir():
            raise PolicyProblem(self.path, "is no folder")
        found = sorted(
            path
            for path in self.path.rglob("*")
            if path.is_file() and not _hidden(path.relative_to(self.path))
        )
        if len(found) > MAX_FILES:
            raise PolicyProblem(self.path, f"holds more than {MAX_FILES} files")
        return found

    def stamp(self) -> Stamp:
        """Changes whenever a file does; cheap. Raises PolicyProblem, OSError."""
        stamps = []
        for path in self.files():
            stat = path.stat()
            stamps.append((str(path.relative_to(self.path)), stat.st_mtime_ns, stat.st_size))
        return tuple(stamps)

    def digest(self) -> str:
        """Of names and contents. Raises PolicyProblem, OSError."""
        digest = sha256()
        for path in self.files():
            digest.update(f"{path.relative_to(self.path)}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as content:
                while piece := content.read(1 << 20):
                    digest.update(piece)
        return digest.hexdigest()


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part.endswith("~") for part in path.parts)
