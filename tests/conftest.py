"""Servers that many tests share: each is started once a session, and only if a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine_process import make_tiny_model
from tests.stack import Stack


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random Llama, made in seconds."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def stack(tiny_model: Path) -> Iterator[Stack]:
    """The whole service with one engine. Tests that kill parts of it leave it running again."""
    with Stack(tiny_model) as running:
        yield running
