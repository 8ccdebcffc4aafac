"""Adapter bytes in a folder, `<root>/fees@0123456789ab/`, whence engines on this machine load in place."""

import asyncio
from pathlib import Path

from adapters.package import (
    PackageError,
    PackageFiles,
    is_version,
    manifest_of,
    package_digest,
    parse_version,
    version_of,
)
from adapters.store import CorruptVersionError, VersionConflictError, VersionNotFoundError
from adapters.version_folder import (
    ASIDE,
    clean_aside,
    publish,
    read_manifest,
    remove_folder,
    reported,
    verify_folder,
    write_package,
)


class FileStore:
    """An AdapterStore in a folder; any number of processes may use the same one.

    File work runs in threads. A cancelled call's thread still finishes, and leaves a whole version or nothing.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> Path:
        """The folder that holds one folder for each version."""
        return self._root

    async def open(self) -> None:
        """Make the folder (0700) and remove what killed writers left. Raises StoreError."""
        await asyncio.to_thread(self._open)

    async def put(self, version: str, files: PackageFiles) -> None:
        """See AdapterStore."""
        await asyncio.to_thread(self._put, version, files)

    async def fetch(self, version: str, into: Path) -> Path:
        """See AdapterStore."""
        return await asyncio.to_thread(self._fetch, version, into)

    async def verify(self, version: str) -> None:
        """See AdapterStore."""
        parse_version(version)
        await asyncio.to_thread(verify_folder, self._root / version, version)

    async def has(self, version: str) -> bool:
        """See AdapterStore."""
        return await asyncio.to_thread(self._has, version)

    async def delete(self, version: str) -> None:
        """See AdapterStore."""
        parse_version(version)
        await asyncio.to_thread(remove_folder, self._root, version)

    async def list_versions(self) -> list[str]:
        """See AdapterStore."""
        return await asyncio.to_thread(self._list)

    def local_path(self, version: str) -> Path | None:
        """See AdapterStore."""
        parse_version(version)
        path = self._root / version
        return path if path.is_dir() else None

    def _open(self) -> None:
        with reported(self._root):
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._root / ASIDE).mkdir(mode=0o700, exist_ok=True)
            clean_aside(self._root)

    def _put(self, version: str, files: PackageFiles) -> None:
        parse_version(version)
        with reported(self._root):
            manifest = manifest_of(parse_version(version).name, files)
        if str(version_of(manifest)) != version:
            raise VersionConflictError(
                f"the files are version {version_of(manifest)}, not {version}; upload what was meant"
            )
        if not self._has(version):
            publish(self._root, version, lambda folder: write_package(folder, manifest, files))
        # 12 digits can be made to collide: the id's owner must have this very digest.
        if package_digest(read_manifest(self._root / version, version)) != package_digest(manifest):
            raise VersionConflictError(f"{version} is taken by other bytes; retrain or rename the adapter")

    def _fetch(self, version: str, into: Path) -> Path:
        parse_version(version)
        return copy_version(self._root, version, into)

    def _has(self, version: str) -> bool:
        parse_version(version)
        try:
            read_manifest(self._root / version, version)
        except (VersionNotFoundError, CorruptVersionError):
            return False
        return True

    def _list(self) -> list[str]:
        with reported(self._root):
            names = [path.name for path in self._root.iterdir()] if self._root.is_dir() else []
        return sorted(name for name in names if is_version(name) and self._has(name))


def copy_version(root: Path, version: str, into: Path) -> Path:
    """Copy a version's folder to `into`, verified; what is there already is verified and kept. Blocking.

    Raises VersionNotFoundError, CorruptVersionError, StoreFullError.
    """
    manifest = read_manifest(root / version, version)
    if (into / version).is_dir():
        try:
            verify_folder(into / version, version)
            return into / version
        except (VersionNotFoundError, CorruptVersionError):
            remove_folder(into, version)
    try:
        files = PackageFiles.from_directory(root / version)
        publish(into, version, lambda folder: write_package(folder, manifest, files))
    except (PackageError, VersionConflictError) as error:
        raise CorruptVersionError(f"{version} is damaged in the store: {error}") from None
    return into / version
