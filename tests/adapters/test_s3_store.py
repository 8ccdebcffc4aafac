"""The S3 store against a real S3 server."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import obstore
import pytest
from obstore.store import S3Store as Bucket

from adapters.package import (
    CARD,
    CONFIG,
    MANIFEST,
    SIGNATURE,
    WEIGHTS,
    PackageError,
    PackageFiles,
    manifest_of,
    package_digest,
    version_of,
)
from adapters.s3_store import PART_BYTES, S3Settings, S3Store
from adapters.store import CorruptVersionError, StoreError, VersionConflictError, VersionNotFoundError
from tests.adapters.adapter_builder import Recipe, build
from tests.adapters.s3_server import s3_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Settings]:
    with s3_server(tmp_path_factory.mktemp("s3")) as settings:
        yield settings


@pytest.fixture
def settings(server: S3Settings) -> S3Settings:
    return replace(server, prefix=f"test-{uuid4().hex}/")


@pytest.fixture
def bucket(settings: S3Settings) -> Bucket:
    return Bucket(
        settings.bucket,
        prefix=settings.prefix,
        endpoint=settings.endpoint,
        access_key_id=settings.access_key,
        secret_access_key=settings.secret_key,
        region=settings.region,
        client_options={"allow_http": True},
    )


@pytest.fixture
def store(settings: S3Settings) -> S3Store:
    return S3Store(settings)


def packaged(directory: Path, seed: int = 0) -> tuple[str, PackageFiles]:
    adapter = replace(build(Recipe(seed=seed)), card={"seed": seed})
    files = replace(adapter.write(directory), signature=b"signed")
    return str(version_of(manifest_of("fees", files))), files


def objects(bucket: Bucket) -> set[str]:
    return {str(item["path"]) for page in obstore.list(bucket) for item in page}


async def test_round_trip(tmp_path: Path, store: S3Store, bucket: Bucket) -> None:
    version, files = packaged(tmp_path / "package")
    assert not await store.has(version)
    assert await store.list_versions() == []
    await store.put(version, files)
    await store.put(version, files)
    assert await store.has(version)
    assert await store.list_versions() == [version]
    assert store.local_path(version) is None
    await store.verify(version)
    folder = await store.fetch(version, tmp_path / "copies")
    assert await store.fetch(version, tmp_path / "copies") == folder
    assert folder == tmp_path / "copies" / version
    assert {path.name for path in folder.iterdir()} == {CONFIG, WEIGHTS, CARD, MANIFEST, SIGNATURE}
    again = PackageFiles.from_directory(folder)
    assert (again.config, again.card, again.signature) == (files.config, files.card, b"signed")
    assert again.weights.read_bytes() == files.weights.read_bytes()
    await store.delete(version)
    await store.delete(version)
    assert not await store.has(version)
    assert objects(bucket) == set()


async def test_several_parts(tmp_path: Path, store: S3Store) -> None:
    files = build().write(tmp_path / "package")
    files.weights.write_bytes(os.urandom(2 * PART_BYTES + 12345))
    version = str(version_of(manifest_of("large", files)))
    await store.put(version, files)
    folder = await store.fetch(version, tmp_path / "copies")
    assert (folder / WEIGHTS).read_bytes() == files.weights.read_bytes()


async def test_other_bytes_are_refused(tmp_path: Path, store: S3Store, bucket: Bucket) -> None:
    version, files = packaged(tmp_path / "one")
    other_version, other = packaged(tmp_path / "two", seed=1)
    with pytest.raises(VersionConflictError, match=other_version):
        await store.put(version, other)
    assert objects(bucket) == set()
    await store.put(version, files)
    with pytest.raises(VersionConflictError):
        await store.put(version, other)
    await store.verify(version)


async def test_manifest_is_never_replaced(tmp_path: Path, store: S3Store, bucket: Bucket) -> None:
    """The server itself refuses a second manifest: what two gateways that put at once rely on."""
    version, files = packaged(tmp_path / "package")
    await store.put(version, files)
    with pytest.raises(obstore.exceptions.AlreadyExistsError):
        await obstore.put_async(bucket, f"{version}/{MANIFEST}", b"{}", mode="create")
    await store.verify(version)


async def test_concurrent_puts(tmp_path: Path, settings: S3Settings, store: S3Store) -> None:
    packages = [packaged(tmp_path / str(seed), seed) for seed in range(3)]
    others = [S3Store(settings) for _ in range(4)]
    await asyncio.gather(*(other.put(*package) for other in others for package in packages))
    assert await store.list_versions() == sorted(version for version, _ in packages)
    for version, _ in packages:
        await store.verify(version)


async def test_half_an_upload_is_invisible(tmp_path: Path, store: S3Store, bucket: Bucket) -> None:
    version, files = packaged(tmp_path / "package")
    manifest = manifest_of("fees", files)
    key = f"{version}/{package_digest(manifest)}/{WEIGHTS}"
    await obstore.put_async(bucket, key, b"half")
    assert not await store.has(version)
    assert await store.list_versions() == []
    with pytest.raises(VersionNotFoundError, match=version):
        await store.fetch(version, tmp_path / "copies")
    assert await store.clean_uploads(older_than_s=3600) == 0
    await store.put(version, files)
    await store.verify(version)
    await store.delete(version)
    await obstore.put_async(bucket, key, b"half")
    assert await store.clean_uploads(older_than_s=-60) == 1
    assert objects(bucket) == set()


async def test_manifest_without_files_is_completed(tmp_path: Path, store: S3Store, bucket: Bucket) -> None:
    """What a delete that overtakes a put leaves: the next put of the same bytes repairs it."""
    version, files = packaged(tmp_path / "package")
    manifest = manifest_of("fees", files)
    await obstore.put_async(bucket, f"{version}/{MANIFEST}", manifest.to_json(), mode="create")
    with pytest.raises(CorruptVersionError, match="missing"):
        await store.verify(version)
    await store.put(version, files)
    await store.verify(version)


async def test_damage_is_found(tmp_path: Path, store: S3Store, bucket: Bucket) -> None:
    version, files = packaged(tmp_path / "package")
    await store.put(version, files)
    key = next(path for path in objects(bucket) if path.endswith(WEIGHTS))
    content = files.weights.read_bytes()
    await obstore.put_async(bucket, key, content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CorruptVersionError, match=WEIGHTS):
        await store.verify(version)
    with pytest.raises(CorruptVersionError, match=WEIGHTS):
        await store.fetch(version, tmp_path / "copies")
    assert not (tmp_path / "copies" / version).exists()
    await obstore.put_async(bucket, f"{version}/{MANIFEST}", b"{}")
    with pytest.raises(CorruptVersionError):
        await store.fetch(version, tmp_path / "copies")


@pytest.mark.parametrize("version", ["fees", "../fees@0123456789ab", ""])
async def test_malformed_ids(tmp_path: Path, store: S3Store, version: str) -> None:
    _, files = packaged(tmp_path / "package")
    for call in (store.put(version, files), store.fetch(version, tmp_path), store.has(version)):
        with pytest.raises(PackageError):
            await call
    for call in (store.delete(version), store.verify(version)):
        with pytest.raises(PackageError):
            await call


async def test_wrong_credentials_and_absent_server(tmp_path: Path, settings: S3Settings) -> None:
    version, files = packaged(tmp_path / "package")
    wrong = S3Store(replace(settings, secret_key="wrong"))
    with pytest.raises(StoreError, match="credentials"):
        await wrong.put(version, files)
    absent = S3Store(replace(settings, endpoint="http://127.0.0.1:1", timeout_s=2.0))
    with pytest.raises(StoreError, match="endpoint"):
        await absent.has(version)


PUT = """
import asyncio, sys
from pathlib import Path
from adapters.package import PackageFiles
from adapters.s3_store import S3Settings, S3Store
bucket, endpoint, access, secret, prefix, version, directory = sys.argv[1:]
store = S3Store(S3Settings(bucket, endpoint, access, secret, prefix=prefix))
print("ready", flush=True)
asyncio.run(store.put(version, PackageFiles.from_directory(Path(directory))))
"""


def put_and_kill(settings: S3Settings, version: str, directory: Path, wait_s: float) -> None:
    place = [settings.bucket, settings.endpoint, settings.access_key, settings.secret_key, settings.prefix]
    process = subprocess.Popen(
        [sys.executable, "-c", PUT, *place, version, str(directory)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    time.sleep(wait_s)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=20)
    process.stdout.close()


async def test_kill_in_the_middle_of_put(
    tmp_path: Path, settings: S3Settings, store: S3Store, bucket: Bucket
) -> None:
    files = build().write(tmp_path / "package")
    files.weights.write_bytes(os.urandom(40 << 20))
    version = str(version_of(manifest_of("fees", files)))
    killed_inside = 0
    for attempt in range(6):
        await asyncio.to_thread(put_and_kill, settings, version, tmp_path / "package", 0.05 + attempt * 0.08)
        if await store.has(version):
            await store.verify(version)
            await store.delete(version)
        else:
            killed_inside += bool(objects(bucket))
            assert await store.list_versions() == []
    assert killed_inside > 0
    await store.put(version, files)
    await store.verify(version)
