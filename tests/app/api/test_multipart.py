"""Uploads whose body is not what it should be."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import httpx
import pytest

from tests.app.api.raw import RawAnswer, chunked, request, send
from tests.models.marker import POISONS, write_marker_adapter, write_poisoned
from tests.stack import Stack

ADAPTERS = "/v1/adapters"
BOUNDARY = "frontier"


@pytest.fixture(scope="module")
def key(stack: Stack) -> str:
    return stack.make_key(scopes=["adapters"], name="uploads")


@pytest.fixture(scope="module")
def folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good adapter."""
    made = tmp_path_factory.mktemp("good")
    write_marker_adapter(tiny_model, made, 77, seed=time.time_ns() % 2**32)
    return made


def part(disposition: str, body: bytes, *more: str) -> bytes:
    lines = [f"--{BOUNDARY}", f"Content-Disposition: {disposition}", *more, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
NAME = part('form-data; name="name"', b"fees")
CONFIG = part('form-data; name="config"; filename="c"', b"{}")
WEIGHTS = part('form-data; name="weights"; filename="w"', b"12345678")
FOUR_MORE = b"".join(part(f'form-data; name="f{n}"; filename="f"', b"x") for n in range(9))

ODD = {
    "nothing": b"",
    "no boundary in the body": b"hello",
    "only the end": END,
    "no end": NAME + CONFIG + WEIGHTS,
    "no parts": b"--" + BOUNDARY.encode() + b"\r\n\r\n" + END,
    "no disposition": f"--{BOUNDARY}\r\n\r\nx\r\n".encode() + END,
    "no part name": part("form-data", b"x") + END,
    "no field name": NAME + CONFIG + END,
    "weights as text": NAME + CONFIG + part('form-data; name="weights"', b"12345678") + END,
    "name as file": part('form-data; name="name"; filename="n"', b"fees") + CONFIG + WEIGHTS + END,
    "name twice": NAME + part('form-data; name="name"', b"../../etc") + CONFIG + WEIGHTS + END,
    "traversal": part('form-data; name="name"', b"../../etc/passwd") + CONFIG + WEIGHTS + END,
    "nul in the name": part('form-data; name="name"', b"fe\x00es") + CONFIG + WEIGHTS + END,
    "name not utf-8": part('form-data; name="name"', b"fe\xffes") + CONFIG + WEIGHTS + END,
    "file name traversal": NAME + CONFIG + part('form-data; name="weights"; filename="../../x"', b"1") + END,
    "many files": NAME + CONFIG + WEIGHTS + FOUR_MORE + END,
    "many fields": b"".join(part(f'form-data; name="x{n}"', b"1") for n in range(50)) + END,
    "strange charset": part('form-data; name="name"', b"fees", "Content-Type: text/plain; charset=utf-7")
    + END,
    "unknown charset": NAME + part('form-data; name="_charset_"', b"klingon") + CONFIG + WEIGHTS + END,
    "huge field": part('form-data; name="name"', b"a" * 3_000_000) + END,
    "huge config": NAME + part('form-data; name="config"; filename="c"', b" " * 2_000_000) + WEIGHTS + END,
    "endless part header": f"--{BOUNDARY}\r\nContent-Disposition: ".encode() + b"a" * 200_000,
    "garbage weights": NAME + CONFIG + WEIGHTS + END,
}


def post(stack: Stack, key: str, body: bytes, kind: str | None = None) -> RawAnswer:
    headers = [
        ("authorization", f"Bearer {key}"),
        ("content-type", kind if kind is not None else f"multipart/form-data; boundary={BOUNDARY}"),
    ]
    return send(stack.port, [request("POST", ADAPTERS, headers=headers, body=body)])


@pytest.mark.parametrize("name", ODD)
def test_odd_bodies_are_refused(stack: Stack, key: str, name: str) -> None:
    answer = post(stack, key, ODD[name])
    assert answer.status in {400, 413, 415, 422}, (answer.status, answer.body[:300])
    assert answer.error()["message"]


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\xff",
        "multipart/mixed; boundary=frontier", "multipart/form-data; boundary=" + "a" * 5000,
        "multipart/form-data; boundary=x; boundary=frontier", 'multipart/form-data; boundary="frontier',
        "multipart/form-data; boundary=frontier; charset=klingon", "",
    ],
)  # fmt: skip
def test_odd_content_types_are_refused(stack: Stack, key: str, kind: str) -> None:
    answer = post(stack, key, NAME + CONFIG + WEIGHTS + END, kind)
    assert answer.status in {400, 415, 422}, (answer.status, answer.body[:300])
    assert answer.error()["message"]


