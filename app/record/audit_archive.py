"""Segments of the audit chain that have left Redis: gzipped JSON lines, one link each.

File names carry the numbers: `000000000001-000000020000.jsonl.gz`.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import re
from pathlib import Path

import orjson

from app.record.audit_event import Record

_NAME = re.compile(r"(\d{12})-(\d{12})\.jsonl\.gz")


class DamagedArchive(Exception):
    """A segment cannot be read; the message names it."""


def segments(folder: Path) -> list[tuple[int, int, Path]]:
    """(first, last, path) of every segment, in order."""
    found = []
    for path in folder.glob("*.jsonl.gz"):
        match = _NAME.fullmatch(path.name)
        if match:
            found.append((int(match[1]), int(match[2]), path))
    return sorted(found)


async def read_from(folder: Path, seq: int) -> list[Record]:
    """The links from number `seq` to the end of the segment that holds it; none if no segment does.

    If `seq` lies in a gap, the segment behind the gap: the reader sees the jump. Raises DamagedArchive.
    """
    for _, last, path in segments(folder):
        if last >= seq:
            records = await asyncio.to_thread(read, path)
            return [record for record in records if record.seq >= seq]
    return []


def read(path: Path) -> list[Record]:
    """Raises DamagedArchive."""
    try:
        with gzip.open(path, "rb") as lines:
            return [_parse(line) for line in lines]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise DamagedArchive(f"audit archive {path} cannot be read: {error}") from error


def _parse(line: bytes) -> Record:
    fields = orjson.loads(line)
    seq, prev, digest = fields.pop("seq"), fields.pop("prev"), fields.pop("hash")
    body = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
    record = Record(seq, bytes.fromhex(prev), bytes.fromhex(digest), body)
    # Only the one canonical form: bytes that another reader might take another way must not pass as unchanged.
    if _line(record.to_dict()) != line:
        raise ValueError(f"line {seq} is not in canonical form")
    return record


def _line(fields: dict[str, object]) -> bytes:
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def write(folder: Path, records: list[Record]) -> Path:
    """One synced segment file; appears whole or not at all. Blocking. Raises DamagedArchive."""
    try:
        lines = [_line(record.to_dict()) for record in records]
    except (ValueError, TypeError) as error:
        first, last = records[0].seq, records[-1].seq
        raise DamagedArchive(f"records {first} to {last} are damaged and stay in Redis: {error}") from error
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{records[0].seq:012d}-{records[-1].seq:012d}.jsonl.gz"
    draft = folder / f".{path.name}.{os.getpid()}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as raw:
        with gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as packed:
            packed.writelines(lines)
        raw.flush()
        os.fsync(raw.fileno())
    draft.replace(path)
    folder_fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(folder_fd)
    finally:
        os.close(folder_fd)
    return path


def drop_unfinished(folder: Path, stream_first: int) -> None:
    """Delete segments whose links are still in the stream: a crash came before the stream was cut."""
    for first, _, path in segments(folder):
        if first >= stream_first:
            path.unlink(missing_ok=True)
    for draft in folder.glob(".*.jsonl.gz.*"):
        draft.unlink(missing_ok=True)
