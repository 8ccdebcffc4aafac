"""The local spool of the audit log: one line per event, on disk before the request goes on.

A line is written by one `write` to a file opened for appending, so it survives the death of this process at
once. A power cut may take what was not yet synced: `sync` is called once a second. Each segment is locked for
as long as its process lives; a segment without a lock belongs to a dead process and can be adopted.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024
READ_BYTES = 256 * 1024
_WRITER_ID = re.compile(r"[A-Za-z0-9_.-]{1,100}")


class JournalFull(Exception):
    """The spool cannot take the record: its bound is reached, or the disk is full."""


@dataclass(slots=True)
class Segment:
    """`size`: bytes written. `shipped`: bytes in the chain. `confirmed`: bytes safely so."""

    path: Path
    fd: int
    size: int = 0
    shipped: int = 0
    confirmed: int = 0
    sealed: bool = False
    synced: int = 0

    @property
    def name(self) -> str:
        return self.path.stem

    def read(self) -> tuple[list[bytes], int]:
        """The next unshipped whole lines and the offset behind them. No lines: nothing whole is left."""
        want = READ_BYTES
        while True:
            block = os.pread(self.fd, min(want, self.size - self.shipped), self.shipped)
            end = block.rfind(b"\n") + 1
            if end or len(block) < want:
                return block[:end].split(b"\n")[:-1], self.shipped + end
            want *= 2  # One line longer than the block.

    def rest(self) -> bytes:
        """Everything unshipped, for a last line without its end."""
        return os.pread(self.fd, self.size - self.shipped, self.shipped)


class Journal:
    """This process's segments, and those it adopted. Not for use by several threads.

    `max_bytes`: unshipped bytes at which the journal is `full`. A tenth more can still be appended: answers
    already given must be recorded when new ones are refused.
    """

    def __init__(
        self,
        directory: Path,
        writer_id: str,
        *,
        max_bytes: int = 256 * MIB,
        segment_bytes: int = 8 * MIB,
    ) -> None:
        if not _WRITER_ID.fullmatch(writer_id):
            raise ValueError(f"writer id {writer_id!r}: use up to 100 letters, digits, '_', '.' and '-'")
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._writer_id = writer_id
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._current: Segment | None = None
        self.segments: list[Segment] = []
        self._unshipped = 0

    @property
    def unshipped_bytes(self) -> int:
        return self._unshipped

    @property
    def full(self) -> bool:
        """New requests should be refused."""
        return self._unshipped >= self._max_bytes

    def append(self, line: bytes) -> None:
        """Write one line (without newline bytes inside). Raises JournalFull; then nothing was written."""
        limit = self._max_bytes + self._max_bytes // 10
        if self._unshipped + len(line) > limit:
            raise JournalFull(
                f"the audit spool in {self._directory} holds {self._unshipped} unshipped bytes "
                f"of at most {limit}; bring Redis back, or raise the bound"
            )
        segment = self._current
        if segment is None or segment.size >= self._segment_bytes:
            segment = self._rotate()
        data = line + b"\n"
        try:
            written = os.write(segment.fd, data)
        except OSError as error:
            raise JournalFull(f"cannot write the audit spool {segment.path}: {error}") from error
        if written != len(data):
            # A disk that filled up in mid-line: take the piece back, or the next line would be glued to it.
            os.ftruncate(segment.fd, segment.size)
            raise JournalFull(f"the disk of the audit spool {segment.path} is full")
        segment.size += written
        self._unshipped += written

    def _rotate(self) -> Segment:
        if self._current is not None:
            self._current.sealed = True
            self._current = None
        path = self._directory / f"{self._writer_id}.{time.time_ns():x}.{secrets.token_hex(4)}.jsonl"
        # Locked under another name first: an adopter that saw the file before the lock would take an empty
        # segment for a dead process's and delete it under our feet.
        draft = path.with_suffix(".new")
        try:
            fd = os.open(draft, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(path)
        except OSError as error:
            raise JournalFull(f"cannot make the audit spool {path}: {error}") from error
        self._current = Segment(path, fd)
        self.segments.append(self._current)
        return self._current

    def seal(self) -> None:
        """End the current segment, so that it can be removed once it is shipped."""
        if self._current is not None:
            self._current.sealed = True
            self._current = None

    def adopt(self) -> list[Segment]:
        """Take over the segments of dead processes."""
        own = {segment.path for segment in self.segments}
        found = []
        for path in sorted(self._directory.glob("*.jsonl")):
            if path in own:
                continue
            with contextlib.suppress(FileNotFoundError):
                fd = os.open(path, os.O_RDWR)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(fd)
                    continue
                # Another adopter may have finished and renamed it between our open and our lock.
                if not path.exists():
                    os.close(fd)
                    continue
                segment = Segment(path, fd, size=os.fstat(fd).st_size, sealed=True)
                self.segments.append(segment)
                self._unshipped += segment.size
                found.append(segment)
        return found

    def moved(self, segment: Segment, shipped: int) -> None:
        """The chain holds `shipped` bytes of the segment: more than before, or less after a lost write."""
        self._unshipped -= shipped - segment.shipped
        segment.shipped = shipped

    def sync(self) -> None:
        """fsync what was written since the last call. Blocking: call it in a thread."""
        for segment in list(self.segments):
            size = segment.size
            if segment.synced < size:
                with contextlib.suppress(OSError):  # Closed meanwhile: then it was shipped and confirmed.
                    os.fdatasync(segment.fd)
                    segment.synced = size

    def retire(self, segment: Segment) -> Path:
        """Close a finished segment; its file waits as `.done` until Redis has forgotten its offset.

        Two steps, because a crash between them must neither ship the file again nor leave the offset forever.
        """
        done = segment.path.with_suffix(".done")
        segment.path.rename(done)
        self.segments.remove(segment)
        self._unshipped -= segment.size - segment.shipped
        os.close(segment.fd)
        return done

    def done(self) -> list[Path]:
        return sorted(self._directory.glob("*.done"))

    def close(self) -> None:
        """Release the locks; what is unshipped stays on disk for the next process."""
        self._current = None
        for segment in self.segments:
            os.close(segment.fd)
        self.segments.clear()
        self._unshipped = 0
