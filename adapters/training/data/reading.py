"""From raw sources to rows of messages, with the funnel that says what became of everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adapters.training.data.cleaning import Step, clean_messages, make_dialogues
from adapters.training.data.lines import BadRows, writing
from adapters.training.data.messages import SourceMessage, with_openers
from adapters.training.data.pages import PAGES, page_messages
from adapters.training.data.tables import TABLES, table_messages
from guardrails.policy.ports import MaskingCheck


@dataclass(frozen=True, slots=True)
class Funnel:
    """`steps` in their order; `rows` and `sha256` of what was written."""

    sources: dict[str, int]
    """File → messages read from it."""
    steps: tuple[Step, ...]
    rows: int
    sha256: str

    def record(self) -> dict[str, Any]:
        """As it is written to JSON."""
        return asdict(self)


def source_files(sources: Sequence[Path]) -> list[Path]:
    """The files named and, of folders, all that can be read. Raises BadRows for one that cannot, or is not there."""
    found: list[Path] = []
    for source in sources:
        if source.is_dir():
            inside = sorted(
                path for path in source.rglob("*") if path.is_file() and not _hidden(path, source)
            )
            found += [path for path in inside if path.suffix.lower() in TABLES | PAGES]
        elif not source.is_file():
            raise BadRows(f"{source} is not there")
        elif source.suffix.lower() not in TABLES | PAGES:
            known = ", ".join(sorted(TABLES | PAGES))
            raise BadRows(f"{source.name}: {source.suffix or 'no ending'} cannot be read; {known} can")
        else:
            found.append(source)
    if not found:
        raise BadRows("no file to read")
    return list(dict.fromkeys(found))


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith((".", "~$")) for part in path.relative_to(folder).parts)


def read_sources(
    sources: Sequence[Path],
    target: Path,
    privacy: MaskingCheck,
    columns: Mapping[str, str] | None = None,
    agents: Sequence[str] = (),
) -> Funnel:
    """Read, clean, write `target` as rows of messages. Raises BadRows with every wrong file and line, OSError.

    Nothing is written where a file is wrong, or where nothing is left.
    """
    messages: list[SourceMessage] = []
    wrong: list[str] = []
    counts: dict[str, int] = {}
    for path in source_files(sources):
        try:
            if path.suffix.lower() in TABLES:
                found = table_messages(path, columns or {}, agents)
            else:
                found = page_messages(path)
        except BadRows as error:
            wrong.append(str(error))
            continue
        counts[path.name] = counts.get(path.name, 0) + len(found)
        messages += found
    if wrong:
        raise BadRows("\n".join(wrong))
    kept, steps = clean_messages(with_openers(messages))
    made, more = make_dialogues(kept, privacy)
    if not made:
        raise BadRows("nothing is left: " + ", ".join(f"{step.name} {step.after}" for step in steps + more))
    with writing(target) as writer:
        for number, one in enumerate(made):
            turns = [{"role": role, "content": text} for role, text in one.turns]
            writer.write({"messages": turns, "id": str(number), "source": f"{one.source}:{one.line}"})
    return Funnel(counts, (*steps, *more), writer.rows, writer.digest)
