"""`/healthz`, `/readyz`, the document; and a gateway that needs neither torch nor time."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.models.marker import write_marker_adapter
from tests.stack import ROOT, Gateway, Stack, eventually

HEAVY = ("torch", "vllm", "transformers", "safetensors", "peft", "triton", "tokenizers")


@pytest.fixture
def waiting(stack: Stack, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with an assistant whose adapter does not exist yet."""
    folder = tmp_path / "assistants"
    folder.mkdir()
    (folder / "teller.yaml").write_text("name: teller\nadapter: health-check\n")
    gateway = Gateway(stack, ATELIER_ASSISTANTS_DIR=str(folder), ATELIER_DRAIN_LEAD_SECONDS="3")
    yield gateway
    gateway.stop()


def readiness(gateway: Gateway) -> tuple[int, dict[str, Any]]:
    """Status and body of /readyz; 0 while nobody listens."""
    try:
        answer = httpx.get(f"{gateway.url}/readyz", timeout=5)
    except httpx.TransportError:
        return 0, {}
    return answer.status_code, answer.json()


def test_ready_only_with_its_adapters_and_not_while_draining(
    stack: Stack, waiting: Gateway, tiny_model: Path, tmp_path: Path
) -> None:
    began = time.monotonic()
    eventually(lambda: readiness(waiting)[0] != 0, every=0.01)
    print(f"gateway: {time.monotonic() - began:.2f} s from start to listening")
    assert httpx.get(f"{waiting.url}/healthz").text == "ok\n"
    eventually(lambda: readiness(waiting)[1].get("waiting_for", []) != ["the state server"])
    status, body = readiness(waiting)
    assert (status, body["ready"]) == (503, False)
    assert any("health-check" in reason and "teller" in reason for reason in body["waiting_for"])
    with stack.http(url=waiting.url) as client:
        request = {"model": "teller", "messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
        assert client.post("/v1/chat/completions", json=request).status_code == 503

    marker = write_marker_adapter(tiny_model, tmp_path / "adapter", 99, seed=time.time_ns() % 2**32)
    version = stack.push(tmp_path / "adapter", "health-check")
    with stack.http() as client:
        client.post("/v1/releases", json={"alias": "health-check", "version": version})
    eventually(lambda: readiness(waiting) == (200, {"ready": True, "waiting_for": []}))
    with stack.http(url=waiting.url) as client:
        answer = client.post("/v1/chat/completions", json=request)
        assert answer.json()["choices"][0]["message"]["content"] == marker * 2
        waiting.process.send_signal(signal.SIGTERM)
        eventually(
            lambda: readiness(waiting) == (503, {"ready": False, "waiting_for": ["draining"]}), seconds=2.5
        )
        # Load balancers need a moment to notice: until then requests are still answered.
        assert client.post("/v1/chat/completions", json=request).status_code == 200
    assert waiting.process.wait(20) == 0
    with stack.http() as client:
        assert client.delete("/v1/releases/health-check").status_code == 200
        assert client.delete(f"/v1/adapters/{version.replace('@', '/')}").status_code == 202


def test_the_gateways_environment_has_nothing_heavy_to_import() -> None:
    code = (
        "import sys, importlib.util\n"
        "import app.server, app.cli, app.node\n"
        f"heavy = {HEAVY!r}\n"
        "print([n for n in sys.modules if n.partition('.')[0] in heavy])\n"
        "print([n for n in ('torch', 'vllm') if importlib.util.find_spec(n)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]


def test_a_running_gateway_has_mapped_nothing_heavy(stack: Stack) -> None:
    maps = Path(f"/proc/{stack.pid('gateway')}/maps").read_text()
    assert "site-packages" in maps
    assert not [
        line for line in maps.splitlines() if "torch" in line or "vllm" in line or "safetensors" in line
    ]


def test_the_document_describes_every_route(stack: Stack) -> None:
    document = httpx.get(f"{stack.url}/openapi.json", timeout=30).json()
    assert document["openapi"].startswith("3.")
    for path in (
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/adapters",
        "/v1/keys",
        "/v1/audit",
        "/healthz",
    ):
        assert path in document["paths"]
    names = set(document["components"]["schemas"])
    assert {"ChatCompletionRequest", "CompletionRequest", "Message"} <= names
    references = set(_references(document))
    assert {reference.rpartition("/")[2] for reference in references} <= names
    assert httpx.get(f"{stack.url}/docs").status_code == 200


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
