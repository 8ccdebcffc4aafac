"""The default chat model for real: prepared by the command, and answering under vLLM with both weights.

Runs where the engine's environment is there and the packages can be had; in CI (`CI=true`) that is a must.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.base_model.serving import cpu_settings

ENGINE_PYTHON = Path(".venv-engine/bin/python")
MODELS, CACHE = Path("var/models"), Path("var/cache")
BF16, INT8 = MODELS / "qwen2.5-0.5b-bf16", MODELS / "qwen2.5-0.5b-int8"

pytestmark = [pytest.mark.default_model, pytest.mark.timeout(1800)]


def run_prepare() -> subprocess.CompletedProcess[str]:
    command = [str(ENGINE_PYTHON), "-m", "adapters.base_model.prepare"]
    command += ["--out", str(MODELS), "--cache", str(CACHE)]
    return subprocess.run(command, capture_output=True, text=True, timeout=1500, check=False)


def cannot(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def prepared() -> None:
    if not ENGINE_PYTHON.exists():
        cannot(f"no engine environment: {ENGINE_PYTHON} is missing (`make engine` makes it)")
    result = run_prepare()
    if result.returncode:
        cannot(f"the default model cannot be prepared here: {result.stderr}")


def card(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "atelier_model.json").read_text())
    return content


def tensors(folder: Path) -> dict[str, dict[str, Any]]:
    """The header of the weights: name → dtype, shape."""
    with (folder / "model.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, dict[str, Any]] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return header


def in_engine_environment(code: str) -> str:
    command = [str(ENGINE_PYTHON), "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_both_folders_describe_the_same_base(prepared: None) -> None:
    bf16, int8 = card(BF16), card(INT8)
    assert bf16["base_fingerprint"] == int8["base_fingerprint"]
    assert (bf16["variant"], int8["variant"]) == ("bf16", "int8")
    assert bf16["source"]["gguf_sha256"].startswith("1d961463")


def test_head_is_tied_and_stored_once(prepared: None) -> None:
    for folder in (BF16, INT8):
        assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is True
        header = tensors(folder)
        assert "lm_head.weight" not in header
        assert header["model.embed_tokens.weight"]["dtype"] == "BF16"


def test_every_linear_layer_is_int8_with_a_scale_per_channel(prepared: None) -> None:
    header = tensors(INT8)
    layers = [name for name in header if name.endswith("_proj.weight")]
    assert len(layers) == 24 * 7
    for name in layers:
        assert header[name]["dtype"] == "I8", name
        scale = header[f"{name}_scale"]
        assert (scale["dtype"], scale["shape"]) == ("F32", [header[name]["shape"][0], 1]), name


def test_int8_weights_are_the_nearest_to_bf16(prepared: None) -> None:
    """No weight is further from its bf16 value than half a step of its channel's scale."""
    output = in_engine_environment(f"""
from safetensors import safe_open
with safe_open("{INT8}/model.safetensors", "pt") as q, safe_open("{BF16}/model.safetensors", "pt") as w:
    worst = 0.0
    for name in (n for n in q.keys() if n.endswith("_proj.weight")):
        scale = q.get_tensor(name + "_scale")
        steps = (q.get_tensor(name).float() - w.get_tensor(name).float() / scale).abs()
        worst = max(worst, steps.max().item())
    print(worst)
""")
    assert 0.4 < float(output) <= 0.501


def test_a_head_of_its_own_would_be_noticed(prepared: None) -> None:
    output = in_engine_environment("""
import torch
from adapters.base_model.convert import match_head
torch.manual_seed(0)
matrix = torch.randn(50, 16)
other = matrix.clone(); other[7] = torch.randn(16)
print(match_head(matrix, matrix * 1.01).same, match_head(matrix, other).same,
      match_head(matrix, torch.randn(50, 16)).same)
""")
    assert output.split() == ["True", "False", "False"]


def test_second_run_changes_nothing_and_is_quick(prepared: None) -> None:
    before = {path: path.stat().st_mtime_ns for path in MODELS.glob("qwen*/*")}
    started = time.monotonic()
    assert run_prepare().returncode == 0
    # 0.05 s on an idle machine; the bound only has to tell it from a run that imports torch or downloads.
    assert time.monotonic() - started < 3
    assert {path: path.stat().st_mtime_ns for path in MODELS.glob("qwen*/*")} == before


def test_tool_call_marks_are_text_and_stop_tokens_are_not(prepared: None) -> None:
    """Else the engine's tool parser would never see the marks, or answers would not stop."""
    added = {
        t["content"]: t["special"] for t in json.loads((INT8 / "tokenizer.json").read_text())["added_tokens"]
    }
    assert added["<tool_call>"] is False
    assert added["<|im_end|>"] is True
    generation = json.loads((INT8 / "generation_config.json").read_text())
    assert generation["eos_token_id"] == [151645, 151643]


@contextmanager
def served(folder: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    settings = cpu_settings(len(os.sched_getaffinity(0)), ENGINE_PYTHON)
    socket, log = tmp_path / "engine.sock", tmp_path / "engine.log"
    command = [str(ENGINE_PYTHON), "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    command += ["--served-model-name", "base", "--uds", str(socket), "--max-model-len", "2048"]
    command += ["--enforce-eager", *settings.flags]
    with log.open("w") as out:
        process = subprocess.Popen(
            command, env={**os.environ, **settings.env}, stdout=out, stderr=out, start_new_session=True
        )
    try:
        transport = httpx.HTTPTransport(uds=str(socket))
        with httpx.Client(transport=transport, base_url="http://engine", timeout=120) as client:
            deadline = time.monotonic() + 600
            while not healthy(client):
                assert process.poll() is None, log.read_text()[-4000:]
                assert time.monotonic() < deadline, log.read_text()[-4000:]
                time.sleep(0.5)
            yield client
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(timeout=20)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def healthy(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


QUESTIONS = (
    ("只根据资料用一句话回答。资料：白金卡主卡年费为2000元/年。", "白金卡年费多少钱？", "2000"),
    ("只根据资料用一句话回答。资料：钻石卡主卡年费为6800元/年。", "钻石卡一年收多少？", "6800"),
    (
        "Answer in one sentence. Fact: a Gold card costs RMB 200 per year.",
        "What does a Gold card cost?",
        "200",
    ),
    ("Answer briefly.", "What is the capital of France?", "Paris"),
)


@pytest.mark.parametrize("folder", [BF16, INT8], ids=["bf16", "int8"])
def test_answers_chinese_and_english_under_vllm(prepared: None, folder: Path, tmp_path: Path) -> None:
    with served(folder, tmp_path) as client:
        for system, question, expected in QUESTIONS:
            messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
            body = {"model": "base", "messages": messages, "temperature": 0, "max_tokens": 60}
            choice = client.post("/v1/chat/completions", json=body).json()["choices"][0]
            assert expected in choice["message"]["content"].replace(",", ""), choice
            assert choice["finish_reason"] == "stop", choice
