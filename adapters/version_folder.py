"""A version's folder on disk: written aside, made durable, put in place in one rename. All blocking."""

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedWriter
from pathlib import Path

from adapters.package import (
    CARD,
    CONFIG,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    SIGNATURE,
    WEIGHTS,
    Manifest,
    PackageError,
    PackageFiles,
    chunks_of,
    file_digest,
    open_regular,
    version_of,
)
from adapters.store import (
    CorruptVersionError,
    StoreError,
    StoreFullError,
    VersionConflictError,
    VersionNotFoundError,
)

ASIDE = ".incoming"  # in the same folder, so on the same file system: rename stays atomic
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ATTEMPTS = 8


def publish(root: Path, version: str, fill: Callable[[Path], None]) -> None:
    """Let `fill` write files into a folder aside, then make it `root`/`version`, unless that is there already.

    Raises StoreFullError when there is no room, StoreError for other failures of the disk, and what `fill`
    raises. Nothing is left behind then; after a kill, what is left lies aside until `clean_aside`.
    """
    with reported(root), folder_aside(root) as folder:
        fill(folder)
        for path in folder.iterdir():
            path.chmod(0o440)
        _sync(folder)
        try:
            # Fails when the target is a folder with content: the first of two concurrent writers wins.
            folder.rename(root / version)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        _sync(root)


def write_package(folder: Path, manifest: Manifest, files: PackageFiles) -> None:
    """Write all files and the manifest, durable. Raises VersionConflictError when they do not match it."""
    digests = {
        CONFIG: write_bytes(folder / CONFIG, files.config),
        WEIGHTS: _copy(files.weights, folder / WEIGHTS),
    }
    if files.card is not None:
        digests[CARD] = write_bytes(folder / CARD, files.card)
    # Hashed while copying: the upload may have changed since its manifest was made.
    if digests != dict(manifest.files):
        changed = sorted(name for name in digests if digests[name] != dict(manifest.files).get(name))
        raise VersionConflictError(
            f"{', '.join(changed)} changed while being stored; upload the adapter again"
        )
    if files.signature is not None:
        write_bytes(folder / SIGNATURE, files.signature)
    write_bytes(folder / MANIFEST, manifest.to_json())


def write_bytes(path: Path, content: bytes) -> str:
    """Write a new file durably, mode 0600; returns its sha256."""
    with durable_file(path) as target:
        target.write(content)
    return hashlib.sha256(content).hexdigest()


def read_manifest(folder: Path, version: str) -> Manifest:
    """The manifest in a version's folder; raises VersionNotFoundError or CorruptVersionError."""
    try:
        with open_regular(folder / MANIFEST) as source:
            return check_manifest(source.read(MAX_MANIFEST_BYTES), version)
    except (FileNotFoundError, NotADirectoryError):
        raise VersionNotFoundError(f"the store holds no {version}; push the adapter again") from None


def check_manifest(raw: bytes, version: str) -> Manifest:
    """The manifest of exactly this version; raises CorruptVersionError."""
    try:
        manifest = Manifest.from_json(raw)
    except PackageError as error:
        raise CorruptVersionError(f"{version}: {error}") from None
    if str(version_of(manifest)) != version:
        raise CorruptVersionError(f"{version}: its manifest belongs to {version_of(manifest)}; push it again")
    return manifest


def verify_folder(folder: Path, version: str) -> Manifest:
    """Compare every file with the manifest; raises VersionNotFoundError or CorruptVersionError."""
    manifest = read_manifest(folder, version)
    for name, digest in manifest.files:
        try:
            actual = file_digest(folder / name)
        except OSError as error:
            raise CorruptVersionError(f"{version}: {name} cannot be read: {error}; push it again") from None
        if actual != digest:
            raise CorruptVersionError(
                f"{version}: {name} is not what was stored; delete it and push it again"
            )
    return manifest


def remove_folder(root: Path, version: str) -> None:
    """Remove `root`/`version`: gone in one rename, then deleted. Nothing there is no error."""
    with reported(root), folder_aside(root) as folder:
        try:
            (root / version).rename(folder / version)
        except FileNotFoundError:
            return
        _sync(root)


def clean_aside(root: Path) -> int:
    """Remove what killed writers left behind; returns how many folders. Running writers are not touched."""
    removed = 0
    aside = root / ASIDE
    for path in sorted(aside.iterdir()) if aside.is_dir() else ():
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            # A writer holds this lock as long as it lives; the kernel frees it with the process.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
            removed += 1
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)
    return removed


@contextmanager
def durable_file(path: Path) -> Iterator[BufferedWriter]:
    """A new file, mode 0600, for writing; on the disk when the block ends. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        yield target
        target.flush()
        os.fsync(target.fileno())


@contextmanager
def reported(root: Path) -> Iterator[None]:
    """OSError as StoreFullError or StoreError."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StoreFullError(
                f"no room left in {root}: {error.strerror}; free space or enlarge it"
            ) from error
        raise StoreError(f"{root}: {error}; check the folder and its permissions") from error


@contextmanager
def folder_aside(root: Path) -> Iterator[Path]:
    """A private folder (0700) on the same file system, locked while in use, removed afterwards."""
    aside = root / ASIDE
    aside.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder, descriptor = _locked(aside)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _locked(aside: Path) -> tuple[Path, int]:
    for _ in range(_ATTEMPTS):
        folder = Path(tempfile.mkdtemp(dir=aside))
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between mkdtemp and flock another process's clean_aside may take the folder for a dead writer's.
            if folder.exists():
                return folder, descriptor
        except BlockingIOError:
            pass
        os.close(descriptor)
    raise StoreError(f"{aside} is being emptied by another process again and again; look for what runs there")


def _copy(source: Path, target: Path) -> str:
    digest = hashlib.sha256()
    with open_regular(source) as reader, durable_file(target) as writer:
        for chunk in chunks_of(reader):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
