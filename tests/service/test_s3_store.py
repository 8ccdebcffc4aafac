"""The whole service with its adapters in a real S3 bucket: engines load local copies."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.adapters.s3_server import s3_server
from tests.models.marker import write_marker_adapter
from tests.stack import ROOT, Stack, eventually

pytestmark = pytest.mark.engine


def test_an_adapter_in_a_bucket_answers_survives_a_restart_and_is_collected(
    tiny_model: Path, tmp_path: Path
) -> None:
    marker = write_marker_adapter(tiny_model, tmp_path / "adapter", 7)
    # Without the bank's assistant, whose policy takes longer to read than the engine to start.
    (tmp_path / "assistants").mkdir()
    shutil.copy(ROOT / "examples/bank/assistants/general.yaml", tmp_path / "assistants")
    with s3_server(tmp_path / "s3") as bucket:
        store = {
            "ATELIER_ASSISTANTS_DIR": str(tmp_path / "assistants"),
            "ATELIER_STORE": f"s3://{bucket.bucket}/fleet/one",
            "ATELIER_S3_ENDPOINT": bucket.endpoint,
            "ATELIER_S3_ACCESS_KEY_ID": bucket.access_key,
            "ATELIER_S3_SECRET_ACCESS_KEY": bucket.secret_key,
        }
        with Stack(tiny_model, **store) as stack:
            version = stack.push(tmp_path / "adapter", "fees")
            copy = stack.var / "adapter-cache" / version
            assert (copy / "adapter_model.safetensors").is_file()
            assert not (stack.var / "adapters").exists(), "nothing belongs in the file store"
            assert _text(stack, "fees") == marker * 4

            stack.kill("engine-0")
            eventually(lambda: not _engine_proves(stack, version), seconds=60)
            eventually(lambda: _engine_proves(stack, version), seconds=180, every=0.5)
            assert _text(stack, version) == marker * 4

            name, _, digest = version.partition("@")
            with stack.http() as client:
                assert client.delete("/v1/releases/fees").status_code == 200
                assert client.delete(f"/v1/adapters/{name}/{digest}").status_code == 202
            stack.wait_state(version, "collected", seconds=90)
            eventually(lambda: not copy.exists(), seconds=90)


def _engine_proves(stack: Stack, version: str) -> bool:
    held = stack.adapter(version)["engines"].get("engine-0", {})
    return bool(held.get("state") == "proved")


def _text(stack: Stack, model: str) -> str:
    answer = stack.openai().completions.create(model=model, prompt="hello", max_tokens=4)
    return answer.choices[0].text
