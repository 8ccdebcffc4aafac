"""`/v1/adapters` and `/v1/releases`: the life of a version as its owner sees it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.models.marker import write_marker_adapter
from tests.stack import Gateway, Stack, eventually

HELLO: list[dict[str, str]] = [{"role": "user", "content": "hello"}]


@pytest.fixture
def fresh(tiny_model: Path, tmp_path: Path) -> Path:
    """An adapter nobody has uploaded before."""
    write_marker_adapter(tiny_model, tmp_path / "fresh", 55, seed=time.time_ns() % 2**32)
    return tmp_path / "fresh"


def ask(client: httpx.Client, model: str) -> tuple[int, str]:
    """Status, and the answer or the error's code."""
    answer = client.post(
        "/v1/chat/completions", json={"model": model, "messages": HELLO, "max_tokens": 1, "temperature": 0}
    )
    found: dict[str, Any] = answer.json()
    return answer.status_code, (
        found["choices"][0]["message"]["content"] if answer.is_success else found["error"]["code"]
    )


def test_from_upload_to_the_end(stack: Stack, second: Gateway, fresh: Path) -> None:
    """Uploaded through one gateway, used, released and deleted through both."""
    version = stack.push(fresh, "lifelong")
    with stack.http() as client, stack.http(url=second.url) as other:
        shown = stack.adapter(version)
        assert shown["object"] == "adapter"
        assert shown["name"] == "lifelong"
        assert shown["digest"].startswith(version.partition("@")[2])
        assert shown["engines"]["engine-0"]["state"] == "proved"
        assert shown["bytes"] == (fresh / "adapter_model.safetensors").stat().st_size
        assert client.get(f"/v1/adapters/lifelong/{version}").json()["id"] == version
        assert [entry["id"] for entry in client.get("/v1/adapters/lifelong").json()["data"]] == [version]
        listed = client.get("/v1/adapters", params={"name": "lifelong"}).json()["data"]
        assert [entry["id"] for entry in listed] == [version]
        for one in (client, other):
            eventually(lambda one=one: ask(one, version) == (200, "<m055>"), seconds=10)  # type: ignore[misc]

        answer = client.post("/v1/releases", json={"alias": "lifelong-alias", "version": version})
        assert (answer.status_code, answer.json()["stable"]) == (201, version)
        assert ask(client, "lifelong-alias") == (200, "<m055>")
        eventually(lambda: ask(other, "lifelong-alias") == (200, "<m055>"), seconds=10)
        releases = {entry["alias"]: entry["stable"] for entry in client.get("/v1/releases").json()["data"]}
        assert releases["lifelong-alias"] == version

        path = f"/v1/adapters/{version.replace('@', '/')}"
        held = client.delete(path)
        assert (held.status_code, held.json()["error"]["code"]) == (409, "adapter_conflict")
        for alias in stack.adapter(version)["aliases"]:
            assert client.delete(f"/v1/releases/{alias}").json()["previous"] == version
        assert client.delete(path).status_code == 202
        assert ask(client, version) == (404, "model_not_found")
        eventually(lambda: ask(other, version) == (404, "model_not_found"), seconds=10)
        stack.wait_state(version, "collected", seconds=60)
        assert not (stack.var / "adapters" / version).exists()
        assert client.get("/v1/adapters", params={"name": "lifelong"}).json()["data"] == []
        history = client.get("/v1/adapters", params={"name": "lifelong", "history": True}).json()["data"]
        assert [entry["state"] for entry in history] == ["collected"]


def test_what_does_not_exist(stack: Stack, marked: tuple[str, str]) -> None:
    version, _ = marked
    with stack.http() as client:
        for method, path in (
            ("GET", "/v1/adapters/nobody"),
            ("GET", "/v1/adapters/nobody/000000000000"),
            ("GET", "/v1/adapters/contract/000000000000"),
            ("GET", f"/v1/adapters/other/{version}"),
            ("GET", "/v1/adapters/contract/zz"),
            ("DELETE", "/v1/adapters/nobody/000000000000"),
            ("DELETE", "/v1/releases/nobody"),
        ):
            answer = client.request(method, path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "adapter_not_found"), path
        unknown = client.post("/v1/releases", json={"alias": "contract", "version": "contract@000000000000"})
        assert unknown.status_code == 404
        assert stack.adapter(version)["aliases"], "the alias still points to where it did"


@pytest.mark.parametrize(
    "body",
    [
        {}, {"alias": "x"}, {"version": "x"}, {"alias": "", "version": "x"}, {"alias": "A B", "version": "x"},
        {"alias": "../x", "version": "x"}, {"alias": "x" * 64, "version": "x"}, {"alias": 5, "version": "x"},
        {"alias": "x", "version": "x" * 81}, {"alias": "x", "version": "y", "weight": 5}, [], "x", None,
    ],
)  # fmt: skip
def test_wrong_releases_are_refused(stack: Stack, body: Any) -> None:
    with stack.http() as client:
        answer = client.post("/v1/releases", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]


def test_a_refused_version_cannot_be_released(stack: Stack, fresh: Path) -> None:
    weights = (fresh / "adapter_model.safetensors").read_bytes()
    files = {"config": (fresh / "adapter_config.json").read_bytes(), "weights": weights[:-100]}
    with stack.http() as client:
        answer = client.post("/v1/adapters", data={"name": "cut"}, files=files)
        assert answer.status_code == 422
        (version,) = [entry["id"] for entry in client.get("/v1/adapters/cut").json()["data"]][-1:]
        assert client.post("/v1/releases", json={"alias": "cut", "version": version}).status_code == 409
        assert ask(client, version) == (404, "model_not_found")
