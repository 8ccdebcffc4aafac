"""The port to where adapter bytes are kept: content-addressed, write-once."""

from pathlib import Path
from typing import Protocol

from adapters.package import PackageFiles


class StoreError(Exception):
    """The store could not do what was asked; the text says what, where, and what to do."""


class VersionNotFoundError(StoreError):
    """The store holds no complete version of this id."""


class VersionConflictError(StoreError):
    """The bytes given do not belong to the version id, or the id is taken by other bytes."""


class CorruptVersionError(StoreError):
    """Bytes in the store are not the ones their manifest names."""


class StoreFullError(StoreError):
    """No room left; nothing was written."""


class AdapterStore(Protocol):
    """Every method raises PackageError for a malformed version id, StoreError for the store's own failures.

    A version is there as a whole or not at all, whatever is killed when. A signature lies beside the version
    but is no part of it: the first one stays.
    """

    async def put(self, version: str, files: PackageFiles) -> None:
        """Keep the package. The same bytes again change nothing.

        Raises VersionConflictError when the files do not hash to `version`, or other bytes hold the id;
        StoreFullError when there is no room.
        """

    async def fetch(self, version: str, into: Path) -> Path:
        """Copy the version to the folder `into`/`version`, whole or not at all, and return that folder.

        Raises VersionNotFoundError; CorruptVersionError when a digest is not the manifest's; StoreFullError.
        """

    async def verify(self, version: str) -> None:
        """Read every byte kept; raises VersionNotFoundError or CorruptVersionError."""

    async def has(self, version: str) -> bool:
        """Whether the version is there, complete. Does not read its bytes."""

    async def delete(self, version: str) -> None:
        """Remove the version, or what a killed put left of it. Nothing there is no error."""

    async def list_versions(self) -> list[str]:
        """The ids of all complete versions, sorted."""

    def local_path(self, version: str) -> Path | None:
        """The folder an engine on this machine may load from in place; None when a copy must be fetched."""
