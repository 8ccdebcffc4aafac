"""What a request to load an adapter must look like, checked before the engine hears of it."""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

VERSION = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}@[0-9a-f]{12}", re.ASCII)
NEEDED = ("adapter_config.json", "adapter_model.safetensors")
# vLLM falls back to these when the safetensors file is missing, and unpickling runs code.
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


class RefusedError(Exception):
    """A request the engine's adapter routes do not grant; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class LoadOrder:
    """A checked order to load one version."""

    name: str
    folder: Path  # resolved, directly under the adapter root


def check_order(name: object, path: object, root: Path | None) -> LoadOrder:
    """Check name and path of a load request without touching the engine.

    Raises RefusedError: 400 for a bad name, a path outside the root or one not called as the version;
    404 when the folder or one of its two files is missing; 422 when it holds a pickle.
    """
    if not isinstance(name, str) or not VERSION.fullmatch(name):
        raise RefusedError(400, f"name {shown(name)} is not a version id such as fees@0123456789ab")
    if root is None:
        raise RefusedError(400, "this engine was started without ATELIER_ADAPTER_ROOT and loads no adapters")
    if not isinstance(path, str) or not path or "\0" in path:
        raise RefusedError(400, f"path {shown(path)} is not the path of a folder")
    folder = Path(os.path.realpath(path))
    # Compared after resolving: a symlink under the root may point anywhere.
    if folder.parent != Path(os.path.realpath(root)):
        raise RefusedError(400, f"path {shown(path)} is not a folder directly under the adapter root")
    if folder.name != name:
        raise RefusedError(400, f"the folder at {shown(path)} is called {folder.name}, not {name}")
    check_files(folder)
    return LoadOrder(name, folder)


def check_files(folder: Path) -> None:
    """Raises RefusedError: 404 when a needed file is missing, 422 for what must not be there."""
    if not folder.is_dir():
        raise RefusedError(404, f"there is no folder {folder}; was the version fetched into the store?")
    found = {entry.name: entry for entry in folder.iterdir()}
    missing = [name for name in NEEDED if name not in found]
    pickles = sorted(name for name in found if name.lower().endswith(PICKLES))
    if pickles:
        raise RefusedError(422, f"{folder.name} holds {', '.join(pickles)}: pickled weights are never loaded")
    if missing:
        raise RefusedError(404, f"{folder.name} lacks {' and '.join(missing)}")
    for name in NEEDED:
        if not stat.S_ISREG(found[name].lstat().st_mode):
            raise RefusedError(422, f"{folder.name}/{name} is not a regular file")


def shown(value: object) -> str:
    """A foreign value short enough for a message."""
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "…"
