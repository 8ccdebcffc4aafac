"""Adapter bytes in an S3 bucket.

Layout: `<prefix><version>/<package digest>/<file>` for the files, then `<prefix><version>/manifest.json`, written
last and only if absent. Without a manifest there is no version, so a killed upload is invisible; with the whole
digest in the key, two packages that share the id's 12 digits never write to the same object.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BufferedWriter
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store as Bucket

from adapters.package import (
    CARD,
    CONFIG,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    MAX_SIGNATURE_BYTES,
    SIGNATURE,
    WEIGHTS,
    Manifest,
    PackageFiles,
    is_version,
    manifest_of,
    open_regular,
    package_digest,
    parse_version,
    version_of,
)
from adapters.store import CorruptVersionError, StoreError, VersionConflictError, VersionNotFoundError
from adapters.version_folder import (
    check_manifest,
    durable_file,
    folder_aside,
    publish,
    remove_folder,
    reported,
    verify_folder,
    write_bytes,
)

PART_BYTES = 8 << 20  # S3 asks for at least 5 MiB a part
PARTS_AT_ONCE = 4
MAX_FILE_BYTES = 4 << 30
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Where the bucket is. `timeout_s` holds for one request; a large file is many."""

    bucket: str
    endpoint: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"
    prefix: str = ""
    timeout_s: float = 60.0


