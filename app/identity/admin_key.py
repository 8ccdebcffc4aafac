"""The file that holds the first admin key, and the form of a full key."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path

_FULL_KEY = re.compile(r"atl-([0-9a-f]{16})-([A-Za-z0-9_-]{16,256})")


def parse_key(full: str) -> str:
    """The key id inside `atl-<id>-<secret>`. Raises ValueError, without quoting the key."""
    match = _FULL_KEY.fullmatch(full)
    if match is None:
        raise ValueError("a key is atl-<16 hex digits>-<16 to 256 letters, digits, - or _>; this text is not")
    return match.group(1)


def load_or_create_key(path: Path) -> str:
    """The key in `path`, made first if the file does not exist (mode 0600).

    Raises ValueError for a file without a key, OSError.
    """
    with contextlib.suppress(FileNotFoundError):
        return _load(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    full = f"atl-{secrets.token_hex(8)}-{secrets.token_urlsafe(32)}"
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        _write_private(draft, full)
        # Linking fails if another process was first, and never shows a half-written file: a rename would let
        # two gateways starting together each believe in its own key.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return _load(path)


def _load(path: Path) -> str:
    text = path.read_text(encoding="utf-8").strip()
    try:
        parse_key(text)
    except ValueError as error:
        raise ValueError(
            f"{path} does not hold an admin key ({error}); delete it to have a new one made"
        ) from error
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return text


def _write_private(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(fd, text.encode() + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
