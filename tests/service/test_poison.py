"""Every kind of bad adapter is refused in words, and those who are being answered never notice."""

from __future__ import annotations

import shutil
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.models.marker import (
    ALL_MODULES,
    POISONS,
    marker_tensors,
    model_config,
    peft_config,
    safetensors_bytes,
    spoil_config,
    spoil_tensors,
    to_bf16,
    write_adapter,
    write_marker_adapter,
    write_poisoned,
)
from tests.service.inside import residency, stored
from tests.service.traffic import Answer, Load, Running, ask
from tests.stack import Stack, eventually

pytestmark = pytest.mark.engine

CODES = {
    "nan": {"not_finite"},
    "inf": {"not_finite"},
    "wrong_rank": {"rank_mismatch"},
    "missing_layer": {"layer_unknown"},
    "wrong_modules": {"module_unknown"},
    "truncated": {"truncated"},
    "pickle": {"not_safetensors"},
    "huge_header": {"header_too_large"},
    "dora": {"feature_refused"},
    "bad_offsets": {"truncated", "hole"},
    "shape_mismatch": {"shape_mismatch"},
    "too_wide": {"shape_mismatch"},
    "unpaired": {"unpaired"},
    "all_zero_b": {"no_effect"},
    "rank_too_big": {"rank_too_big"},
    "wrong_dtype": {"dtype_not_allowed"},
    "lm_head": {"module_refused"},
}
"""What must be among the problems of each."""

BAD_NAMES = (
    "../x",
    "..",
    ".",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "%2e%2e%2fx",
    "a\0b",
    "fees@0123456789ab",
    "Fees",
    "-fees",
    "fées",
    "x" * 64,
    "x" * 5000,
    " ",
    "fees\n",
)


class Bystanders:
    """A base-model stream and an adapter's, over and over, and what each must say."""

    def __init__(self, stack: Stack, alias: str, text: str) -> None:
        self._stack = stack
        self._tokens = 48
        self._base_prompt = "tell me about the bank"
        self._base = self._ask_base().text
        self._adapter = self._tokens * text
        self._loads = [
            Load(stack, "general", 1, max_tokens=self._tokens, same_prompt=self._base_prompt),
            Load(stack, alias, 1, max_tokens=self._tokens),
        ]

    def _ask_base(self) -> Answer:
        answer = ask(self._stack, "general", max_tokens=self._tokens, prompt=self._base_prompt)
        assert answer.whole, answer
        return answer

    def check(self, answers: list[Answer], expected: str) -> None:
        assert answers, "nobody was being answered"
        for answer in answers:
            assert answer.whole, answer
            assert answer.text == expected, answer

    def run(self) -> Iterator[None]:
        """The body of the fixture: they stream while a test runs, and are checked at its end."""
        with self._loads[0].running() as base, self._loads[1].running() as adapter:
            yield
        self.check(base, self._base)
        self.check(adapter, self._adapter)