class S3Store:
    """An AdapterStore in a bucket; any number of processes may use the same one."""

    def __init__(self, settings: S3Settings) -> None:
        timeout = timedelta(seconds=settings.timeout_s)
        self._place = f"s3://{settings.bucket}/{settings.prefix}"
        self._bucket = Bucket(
            settings.bucket,
            prefix=settings.prefix.rstrip("/") or None,
            endpoint=settings.endpoint,
            access_key_id=settings.access_key,
            secret_access_key=settings.secret_key,
            region=settings.region,
            virtual_hosted_style_request=False,
            client_options={"allow_http": settings.endpoint.startswith("http://"), "timeout": timeout},
            retry_config={"max_retries": 3, "retry_timeout": timeout},
        )

    async def put(self, version: str, files: PackageFiles) -> None:
        """See AdapterStore."""
        name = parse_version(version).name
        with reported(files.weights):
            manifest = await asyncio.to_thread(manifest_of, name, files)
        if str(version_of(manifest)) != version:
            raise VersionConflictError(
                f"the files are version {version_of(manifest)}, not {version}; upload what was meant"
            )
        for _ in range(_ATTEMPTS):
            kept = await self._manifest(version)
            if kept is not None and kept != manifest:
                raise VersionConflictError(
                    f"{version} is taken by other bytes; retrain or rename the adapter"
                )
            if kept is not None and await self._is_whole(version, kept):
                return
            await self._upload(version, manifest, files)
        raise StoreError(f"{self._place}{version} is being deleted again and again; look for who does that")

    async def fetch(self, version: str, into: Path) -> Path:
        """See AdapterStore."""
        manifest = await self._required(version)
        if await asyncio.to_thread((into / version).is_dir):
            try:
                await asyncio.to_thread(verify_folder, into / version, version)
                return into / version
            except (VersionNotFoundError, CorruptVersionError):
                await asyncio.to_thread(remove_folder, into, version)
        with reported(into), folder_aside(into) as folder:
            await self._download(version, manifest, folder)
            await asyncio.to_thread(publish, into, version, lambda target: _move(folder, target))
        return into / version

    async def verify(self, version: str) -> None:
        """See AdapterStore."""
        manifest = await self._required(version)
        for name, digest in manifest.files:
            if await self._stream(_key(version, manifest, name), None) != digest:
                raise CorruptVersionError(
                    f"{version}: {name} is not what was stored; delete it and push it again"
                )

    async def has(self, version: str) -> bool:
        """See AdapterStore."""
        return await self._manifest(version) is not None

    async def delete(self, version: str) -> None:
        """See AdapterStore."""
        parse_version(version)
        # The manifest first: from then on the version is gone for everyone.
        await self._remove([f"{version}/{MANIFEST}"])
        await self._remove([str(item["path"]) for item in await self._list(f"{version}/")])

    async def list_versions(self) -> list[str]:
        """See AdapterStore."""
        paths = [str(item["path"]).split("/") for item in await self._list(None)]
        return sorted(
            parts[0] for parts in paths if len(parts) == 2 and parts[1] == MANIFEST and is_version(parts[0])
        )

    def local_path(self, version: str) -> Path | None:
        """None: an engine needs a fetched copy."""
        parse_version(version)
        return None

    async def clean_uploads(self, older_than_s: float) -> int:
        """Remove files of uploads that never got their manifest, older than `older_than_s` seconds.

        Returns how many objects. Younger ones may belong to an upload that is still running. Parts of an aborted
        multipart upload are not visible here: give the bucket a rule that expires them.
        """
        complete = set(await self.list_versions())
        limit = datetime.now(UTC) - timedelta(seconds=older_than_s)
        stale = [
            str(item["path"])
            for item in await self._list(None)
            if is_version(version := str(item["path"]).split("/")[0])
            and version not in complete
            and item["last_modified"] < limit
        ]
        await self._remove(stale)
        return len(stale)

    async def _upload(self, version: str, manifest: Manifest, files: PackageFiles) -> None:
        small = {CONFIG: files.config, CARD: files.card, SIGNATURE: files.signature}
        for name, content in small.items():
            if content is not None:
                await self._send(_key(version, manifest, name), content)
        digest = hashlib.sha256()
        await self._send(_key(version, manifest, WEIGHTS), _parts_of(files.weights, digest))
        # Hashed while sending: the upload may have changed since its manifest was made.
        if digest.hexdigest() != dict(manifest.files)[WEIGHTS]:
            raise VersionConflictError(f"{WEIGHTS} changed while being stored; upload the adapter again")
        try:
            await obstore.put_async(
                self._bucket, f"{version}/{MANIFEST}", manifest.to_json(), mode="create", use_multipart=False
            )
        except AlreadyExistsError:
            pass  # whose it is, put reads next
        except (BaseError, OSError) as error:
            raise self._failed(f"{version}/{MANIFEST}", error) from error

    async def _send(self, key: str, content: bytes | AsyncIterator[bytes]) -> None:
        try:
            await obstore.put_async(
                self._bucket, key, content, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
            )
        except (BaseError, OSError) as error:
            raise self._failed(key, error) from error

    async def _download(self, version: str, manifest: Manifest, folder: Path) -> None:
        for name, digest in manifest.files:
            if await self._stream(_key(version, manifest, name), folder / name) != digest:
                raise CorruptVersionError(
                    f"{version}: {name} is not what was stored; delete it and push it again"
                )
        signature = await self._read(_key(version, manifest, SIGNATURE), MAX_SIGNATURE_BYTES)
        if signature is not None:
            await asyncio.to_thread(write_bytes, folder / SIGNATURE, signature)
        await asyncio.to_thread(write_bytes, folder / MANIFEST, manifest.to_json())

    async def _stream(self, key: str, target: Path | None) -> str:
        """sha256 of an object, which is written to `target` on the way."""
        digest, size = hashlib.sha256(), 0
        try:
            result = await obstore.get_async(self._bucket, key)
            with durable_file(target) if target is not None else nullcontext() as file:
                async for chunk in result.stream(PART_BYTES):
                    size += len(chunk)
                    if size > MAX_FILE_BYTES:
                        raise CorruptVersionError(
                            f"{self._place}{key} is larger than {MAX_FILE_BYTES:,} bytes"
                        )
                    await asyncio.to_thread(_take, chunk, digest, file)
        except FileNotFoundError as error:
            raise CorruptVersionError(f"{self._place}{key} is missing; push the adapter again") from error
        except BaseError as error:
            raise self._failed(key, error) from error
        return digest.hexdigest()

    async def _read(self, key: str, cap: int) -> bytes | None:
        try:
            result = await obstore.get_async(self._bucket, key)
            if result.meta["size"] > cap:
                raise CorruptVersionError(f"{self._place}{key} is larger than {cap:,} bytes; push it again")
            return bytes(await result.bytes_async())
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise self._failed(key, error) from error

    async def _manifest(self, version: str) -> Manifest | None:
        parse_version(version)
        raw = await self._read(f"{version}/{MANIFEST}", MAX_MANIFEST_BYTES)
        return None if raw is None else check_manifest(raw, version)

    async def _required(self, version: str) -> Manifest:
        manifest = await self._manifest(version)
        if manifest is None:
            raise VersionNotFoundError(f"{self._place} holds no {version}; push the adapter again")
        return manifest

    async def _is_whole(self, version: str, manifest: Manifest) -> bool:
        # A delete between a put's last file and its manifest would leave a manifest without files.
        there = {str(item["path"]) for item in await self._list(f"{version}/")}
        return all(_key(version, manifest, name) in there for name, _ in manifest.files)

    async def _list(self, prefix: str | None) -> list[Any]:
        try:
            return [item async for page in obstore.list(self._bucket, prefix) for item in page]
        except (BaseError, OSError) as error:
            raise self._failed(prefix or "", error) from error

    async def _remove(self, keys: Sequence[str]) -> None:
        for key in keys:
            try:
                await obstore.delete_async(self._bucket, key)
            except FileNotFoundError:
                continue
            except (BaseError, OSError) as error:
                raise self._failed(key, error) from error

    def _failed(self, key: str, error: Exception) -> StoreError:
        reason = str(error).strip().split("\n")[0][:300]
        return StoreError(f"{self._place}{key}: {reason}; check the endpoint, the bucket and the credentials")


def _key(version: str, manifest: Manifest, name: str) -> str:
    return f"{version}/{package_digest(manifest)}/{name}"


async def _parts_of(path: Path, digest: Any) -> AsyncIterator[bytes]:
    with open_regular(path) as source:
        while part := await asyncio.to_thread(source.read, PART_BYTES):
            digest.update(part)
            yield part


def _take(chunk: bytes, digest: Any, file: BufferedWriter | None) -> None:
    digest.update(chunk)
    if file is not None:
        file.write(chunk)


def _move(source: Path, target: Path) -> None:
    for path in source.iterdir():
        path.rename(target / path.name)
