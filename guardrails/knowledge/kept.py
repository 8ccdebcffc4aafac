"""Documents read once are kept on disk, so that the next build of a policy reads only the files that changed."""

from __future__ import annotations

import hmac
import os
import pickle
import tempfile
from collections.abc import Mapping
from datetime import date
from functools import cache
from hashlib import sha256
from pathlib import Path

from guardrails.knowledge.fact import Knowledge
from guardrails.knowledge.ingest import Read, read_knowledge

_PACKAGE = Path(__file__).resolve().parent
_DIGEST = 32


def kept_knowledge(folder: Path, today: date, file: Path | None) -> Knowledge:
    """The knowledge of a folder. `file`, in a folder only this user may write to, holds what was read before."""
    if file is None:
        return read_knowledge(folder, today)[0]
    before = _load(file)
    knowledge, read = read_knowledge(folder, today, before)
    if any(before.get(name) is not one for name, one in read.items()) or before.keys() != read.keys():
        _save(file, read)
    return knowledge


def _load(file: Path) -> dict[str, Read]:
    """What an earlier build kept; nothing of what another version of this code wrote."""
    try:
        content = file.read_bytes()
        digest, content = content[:_DIGEST], content[_DIGEST:]
        if not hmac.compare_digest(digest, sha256(code_digest() + content).digest()):
            return {}
        found = pickle.loads(content)
    except Exception:
        # Whatever is wrong with it, the documents can be read again.
        return {}
    return found if isinstance(found, dict) else {}


def _save(file: Path, read: Mapping[str, Read]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = pickle.dumps(dict(read))
    handle, name = tempfile.mkstemp(dir=file.parent)
    with os.fdopen(handle, "wb") as draft:
        draft.write(sha256(code_digest() + content).digest() + content)
    Path(name).replace(file)


@cache
def code_digest() -> bytes:
    """Of everything that turns a file into facts: this package, and how languages are told apart."""
    digest = sha256()
    for path in (*sorted(_PACKAGE.iterdir()), _PACKAGE.parent / "language.py"):
        if path.is_file():
            digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.digest()
