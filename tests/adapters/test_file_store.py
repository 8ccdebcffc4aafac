"""The file store: whole versions or none, whatever happens in the middle."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.file_store import FileStore
from adapters.package import (
    CARD,
    CONFIG,
    MANIFEST,
    SIGNATURE,
    WEIGHTS,
    Manifest,
    PackageError,
    PackageFiles,
    manifest_of,
    version_of,
)
from adapters.store import (
    CorruptVersionError,
    StoreError,
    VersionConflictError,
    VersionNotFoundError,
)
from adapters.version_folder import ASIDE, clean_aside, folder_aside
from tests.adapters.adapter_builder import Recipe, build


def packaged(directory: Path, seed: int = 0) -> tuple[str, PackageFiles]:
    adapter = replace(build(Recipe(seed=seed)), card={"seed": seed})
    files = replace(adapter.write(directory), signature=b"signed")
    return str(version_of(manifest_of("fees", files))), files


def unsigned(directory: Path) -> tuple[str, PackageFiles]:
    files = build().write(directory)
    return str(version_of(manifest_of("fees", files))), files


@pytest.fixture
async def store(tmp_path: Path) -> FileStore:
    store = FileStore(tmp_path / "store")
    await store.open()
    return store


def left_aside(store: FileStore) -> list[Path]:
    return list((store.root / ASIDE).iterdir())


async def test_round_trip(tmp_path: Path, store: FileStore) -> None:
    version, files = packaged(tmp_path / "package")
    assert not await store.has(version)
    assert store.local_path(version) is None
    await store.put(version, files)
    await store.put(version, files)
    assert await store.has(version)
    assert await store.list_versions() == [version]
    await store.verify(version)
    local = store.local_path(version)
    assert local is not None
    for folder in (local, await store.fetch(version, tmp_path / "copies")):
        assert folder.name == version
        assert {path.name for path in folder.iterdir()} == {CONFIG, WEIGHTS, CARD, MANIFEST, SIGNATURE}
        again = PackageFiles.from_directory(folder)
        assert (again.config, again.card, again.signature) == (files.config, files.card, b"signed")
        assert again.weights.read_bytes() == files.weights.read_bytes()
    assert left_aside(store) == []
    await store.delete(version)
    await store.delete(version)
    assert not await store.has(version)
    assert await store.list_versions() == []
    assert left_aside(store) == []


async def test_modes(tmp_path: Path, store: FileStore) -> None:
    version, files = packaged(tmp_path / "package")
    await store.put(version, files)
    assert stat.S_IMODE((store.root / version).stat().st_mode) == 0o700
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o700
    for path in (store.root / version).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o440


async def test_other_bytes_are_refused(tmp_path: Path, store: FileStore) -> None:
    version, files = packaged(tmp_path / "one")
    other_version, other = packaged(tmp_path / "two", seed=1)
    with pytest.raises(VersionConflictError, match=other_version):
        await store.put(version, other)
    assert await store.list_versions() == []
    await store.put(version, files)
    with pytest.raises(VersionConflictError):
        await store.put(version, other)
    await store.verify(version)


@pytest.mark.parametrize(
    "version", ["fees", "../fees@0123456789ab", "fees@0123456789ab/..", "", "fees@0123456789AB"]
)
async def test_malformed_ids(tmp_path: Path, store: FileStore, version: str) -> None:
    _, files = packaged(tmp_path / "package")
    for call in (store.put(version, files), store.fetch(version, tmp_path), store.has(version)):
        with pytest.raises(PackageError):
            await call
    for call in (store.delete(version), store.verify(version)):
        with pytest.raises(PackageError):
            await call
    with pytest.raises(PackageError):
        store.local_path(version)


async def test_concurrent_puts(tmp_path: Path, store: FileStore) -> None:
    packages = [packaged(tmp_path / str(seed), seed) for seed in range(3)]
    others = [FileStore(store.root) for _ in range(4)]
    await asyncio.gather(*(other.put(*package) for other in others for package in packages))
    assert await store.list_versions() == sorted(version for version, _ in packages)
    for version, _ in packages:
        await store.verify(version)
    assert left_aside(store) == []


async def test_put_and_delete_race_leaves_all_or_nothing(tmp_path: Path, store: FileStore) -> None:
    version, files = packaged(tmp_path / "package")
    for _ in range(20):
        results = await asyncio.gather(
            store.put(version, files),
            store.delete(version),
            store.put(version, files),
            return_exceptions=True,
        )
        assert all(result is None or isinstance(result, VersionNotFoundError) for result in results)
        if await store.has(version):
            await store.verify(version)
        else:
            assert not (store.root / version).exists()
        await store.delete(version)


async def test_damage_is_found(tmp_path: Path, store: FileStore) -> None:
    version, files = packaged(tmp_path / "package")
    await store.put(version, files)
    path = store.root / version / WEIGHTS
    path.chmod(0o600)
    content = path.read_bytes()
    for damaged in (content[:-1], content[:-1] + b"\0\0", content[:-1] + bytes([content[-1] ^ 1])):
        path.write_bytes(damaged)
        with pytest.raises(CorruptVersionError, match=WEIGHTS):
            await store.verify(version)
        with pytest.raises(CorruptVersionError, match=WEIGHTS):
            await store.fetch(version, tmp_path / "copies")
        assert not (tmp_path / "copies" / version).exists()
    path.unlink()
    with pytest.raises(CorruptVersionError):
        await store.fetch(version, tmp_path / "copies")


async def test_fetch_repairs_a_damaged_copy(tmp_path: Path, store: FileStore) -> None:
    version, files = packaged(tmp_path / "package")
    await store.put(version, files)
    copy = await store.fetch(version, tmp_path / "copies")
    (copy / WEIGHTS).unlink()
    assert await store.fetch(version, tmp_path / "copies") == copy
    assert (copy / WEIGHTS).read_bytes() == files.weights.read_bytes()
    with pytest.raises(VersionNotFoundError):
        await store.fetch("fees@000000000000", tmp_path / "copies")


async def test_weights_that_change_meanwhile(
    tmp_path: Path, store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change falls between hashing and copying: where the copy is made, the file is another."""
    version, files = packaged(tmp_path / "package")

    def slow(name: str, given: PackageFiles) -> Manifest:
        manifest = manifest_of(name, given)
        given.weights.write_bytes(b"something else")
        return manifest

    monkeypatch.setattr("adapters.file_store.manifest_of", slow)
    with pytest.raises(VersionConflictError, match="changed while"):
        await store.put(version, files)
    assert await store.list_versions() == []
    assert left_aside(store) == []


