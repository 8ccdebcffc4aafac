"""An adapter package: its files, its manifest, its digest, and the version id made of them."""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Self

import orjson

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
CARD = "card.json"
MANIFEST = "manifest.json"
SIGNATURE = "signature.json"
SIGNED_FILES = (CONFIG, WEIGHTS, CARD)  # what the digest and a signature cover

MAX_CONFIG_BYTES = 1 << 20
MAX_CARD_BYTES = 1 << 20
MAX_SIGNATURE_BYTES = 1 << 20
MAX_MANIFEST_BYTES = 1 << 16
CHUNK_BYTES = 1 << 20

# \Z and not $: `$` also matches before a final newline.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
_VERSION = re.compile(r"([a-z0-9][a-z0-9_-]{0,62})@([0-9a-f]{12})\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class PackageError(ValueError):
    """A name, version id, manifest or package folder that breaks the format; the text says how."""


@dataclass(frozen=True, slots=True)
class VersionId:
    """`name@digest12`: the engine's LoRA name and the store's folder name."""

    name: str
    digest12: str

    def __str__(self) -> str:
        return f"{self.name}@{self.digest12}"


def is_name(text: str) -> bool:
    """Whether `text` may name an adapter."""
    return _NAME.match(text) is not None


def is_version(text: str) -> bool:
    """Whether `text` has the form of a version id."""
    return _VERSION.match(text) is not None


def parse_name(text: str) -> str:
    """The adapter name, unchanged; raises PackageError when it is not one."""
    if not is_name(text):
        raise PackageError(
            f"adapter name {text[:80]!r} is not allowed: use 1 to 63 characters of a-z, 0-9, '_' and '-', "
            "beginning with a letter or digit"
        )
    return text


def parse_version(text: str) -> VersionId:
    """`fees@0123456789ab` → its parts; raises PackageError for anything else."""
    match = _VERSION.match(text)
    if match is None:
        raise PackageError(f"version id {text[:100]!r} is not of the form name@ and 12 lowercase hex digits")
    return VersionId(match[1], match[2])


@dataclass(frozen=True, slots=True)
class PackageFiles:
    """The bytes of one adapter. Weights stay on disk (they may be large); the rest is small and in memory."""

    config: bytes
    weights: Path
    card: bytes | None = None
    signature: bytes | None = None

    @classmethod
    def from_directory(cls, directory: Path) -> Self:
        """Read a package folder. Blocking.

        Raises PackageError when a file is missing, is not a regular file, or is larger than its cap.
        """
        config = _read_small(directory / CONFIG, MAX_CONFIG_BYTES)
        if config is None:
            raise PackageError(f"{directory} holds no {CONFIG}; save the adapter with PEFT's save_pretrained")
        weights = directory / WEIGHTS
        if not weights.is_file():
            raise PackageError(f"{directory} holds no {WEIGHTS}; save the adapter with safe serialization")
        card = _read_small(directory / CARD, MAX_CARD_BYTES)
        return cls(config, weights, card, _read_small(directory / SIGNATURE, MAX_SIGNATURE_BYTES))


@dataclass(frozen=True, slots=True)
class Manifest:
    """File names and their sha256 (64 hex digits), sorted by name; the package digest is made over it."""

    name: str
    files: tuple[tuple[str, str], ...]

    def to_json(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces."""
        return orjson.dumps({"files": dict(self.files), "name": self.name}, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Raises PackageError for anything but the canonical bytes of a manifest."""
        try:
            value = orjson.loads(raw[: MAX_MANIFEST_BYTES + 1])
            files = tuple(sorted(value["files"].items()))
            manifest = cls(parse_name(value["name"]), files)
            canonical = manifest.to_json()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise PackageError(f"{MANIFEST} cannot be read: {error}; store the package again") from None
        names = {name for name, _ in files}
        digests = (isinstance(digest, str) and _DIGEST.match(digest) for _, digest in files)
        if canonical != raw or not {CONFIG, WEIGHTS} <= names <= set(SIGNED_FILES) or not all(digests):
            raise PackageError(
                f"{MANIFEST} is not the canonical manifest of a package; store the package again"
            )
        return manifest


def manifest_of(name: str, files: PackageFiles) -> Manifest:
    """Hash the package's files. Blocking: reads all the weights once.

    Raises PackageError for a bad name, OSError when the weights cannot be read.
    """
    digests = [(CONFIG, hashlib.sha256(files.config).hexdigest()), (WEIGHTS, file_digest(files.weights))]
    if files.card is not None:
        digests.append((CARD, hashlib.sha256(files.card).hexdigest()))
    return Manifest(parse_name(name), tuple(sorted(digests)))


def package_digest(manifest: Manifest) -> str:
    """sha256 over the canonical manifest, 64 hex digits."""
    return hashlib.sha256(manifest.to_json()).hexdigest()


def version_of(manifest: Manifest) -> VersionId:
    """The version id: the name and the first 12 hex digits of the package digest."""
    return VersionId(manifest.name, package_digest(manifest)[:12])


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; raises OSError for links, pipes, devices: they could block or lie."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path.name} is not a regular file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def chunks_of(source: BufferedReader) -> Iterator[bytes]:
    """The rest of a file in pieces of CHUNK_BYTES."""
    while chunk := source.read(CHUNK_BYTES):
        yield chunk


def file_digest(path: Path) -> str:
    """sha256 of a regular file, 64 hex digits. Blocking; raises OSError."""
    with open_regular(path) as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _read_small(path: Path, cap: int) -> bytes | None:
    try:
        with open_regular(path) as source:
            raw = source.read(cap + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PackageError(f"{path} cannot be read: {error}") from None
    if len(raw) > cap:
        raise PackageError(f"{path} is larger than {cap:,} bytes, which is the most it may be")
    return raw
