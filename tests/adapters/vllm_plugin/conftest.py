"""Adapters for the shared engine."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.models.marker import write_marker_adapter

Publish = Callable[..., tuple[str, str]]  # (marker, rank=…) → (version, the marker's text)


@pytest.fixture(scope="session")
def publish(tiny_model: Path, store: Path) -> Publish:
    """Write a marker adapter into the store under a version id of its own."""

    def write(marker: int, rank: int = 8, seed: int = 0) -> tuple[str, str]:
        version = f"m{marker}@{marker:04x}{rank:04x}{seed:04x}"
        text = write_marker_adapter(tiny_model, store / version, marker, rank=rank, seed=seed)
        return version, text

    return write