PUT = """
import asyncio, sys
from pathlib import Path
from adapters.file_store import FileStore
from adapters.package import PackageFiles
store = FileStore(Path(sys.argv[1]))
print("ready", flush=True)
asyncio.run(store.put(sys.argv[2], PackageFiles.from_directory(Path(sys.argv[3]))))
print("done", flush=True)
"""


def put_and_kill(store: FileStore, version: str, directory: Path, wait_s: float) -> None:
    """Kill a process that puts, `wait_s` seconds after it began to write."""
    process = subprocess.Popen(
        [sys.executable, "-c", PUT, str(store.root), version, str(directory)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    deadline = time.monotonic() + 20
    while not left_aside(store) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(wait_s)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=20)
    process.stdout.close()


async def test_kill_in_the_middle_of_put(tmp_path: Path, store: FileStore) -> None:
    """Killed at many moments: never half a version; after a restart nothing lies around, and put works."""
    directory = tmp_path / "package"
    files = build().write(directory)
    with files.weights.open("ab") as weights:
        for _ in range(48):
            weights.write(os.urandom(1 << 20))
    version = str(version_of(manifest_of("fees", files)))
    killed_inside = 0
    for attempt in range(12):
        await asyncio.to_thread(put_and_kill, store, version, directory, attempt * 0.012)
        if await store.has(version):
            await store.verify(version)
            await store.delete(version)
        else:
            killed_inside += bool(left_aside(store))
            assert not (store.root / version).exists()
        await store.open()
        assert left_aside(store) == []
    assert killed_inside > 0
    await store.put(version, files)
    await store.verify(version)


def test_cleaning_spares_the_living(tmp_path: Path) -> None:
    (tmp_path / ASIDE).mkdir()
    (tmp_path / ASIDE / "dead").mkdir()
    with folder_aside(tmp_path) as alive:
        assert clean_aside(tmp_path) == 1
        assert alive.is_dir()
    assert list((tmp_path / ASIDE).iterdir()) == []


FULL = """
import asyncio, resource, sys
from pathlib import Path
from adapters.file_store import FileStore
from adapters.package import PackageFiles
from adapters.store import StoreFullError
files = PackageFiles.from_directory(Path(sys.argv[3]))
if sys.argv[4] == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
root = Path(sys.argv[1])
try:
    asyncio.run(FileStore(root).put(sys.argv[2], files))
except StoreFullError as error:
    print("full:", error)
    print("left:", sorted(str(path.relative_to(root)) for path in root.rglob("*")))
"""


def test_no_room_by_limit(tmp_path: Path) -> None:
    version, _ = unsigned(tmp_path / "package")
    (tmp_path / "store").mkdir()
    command = [
        sys.executable,
        "-c",
        FULL,
        str(tmp_path / "store"),
        version,
        str(tmp_path / "package"),
        "limit",
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.startswith("full: no room left in")
    assert result.stdout.endswith("left: ['.incoming']\n")


def may_mount() -> bool:
    """Whether this machine lets us mount a small file system in a name space of our own."""
    try:
        command = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not may_mount(), reason="needs the right to mount a small file system")
def test_no_room_on_a_real_disk(tmp_path: Path) -> None:
    version, _ = unsigned(tmp_path / "package")
    (tmp_path / "store").mkdir()
    script = 'mount -t tmpfs -o size=8k none "$1" && exec "$0" -c "$5" "$1" "$2" "$3" "$4"'
    arguments = [sys.executable, str(tmp_path / "store"), version, str(tmp_path / "package"), "disk", FULL]
    command = ["unshare", "-rm", "sh", "-c", script, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "No space left on device" in result.stdout
    assert result.stdout.endswith("left: ['.incoming']\n")


async def test_unreadable_weights(tmp_path: Path, store: FileStore) -> None:
    version, files = packaged(tmp_path / "package")
    files.weights.unlink()
    with pytest.raises(StoreError):
        await store.put(version, files)


@settings(max_examples=25, deadline=None)
@given(
    config=st.binary(max_size=100), weights=st.binary(max_size=3000), card=st.none() | st.binary(max_size=50)
)
def test_any_bytes_round_trip(config: bytes, weights: bytes, card: bytes | None) -> None:
    async def round_trip(directory: Path) -> None:
        path = directory / "weights"
        path.write_bytes(weights)
        files = PackageFiles(config, path, card)
        version = str(version_of(manifest_of("any", files)))
        store = FileStore(directory / "store")
        await store.open()
        await store.put(version, files)
        again = PackageFiles.from_directory(await store.fetch(version, directory / "copies"))
        assert (again.config, again.weights.read_bytes(), again.card) == (config, weights, card)

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(round_trip(Path(directory)))
