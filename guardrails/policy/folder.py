"""The files of a policy folder: which there are, whether they changed, what they are together."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from guardrails.knowledge.document import MAX_DOCUMENT_BYTES
from guardrails.problem import PolicyProblem

MAX_FILES = 20_000
MAX_FILE_BYTES = 64 << 20
MAX_BYTES = 512 << 20
"""Of all files together."""

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

    def check_size(self) -> None:
        """Before any file is opened. Raises PolicyProblem, OSError."""
        total = 0
        for path in self.files():
            size = path.stat().st_size
            document = path.relative_to(self.path).parts[0] == "knowledge"
            most = MAX_DOCUMENT_BYTES if document else MAX_FILE_BYTES
            if size > most:
                advice = "; split the document" if document else ""
                raise PolicyProblem(path, f"{size:,} bytes; at most {most:,} are read{advice}")
            total += size
            if total > MAX_BYTES:
                raise PolicyProblem(self.path, f"its files have more than {MAX_BYTES >> 20} MiB together")

    def digest(self) -> str:
        """Of names and contents. Raises PolicyProblem, OSError."""
        self.check_size()
        digest = sha256()
        for path in self.files():
            digest.update(f"{path.relative_to(self.path)}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as content:
                while piece := content.read(1 << 20):
                    digest.update(piece)
        return digest.hexdigest()


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part.endswith("~") for part in path.parts)
