"""Building a policy in a process of its own, so that the one that serves requests never stalls.

The child writes the built policy to a file in a private folder and says its digest; the parent loads it, which
takes milliseconds, and puts it in place of the old one. A finished bundle is kept, so that a start needs no build.
"""

from __future__ import annotations

import hmac
import json
import os
import pickle
import subprocess
import sys
import tempfile
from datetime import date
from functools import cache
from hashlib import sha256
from pathlib import Path

from guardrails.policy.folder import PolicyFolder
from guardrails.policy.policy import Policy
from guardrails.problem import PolicyProblem

BUILD_SECONDS = 600.0
_REFUSED = 3
_ROOT = Path(__file__).resolve().parents[2]


class BuildFailed(Exception):
    """The building process itself broke; the message says how."""


def build(folder: Path, cache_dir: Path | None = None, *, today: date | None = None) -> Policy:
    """The policy of `folder`, built elsewhere. Raises PolicyProblem, BuildFailed, OSError."""
    today = today or date.today()
    kept = _kept(folder, cache_dir, today)
    if kept is not None and (policy := _load_kept(kept)) is not None:
        return policy
    with tempfile.TemporaryDirectory(prefix="atelier-policy-") as private:
        out = Path(private) / "bundle"
        content = _run(folder, out, today, cache_dir)
        policy = _unpickle(content)
        if kept is not None:
            _keep(kept, content)
    return policy


def _run(folder: Path, out: Path, today: date, cache_dir: Path | None) -> bytes:
    """Build in a child process; the bundle's bytes."""
    command = [sys.executable, "-m", "guardrails.policy.build", str(folder.absolute()), str(out), str(today)]
    if cache_dir is not None:
        command.append(str(cache_dir.absolute()))
    # A policy is built beside running requests: it may take longer, but not their processor.
    try:
        done = subprocess.run(
            command, cwd=_ROOT, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise BuildFailed(f"building {folder} took longer than {BUILD_SECONDS:.0f} s") from None
    last = done.stdout.strip().rpartition("\n")[2]
    if done.returncode == _REFUSED:
        told = json.loads(last)
        raise PolicyProblem(Path(told["path"]), told["message"], told["line"], told["field"])
    if done.returncode:
        raise BuildFailed(f"building {folder} failed ({done.returncode}): {done.stderr.strip()[-2000:]}")
    content = out.read_bytes()
    if not hmac.compare_digest(sha256(content).hexdigest(), last):
        raise BuildFailed(f"the bundle of {folder} is not what was built")
    return content


def _unpickle(content: bytes) -> Policy:
    # Made by our own child a moment ago, or kept in a folder only this user may write to.
    policy = pickle.loads(content)
    if not isinstance(policy, Policy):
        raise BuildFailed("the bundle holds no policy")
    return policy


def _kept(folder: Path, cache_dir: Path | None, today: date) -> Path | None:
    if cache_dir is None:
        return None
    # What a folder gives depends on its files, on the day (documents come into force) and on this code.
    key = sha256(f"{PolicyFolder(folder).digest()}\0{folder.name}\0{today}\0{_code_digest()}".encode())
    return cache_dir / f"{key.hexdigest()[:32]}.bundle"


def _load_kept(path: Path) -> Policy | None:
    try:
        content = path.read_bytes()
        digest, content = content[:32], content[32:]
        if not hmac.compare_digest(sha256(content).digest(), digest):
            return None
        return _unpickle(content)
    except Exception:
        # Whatever is wrong with a kept bundle, it can be built again.
        return None


def _keep(path: Path, content: bytes, most: int = 16) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(sha256(content).digest() + content)
    Path(name).replace(path)
    bundles = sorted(path.parent.glob("*.bundle"), key=lambda found: found.stat().st_mtime)
    for old in bundles[:-most]:
        old.unlink(missing_ok=True)


@cache
def _code_digest() -> str:
    digest = sha256()
    package = _ROOT / "guardrails"
    for path in sorted(package.rglob("*")):
        if path.suffix not in {".pyc", ""} and path.is_file():
            digest.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes())
    return digest.hexdigest()