def test_a_body_over_the_limit_is_refused_before_it_is_taken(stack: Stack, key: str) -> None:
    headers = [
        ("authorization", f"Bearer {key}"),
        ("content-type", f"multipart/form-data; boundary={BOUNDARY}"),
        ("content-length", str(1 << 42)),
    ]
    answer = send(stack.port, [request("POST", ADAPTERS, headers=headers, length=False)])
    assert answer.status == 413
    assert answer.error()["code"] == "body_too_large"


def test_a_chunked_upload_without_parts_is_refused(stack: Stack, key: str) -> None:
    headers = [
        ("authorization", f"Bearer {key}"),
        ("content-type", f"multipart/form-data; boundary={BOUNDARY}"),
        ("transfer-encoding", "chunked"),
    ]
    start = request("POST", ADAPTERS, headers=headers, length=False)
    answer = send(stack.port, (piece for part in ([start], chunked(20_000_000)) for piece in part))
    assert answer.status in {0, 400, 413}


def upload(stack: Stack, key: str, folder: Path, name: str = "multipart", **headers: str) -> httpx.Response:
    weights = next(folder.glob("adapter_model.*")).read_bytes()
    files = {"config": (folder / "adapter_config.json").read_bytes(), "weights": weights}
    with stack.http(key) as client:
        return client.post(ADAPTERS, data={"name": name}, files=files, headers=headers)


@pytest.mark.parametrize("kind", POISONS)
def test_every_poison_is_refused_with_its_problems(
    stack: Stack, key: str, tiny_model: Path, tmp_path: Path, kind: str
) -> None:
    write_poisoned(tiny_model, tmp_path, kind)
    answer = upload(stack, key, tmp_path, "poison")
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert error["code"] == "adapter_rejected"
    assert error["problems"]
    assert all(problem["message"] and problem["where"] and problem["code"] for problem in error["problems"])


@pytest.mark.parametrize(
    "card",
    [b"not json", b"\xff\xfe", b"[]", b"[" * 100_000, b'{"a":' * 500 + b"1" + b"}" * 500, b'{"x":NaN}'],
)
def test_a_refused_card_does_not_spoil_the_listing(stack: Stack, key: str, folder: Path, card: bytes) -> None:
    files = {
        "config": (folder / "adapter_config.json").read_bytes(),
        "weights": (folder / "adapter_model.safetensors").read_bytes(),
        "card": card,
    }
    with stack.http(key) as client:
        answer = client.post(ADAPTERS, data={"name": "carded"}, files=files)
        assert answer.status_code == 422, answer.text
        assert client.get(ADAPTERS, params={"history": True}).status_code == 200
        assert client.get(f"{ADAPTERS}/carded").status_code == 200


def test_weights_that_changed_on_the_way_are_refused(stack: Stack, key: str, folder: Path) -> None:
    answer = upload(stack, key, folder, **{"x-content-sha256": "0" * 64})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "digest_mismatch"
    for odd in ("", "zz", "0" * 5000):
        assert upload(stack, key, folder, **{"x-content-sha256": odd}).status_code == 400


def test_the_same_bytes_are_the_same_version(stack: Stack, key: str, folder: Path) -> None:
    digest = hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()
    headers = {"x-content-sha256": digest.upper(), "idempotency-key": digest}
    first = upload(stack, key, folder, **headers)
    assert first.status_code == 201, first.text
    again = upload(stack, key, folder, **headers)
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    other = upload(stack, key, folder, "another-name", **headers)
    assert other.status_code == 422
    assert other.json()["error"]["code"] == "idempotency_key_reused"
