"""Names, version ids, manifests and digests."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.package import (
    CARD,
    CONFIG,
    MANIFEST,
    WEIGHTS,
    Manifest,
    PackageError,
    PackageFiles,
    is_name,
    is_version,
    manifest_of,
    package_digest,
    parse_name,
    parse_version,
    version_of,
)
from tests.adapters.adapter_builder import build

names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)


@given(name=names, digest=st.from_regex(r"[0-9a-f]{12}", fullmatch=True))
def test_version_ids_round_trip(name: str, digest: str) -> None:
    version = parse_version(f"{name}@{digest}")
    assert (version.name, version.digest12, str(version)) == (name, digest, f"{name}@{digest}")
    assert parse_name(name) == name


@pytest.mark.parametrize(
    "text",
    ["", "A", "-a", "_a", "a.b", "a/b", "../x", "a" * 64, "a\n", "ä", "a b", "a@0123456789ab", "а", "a\0"],
)
def test_bad_names(text: str) -> None:
    assert not is_name(text)
    with pytest.raises(PackageError, match="not allowed"):
        parse_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fees",
        "fees@",
        "fees@0123456789a",
        "fees@0123456789abc",
        "fees@0123456789AB",
        "../fees@0123456789ab",
        "fees@0123456789ab\n",
        "fees@0123456789ab/..",
        "@0123456789ab",
        "a@b@0123456789ab",
        "fees@٠123456789ab",
    ],
)
def test_bad_versions(text: str) -> None:
    assert not is_version(text)
    with pytest.raises(PackageError, match="not of the form"):
        parse_version(text)


@given(name=names, config=digests, weights=digests, card=st.none() | digests)
def test_manifest_round_trip(name: str, config: str, weights: str, card: str | None) -> None:
    files = {CONFIG: config, WEIGHTS: weights} | ({CARD: card} if card else {})
    manifest = Manifest(name, tuple(sorted(files.items())))
    expected = json.dumps({"files": files, "name": name}, sort_keys=True, separators=(",", ":")).encode()
    assert manifest.to_json() == expected
    assert Manifest.from_json(expected) == manifest
    assert package_digest(manifest) == hashlib.sha256(expected).hexdigest()
    assert str(version_of(manifest)) == f"{name}@{hashlib.sha256(expected).hexdigest()[:12]}"


GOOD = Manifest("fees", ((CONFIG, "0" * 64), (WEIGHTS, "1" * 64))).to_json()


@given(position=st.integers(0, len(GOOD) - 1), change=st.integers(1, 255))
def test_changed_manifest_has_another_version_or_is_refused(position: int, change: int) -> None:
    raw = bytearray(GOOD)
    raw[position] ^= change
    try:
        manifest = Manifest.from_json(bytes(raw))
    except PackageError:
        return
    assert version_of(manifest) != version_of(Manifest.from_json(GOOD))


@given(raw=st.binary(max_size=200))
def test_random_manifests_are_refused(raw: bytes) -> None:
    with pytest.raises(PackageError):
        Manifest.from_json(raw)


@pytest.mark.parametrize(
    "raw",
    [
        GOOD + b" ",
        b"[]",
        b'{"files":{},"name":"fees"}',
        GOOD.replace(b"fees", b"../x"),
        json.dumps(json.loads(GOOD)).encode(),
        GOOD.replace(b'"adapter_config.json"', b'"../evil"'),
        GOOD.replace(b'"0', b'"G'),
        b'{"files":{"adapter_config.json":1,"adapter_model.safetensors":2},"name":"fees"}',
        b"[" * 100_000,
    ],
)
def test_bad_manifests(raw: bytes) -> None:
    with pytest.raises(PackageError, match=MANIFEST):
        Manifest.from_json(raw)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=st.binary(), weights=st.binary(), card=st.none() | st.binary(), position=st.integers(0))
def test_digest_covers_every_file(
    tmp_path: Path, config: bytes, weights: bytes, card: bytes | None, position: int
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(weights)
    files = PackageFiles(config, path, card, b"signature")
    version = version_of(manifest_of("fees", files))
    assert version == version_of(manifest_of("fees", replace(files, signature=None)))
    assert version != version_of(manifest_of("other", files))
    assert version != version_of(manifest_of("fees", replace(files, config=config + b"x")))
    assert version != version_of(manifest_of("fees", replace(files, card=(card or b"") + b"x")))
    path.write_bytes(weights + b"x")
    assert version != version_of(manifest_of("fees", files))


def test_from_directory(tmp_path: Path) -> None:
    files = replace(build(), card={"x": 1}).write(tmp_path / "a")
    assert files.card == b'{"x": 1}'
    assert files.weights == tmp_path / "a" / WEIGHTS
    assert files.signature is None
    (tmp_path / "a" / CONFIG).write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(PackageError, match="larger than"):
        PackageFiles.from_directory(tmp_path / "a")
    (tmp_path / "a" / CONFIG).unlink()
    with pytest.raises(PackageError, match=CONFIG):
        PackageFiles.from_directory(tmp_path / "a")
    os.mkfifo(tmp_path / "a" / CONFIG)
    with pytest.raises(PackageError, match="regular file"):
        PackageFiles.from_directory(tmp_path / "a")
    with pytest.raises(PackageError, match=CONFIG):
        PackageFiles.from_directory(tmp_path / "absent")
