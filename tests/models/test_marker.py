"""The test adapters themselves: their bytes, and that each poison has its fault and no other reason to fail."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from tests.engine_process import make_tiny_model
from tests.models.marker import POISONS, marker_text, write_marker_adapter, write_poisoned


def weights(folder: Path) -> bytes:
    return (folder / "adapter_model.safetensors").read_bytes()


def test_the_model_is_the_same_every_time(tiny_model: Path, tmp_path: Path) -> None:
    again = make_tiny_model(tmp_path / "again")
    for path in sorted(tiny_model.iterdir()):
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_same_arguments_same_bytes_other_seed_other_bytes(tiny_model: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert write_marker_adapter(tiny_model, tmp_path / name, 7, seed=seed) == "<m007>"
    assert weights(tmp_path / "a") == weights(tmp_path / "b") != weights(tmp_path / "c")


@pytest.mark.parametrize("rank", [1, 8, 64])
def test_a_marker_adapter_is_a_whole_safetensors_file(tiny_model: Path, tmp_path: Path, rank: int) -> None:
    write_marker_adapter(tiny_model, tmp_path, 255, rank=rank)
    data = weights(tmp_path)
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    del header["__metadata__"]
    assert len(header) == 2 * 2 * 7
    assert max(entry["data_offsets"][1] for entry in header.values()) == len(data) - 8 - length
    sides = {name.split(".")[-2]: entry["shape"] for name, entry in header.items()}
    assert (sides["lora_A"][0], sides["lora_B"][1]) == (rank, rank)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["r"] == rank
    bits = np.frombuffer(data[8 + length :], "<u2")
    assert not ((bits & 0x7F80) == 0x7F80).any(), "not finite"


@pytest.mark.parametrize("marker", [-1, 256])
def test_markers_out_of_range_are_refused(marker: int) -> None:
    with pytest.raises(ValueError, match="between 0 and 255"):
        marker_text(marker)


def test_every_poison_differs_from_the_good_adapter(tiny_model: Path, tmp_path: Path) -> None:
    write_marker_adapter(tiny_model, tmp_path / "good", 255)
    good = {path.name: path.read_bytes() for path in (tmp_path / "good").iterdir()}
    written = set()
    for kind in POISONS:
        write_poisoned(tiny_model, tmp_path / kind, kind)
        files = {path.name: path.read_bytes() for path in (tmp_path / kind).iterdir()}
        assert files != good, kind
        written.add(tuple(sorted(files.items())))
    assert len(written) == len(POISONS)


def test_an_unknown_poison_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown poison"):
        write_poisoned(tiny_model, tmp_path, "arsenic")
