from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from adapters.base_model import folder
from adapters.base_model.folder import CARD, Origin
from adapters.base_model.source import QWEN, ModelUnavailableError, Say

ORIGIN = Origin(QWEN, tied=True)
HOLDER = """
import sys, time
from pathlib import Path
from adapters.base_model import folder
out = Path(sys.argv[1])
with folder.exclusive(out, print), folder.built_aside(out / "model") as aside:
    (aside / "model.safetensors").write_bytes(b"half")
    print("holding", flush=True)
    time.sleep(60)
"""


def finish(target: Path, weights: bytes = b"weights") -> None:
    with folder.built_aside(target) as aside:
        (aside / "model.safetensors").write_bytes(weights)
        folder.write_card(aside, ORIGIN, "bf16", {"torch": "2"})


def holder(out: Path) -> subprocess.Popen[str]:
    """Another process in the middle of building in `out`."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(out)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    return process


def test_finished_folder_is_recognised(tmp_path: Path) -> None:
    finish(tmp_path / "model")
    assert folder.is_finished(tmp_path / "model", "bf16", QWEN)
    assert not folder.is_finished(tmp_path / "model", "int8", QWEN)
    card = json.loads((tmp_path / "model" / CARD).read_text())
    assert card["base_fingerprint"] == ORIGIN.fingerprint
    assert card["source"]["gguf_sha256"] == QWEN.sha256
    assert card["variant"] == "bf16"
    assert card["license"] == "Apache-2.0"
    assert card["versions"] == {"torch": "2"}


def test_fingerprint_tells_bases_apart_and_not_quantisations() -> None:
    assert len(ORIGIN.fingerprint) == 64
    assert Origin(QWEN, tied=True).fingerprint == ORIGIN.fingerprint
    assert Origin(QWEN, tied=False).fingerprint != ORIGIN.fingerprint


@pytest.mark.parametrize(
    "harm", ["no folder", "no card", "broken card", "short weights", "no weights", "recipe"]
)
def test_unfinished_folder_is_not_recognised(tmp_path: Path, harm: str) -> None:
    model = tmp_path / "model"
    if harm != "no folder":
        finish(model)
        card = model / CARD
        match harm:
            case "no card":
                card.unlink()
            case "broken card":
                card.write_text("[]")
            case "short weights":
                (model / "model.safetensors").write_bytes(b"weight")
            case "no weights":
                (model / "model.safetensors").unlink()
            case "recipe":
                card.write_text(json.dumps({**json.loads(card.read_text()), "recipe": folder.RECIPE - 1}))
    assert not folder.is_finished(model, "bf16", QWEN)


def test_failure_leaves_the_earlier_folder(tmp_path: Path) -> None:
    finish(tmp_path / "model", b"earlier")
    with pytest.raises(OSError, match="disk"), folder.built_aside(tmp_path / "model") as aside:
        (aside / "model.safetensors").write_bytes(b"new")
        raise OSError("disk full")
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == b"earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_killed_run_leaves_nothing_that_looks_finished(tmp_path: Path, say: Say) -> None:
    process = holder(tmp_path)
    process.kill()
    process.wait(timeout=10)
    assert not (tmp_path / "model").exists()
    with folder.exclusive(tmp_path, say, wait_s=1):  # the kernel gave the lock back
        finish(tmp_path / "model", b"whole")
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == b"whole"
    assert not list(tmp_path.glob(".*.partial"))


def test_second_run_waits_then_gives_up_with_a_message(tmp_path: Path, said: list[str], say: Say) -> None:
    process = holder(tmp_path)
    try:
        with (
            pytest.raises(ModelUnavailableError, match="Another run is still preparing"),
            folder.exclusive(tmp_path, say, wait_s=0.3),
        ):
            pytest.fail("two runs at once")
        assert said == [f"another run is preparing the model in {tmp_path}; waiting for it"]
    finally:
        process.kill()
        process.wait(timeout=10)


def test_second_run_goes_on_when_the_first_ends(tmp_path: Path, say: Say) -> None:
    process = holder(tmp_path)
    timer = threading.Timer(0.5, os.kill, (process.pid, signal.SIGKILL))
    timer.start()
    try:
        started = time.monotonic()
        with folder.exclusive(tmp_path, say, wait_s=30):
            assert time.monotonic() - started >= 0.4
    finally:
        timer.join()
        process.wait(timeout=10)


def test_disk_check_names_place_and_sizes(tmp_path: Path) -> None:
    folder.require_disk(tmp_path / "not" / "yet" / "there", 1, "the model")
    with pytest.raises(ModelUnavailableError) as caught:
        folder.require_disk(tmp_path / "not" / "yet", 10**18, "the model")
    assert f"{tmp_path / 'not' / 'yet'} has" in str(caught.value)
    assert "1000000000.0 GB are needed" in str(caught.value)
