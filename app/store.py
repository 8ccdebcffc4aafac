"""Which adapter store and which signature rule the settings ask for."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from adapters.file_store import FileStore
from adapters.intake import SignatureCheck
from adapters.package import CARD, CONFIG, SIGNATURE, WEIGHTS, PackageFiles
from adapters.problem import Problem
from adapters.s3_store import S3Settings, S3Store
from adapters.signing import verify_signature
from adapters.store import AdapterStore
from app.config import Settings


async def open_store(settings: Settings) -> AdapterStore:
    """The store, ready for use. Raises StoreError when its folder cannot be made, ValueError for a bad URL."""
    if settings.store_dir is None:
        return S3Store(s3_settings(settings))
    store = FileStore(settings.store_dir.absolute())
    await store.open()
    return store


def s3_settings(settings: Settings) -> S3Settings:
    """`s3://bucket/prefix` and the s3_* settings. Raises ValueError without a bucket."""
    url = urlsplit(settings.store)
    if not url.netloc:
        raise ValueError(f"ATELIER_STORE is {settings.store!r}: give s3://bucket or s3://bucket/prefix")
    prefix = url.path.strip("/")
    return S3Settings(
        bucket=url.netloc,
        endpoint=settings.s3_endpoint or f"https://s3.{settings.s3_region}.amazonaws.com",
        access_key=settings.s3_access_key_id.get_secret_value(),
        secret_key=settings.s3_secret_access_key.get_secret_value(),
        region=settings.s3_region,
        prefix=f"{prefix}/" if prefix else "",
    )


def signature_check(settings: Settings) -> SignatureCheck:
    """How uploads' signatures are checked: one that is there must verify; one may be required."""

    def check(name: str, files: PackageFiles) -> tuple[Problem, ...]:
        if files.signature is None:
            if not settings.require_signature:
                return ()
            return (_problem(f"is missing and required here; sign {name} with a key this gateway knows"),)
        if not settings.signature_keys:
            return ()
        with tempfile.TemporaryDirectory(dir=files.weights.parent) as folder:
            stage(files, Path(folder))
            result = verify_signature(Path(folder), files.signature, settings.signature_keys)
        return () if result.ok else (_problem(result.reason),)

    return check


def stage(files: PackageFiles, folder: Path) -> None:
    """Lay a package's signed files into `folder`, the weights as a hard link. Blocking."""
    (folder / CONFIG).write_bytes(files.config)
    if files.card is not None:
        (folder / CARD).write_bytes(files.card)
    os.link(files.weights, folder / WEIGHTS)


def _problem(message: str) -> Problem:
    return Problem("signature", SIGNATURE, message)