@pytest.fixture(scope="module")
def good(stack: Stack, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    """A good adapter: version, text, folder of its package."""
    folder = tmp_path_factory.mktemp("good")
    text = write_marker_adapter(tiny_model, folder, 51)
    return stack.push(folder, "good"), text, folder


@pytest.fixture
def bystanders(stack: Stack, good: tuple[str, str, Path]) -> Iterator[None]:
    """Streams that run during the test and must end as if nothing had happened; the engine is the same."""
    epoch = residency(stack)["epoch"]
    yield from Bystanders(stack, "good", good[1]).run()
    assert residency(stack)["epoch"] == epoch, "the engine has died meanwhile"


def upload(stack: Stack, name: str, config: bytes, weights: bytes) -> httpx.Response:
    with stack.http() as client:
        return client.post("/v1/adapters", data={"name": name}, files={"config": config, "weights": weights})


def upload_folder(stack: Stack, name: str, folder: Path) -> httpx.Response:
    (weights,) = folder.glob("adapter_model.*")
    return upload(stack, name, (folder / "adapter_config.json").read_bytes(), weights.read_bytes())


def problems(answer: httpx.Response) -> list[dict[str, Any]]:
    """The problems of a refusal; each is in its message too, with what and where."""
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert error["code"] == "adapter_rejected"
    found: list[dict[str, Any]] = error["problems"]
    assert found
    assert f"{len(found)} problem(s)" in error["message"]
    for problem in found:
        assert problem["code"] and problem["where"] and problem["message"]
    assert found[0]["message"] in error["message"]
    return found


@pytest.mark.usefixtures("bystanders")
def test_poisons_are_refused(stack: Stack, tiny_model: Path, tmp_path: Path) -> None:
    assert set(CODES) == set(POISONS), "every poison must be expected to be refused for something"
    before = stored(stack)
    for kind in POISONS:
        write_poisoned(tiny_model, tmp_path / kind, kind)
        answer = upload_folder(stack, "poison", tmp_path / kind)
        assert {problem["code"] for problem in problems(answer)} >= CODES[kind], kind
    assert stored(stack) == before, "nothing of a refused package is kept"
    with stack.http() as client:
        listed = client.get("/v1/adapters/poison").json()["data"]
    assert {entry["state"] for entry in listed} == {"rejected"}
    assert all(entry["reason"] for entry in listed)
    refused = ask(stack, "poison", max_tokens=1)
    assert refused.status == 404


@pytest.mark.usefixtures("bystanders")
def test_all_faults_are_told_at_once(stack: Stack, tiny_model: Path, tmp_path: Path) -> None:
    config = peft_config(8, ALL_MODULES)
    values = marker_tensors(tiny_model, 52, 8, ALL_MODULES, seed=0)
    tensors = {name: ("BF16", to_bf16(array)) for name, array in values.items()}
    for kind in ("dora", "wrong_rank"):
        spoil_config(config, kind)
    for kind in ("nan", "wrong_dtype", "lm_head"):
        spoil_tensors(tensors, model_config(tiny_model), kind)
    write_adapter(tmp_path, config, safetensors_bytes(tensors))
    found = {problem["code"] for problem in problems(upload_folder(stack, "poison", tmp_path))}
    assert found >= {"feature_refused", "rank_mismatch", "not_finite", "dtype_not_allowed", "module_refused"}


@pytest.mark.usefixtures("bystanders")
def test_junk_is_refused(stack: Stack, good: tuple[str, str, Path]) -> None:
    config = (good[2] / "adapter_config.json").read_bytes()
    weights = (good[2] / "adapter_model.safetensors").read_bytes()
    deep = b"[" * 100_000
    for junk in (
        b"",
        b"\0",
        b"\xff" * 1000,
        struct.pack("<Q", 2**64 - 1),
        struct.pack("<Q", len(deep)) + deep,
    ):
        problems(upload(stack, "junk", config, junk))
    for junk in (b"", b"{", b"[]", b"null", b'{"r": 1e400}', b'{"r": NaN}', deep, b"\xff\xfe", b'{"r": {}}'):
        problems(upload(stack, "junk", junk, weights))


@pytest.mark.usefixtures("bystanders")
def test_names_lead_nowhere(stack: Stack, good: tuple[str, str, Path]) -> None:
    before = stored(stack)
    around = {path.name for path in stack.var.iterdir()}
    for name in BAD_NAMES:
        answer = upload_folder(stack, name, good[2])
        assert answer.status_code == 400, f"{name!r}: {answer.text}"
        assert answer.json()["error"]["param"] == "name"
        asked = ask(stack, name, max_tokens=1)
        assert asked.status in {400, 404}, f"{name!r}: {asked}"
        assert asked.told
    with stack.http() as client:
        for path in (
            "..%2f..%2fetc/passwd",
            "%2e%2e/%2e%2e",
            "good/..%2f..",
            "good/%00",
            "good/" + "x" * 5000,
        ):
            for method in ("GET", "DELETE"):
                found = client.request(method, f"/v1/adapters/{path}")
                assert found.status_code in {400, 404, 405}, f"{method} {path}: {found.text}"
                assert found.json()["error"]["message"]
        for alias in BAD_NAMES:
            refused = client.post("/v1/releases", json={"alias": alias, "version": good[0]})
            assert refused.status_code in {400, 422}, f"{alias!r}: {refused.text}"
    assert stored(stack) == before
    assert {path.name for path in stack.var.iterdir()} == around


@pytest.mark.usefixtures("bystanders")
def test_same_name_with_new_bytes_is_another_version(stack: Stack, tiny_model: Path, tmp_path: Path) -> None:
    texts = [write_marker_adapter(tiny_model, tmp_path / str(n), 53 + n) for n in range(2)]
    first = stack.push(tmp_path / "0", "twice")
    kept = files_of(stack, first)
    second = stack.push(tmp_path / "1", "twice")
    assert first != second
    assert files_of(stack, first) == kept, "bytes under a version id never change"
    assert ask(stack, "twice", max_tokens=3).version == first, "a new version takes no traffic by itself"
    assert [ask(stack, version, max_tokens=3).text for version in (first, second)] == [3 * t for t in texts]
    again = upload_folder(stack, "twice", tmp_path / "0")
    assert (again.status_code, again.json()["id"]) == (200, first), "the same bytes are the same version"


def files_of(stack: Stack, version: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (stack.var / "adapters" / version).iterdir()}


@pytest.mark.usefixtures("bystanders")
def test_files_stay_as_long_as_an_answer_needs_them(stack: Stack, tiny_model: Path, tmp_path: Path) -> None:
    """Only the collector deletes, and only when alias, leases and engines have let go."""
    text = write_marker_adapter(tiny_model, tmp_path, 56)
    name = f"leaving{tmp_path.name[-1]}"  # tried again, the name may still be on its way out
    version = stack.push(tmp_path, name)
    folder = stack.var / "adapters" / version
    for path in (folder.parent, folder):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, f"{path} is open to other users"
    with stack.http() as client:
        aliased = client.delete(f"/v1/adapters/{version.replace('@', '/')}")
        assert aliased.status_code == 409, "an alias still points there"
        assert client.delete(f"/v1/releases/{name}").status_code == 200
        stream = Running(stack, version, max_tokens=3500)
        stream.wait_under_way()
        path = f"/v1/adapters/{version.replace('@', '/')}"
        # 503 says that the state server was too slow to answer, and to ask again.
        deleted = eventually(lambda: found if (found := client.delete(path)).status_code != 503 else None)
        assert deleted.status_code == 202, deleted.text
        states = {deleted.json()["state"]}
    refused = ask(stack, version, max_tokens=1)
    assert refused.status == 404, "no new request gets it"
    with stack.http() as client:
        while not stream.over:
            seen, there = client.get(path), folder.is_dir()
            # On a fast machine the answer may end between the question and the look.
            if not stream.over and seen.status_code != 503:
                assert seen.status_code == 200, seen.text
                states.add(seen.json()["state"])
            assert there or stream.over, "the files went while the engine might still read them"
            time.sleep(0.02)  # what is looked at should be left some of the machine
    answer = stream.result()
    assert answer.whole
    assert answer.text == 3500 * text
    assert states == {"draining"}
    # A gateway that was killed holds its leases until they lapse.
    eventually(lambda: stack.adapter(version)["state"] == "collected", seconds=120)
    eventually(lambda: not folder.exists())
    assert version not in residency(stack)["adapters"]


@pytest.mark.usefixtures("bystanders")
def test_vanished_files_cost_only_their_version(stack: Stack, tiny_model: Path, tmp_path: Path) -> None:
    """Somebody deletes a version's files behind Atelier's back: vLLM would die on its next look at them."""
    text = write_marker_adapter(tiny_model, tmp_path, 57)
    version = stack.push(tmp_path, "vanishing")
    shutil.rmtree(stack.var / "adapters" / version)
    # Its version is taken out of the engine before the engine can miss the files.
    eventually(lambda: version not in residency(stack)["adapters"])
    answer = eventually(
        lambda: answer if not (answer := ask(stack, "vanishing", max_tokens=2)).whole else None
    )
    assert answer.status == 503
    assert answer.error["code"] == "adapter_not_loaded"

    def reason() -> str:
        held = stack.adapter(version)["engines"].get("engine-0", {})
        return str(held.get("reason", ""))

    assert "the store did not give" in eventually(reason)
    # The same upload brings the bytes back, and with them the version.
    assert upload_folder(stack, "vanishing", tmp_path).json()["id"] == version
    back = eventually(lambda: answer if (answer := ask(stack, "vanishing", max_tokens=2)).whole else None)
    assert (back.version, back.text) == (version, 2 * text)
