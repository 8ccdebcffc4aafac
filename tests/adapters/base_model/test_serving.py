from __future__ import annotations

import os
from pathlib import Path

import pytest

from adapters.base_model.serving import cpu_settings


def test_every_core_asked_for_computes() -> None:
    allowed = sorted(os.sched_getaffinity(0))
    bound = cpu_settings(len(allowed)).env["VLLM_CPU_OMP_THREADS_BIND"]
    assert [int(core) for core in bound.split(",")] == allowed
    assert cpu_settings(1).env["VLLM_CPU_OMP_THREADS_BIND"] == str(allowed[0])


def test_intel_runtime_only_where_it_exists(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    assert "LD_PRELOAD" not in cpu_settings(1, python).env
    library = tmp_path / "lib" / "libiomp5.so"
    library.parent.mkdir()
    library.write_bytes(b"")
    assert cpu_settings(1, python).env["LD_PRELOAD"] == str(library)
    assert "LD_PRELOAD" not in cpu_settings(1).env


def test_a_path_that_would_break_the_preload_list_is_left_out(tmp_path: Path) -> None:
    library = tmp_path / "with space" / "lib" / "libiomp5.so"
    library.parent.mkdir(parents=True)
    library.write_bytes(b"")
    assert "LD_PRELOAD" not in cpu_settings(1, tmp_path / "with space" / "bin" / "python").env


def test_no_cores_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one core"):
        cpu_settings(0)
