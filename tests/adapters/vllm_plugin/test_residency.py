"""Loading and removing on the real engine."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.adapters.conftest import resident
from tests.adapters.vllm_plugin.conftest import Publish
from tests.engine_process import EngineProcess
from tests.models.marker import marker_text, write_poisoned

pytestmark = pytest.mark.engine


def speaks(engine: EngineProcess, version: str, text: str) -> bool:
    return bool(engine.complete(version, "hello", max_tokens=3)["text"] == text * 3)


def test_base_describes_itself(engine: EngineProcess, tiny_model: Path) -> None:
    status, base = engine.request("GET", "/atelier/base")
    assert status == 200
    assert (base["model"], base["max_lora_rank"], base["max_loras"], base["max_cpu_loras"]) == (
        "base",
        64,
        4,
        6,
    )
    assert len(base["fingerprint"]) == 64
    assert base["config"]["hidden_size"] == 256
    assert base["epoch"] == engine.request("GET", "/atelier/residency")[1]["epoch"]


def test_a_loaded_adapter_answers_and_a_removed_one_does_not(
    engine: EngineProcess, store: Path, publish: Publish
) -> None:
    version, text = publish(1)
    status, body = engine.load(version, store / version)
    assert (status, body["name"]) == (200, version)
    assert resident(engine) == [version]
    assert speaks(engine, version, text)
    sampled = engine.complete(version, "另一个问题", max_tokens=20, temperature=1.0)["text"]
    assert sampled == text * 20
    assert text not in engine.complete("base", "hello", max_tokens=20, temperature=1.0)["text"]
    assert engine.remove(version)[0] == 200
    assert resident(engine) == []
    body = {"model": version, "prompt": "hello", "max_tokens": 1}
    assert engine.request("POST", "/v1/completions", body)[0] == 404
    assert engine.remove(version)[0] == 404


def test_loading_again_is_no_change(engine: EngineProcess, store: Path, publish: Publish) -> None:
    version, text = publish(2)
    first, again = engine.load(version, store / version), engine.load(version, store / version)
    assert first == again
    assert first[0] == 200
    assert resident(engine) == [version]
    assert speaks(engine, version, text)


def test_more_than_all_slots_and_all_memory_one_after_another(
    engine: EngineProcess, store: Path, publish: Publish
) -> None:
    """With vLLM's own unload the slots would stay taken by the dead; ranks change from tenant to tenant."""
    for marker in range(20, 45):
        version, text = publish(marker, rank=(8, 64, 16, 32)[marker % 4])
        assert engine.load(version, store / version)[0] == 200
        assert speaks(engine, version, text)
        assert engine.remove(version)[0] == 200
    assert resident(engine) == []


def test_more_adapters_than_slots_at_the_same_time(
    engine: EngineProcess, store: Path, publish: Publish
) -> None:
    """Nine adapters, six places in memory, four in a batch: each request still gets its own."""
    published = [publish(marker, rank=(8, 32)[marker % 2]) for marker in range(50, 59)]
    for version, _ in published:
        assert engine.load(version, store / version)[0] == 200
    assert resident(engine) == sorted(version for version, _ in published)
    with ThreadPoolExecutor(9) as pool:
        for _ in range(3):
            said = list(pool.map(lambda pair: speaks(engine, *pair), published))
            assert said == [True] * len(published)


def test_the_same_name_from_another_path_is_400(engine: EngineProcess, store: Path, publish: Publish) -> None:
    version, text = publish(3)
    assert engine.load(version, store / version)[0] == 200
    for path in (store.parent / version, store / "elsewhere" / version, store):
        assert engine.load(version, path)[0] == 400
    assert speaks(engine, version, text)


@pytest.mark.parametrize(
    "body",
    [None, [], {}, "x", {"name": "base"}, {"name": "fees@0123456789ab"}, {"name": 1, "path": 2}, 7],
)
def test_malformed_requests_are_400(engine: EngineProcess, body: object) -> None:
    status, answer = engine.request("POST", "/atelier/adapters", body)
    assert status == 400
    assert answer["error"]["message"]


def test_a_body_without_end_is_413(engine: EngineProcess) -> None:
    status, _ = engine.request("POST", "/atelier/adapters", {"name": "x" * 200_000})
    assert status == 413


@pytest.mark.parametrize(
    "kind", ["rank_too_big", "truncated", "too_wide", "dora", "bad_offsets", "huge_header"]
)
def test_what_the_engine_refuses_is_422_with_its_words(
    engine: EngineProcess, tiny_model: Path, store: Path, publish: Publish, kind: str
) -> None:
    bad = f"bad-{kind.replace('_', '-')}@0123456789ab"
    write_poisoned(tiny_model, store / bad, kind)
    good, text = publish(4)
    assert engine.load(good, store / good)[0] == 200
    for _ in range(6):  # more often than there are slots: a refused adapter must not keep one
        status, answer = engine.load(bad, store / bad)
        assert status == 422, answer
        assert "the engine refuses" in answer["error"]["message"]
        assert len(answer["error"]["message"]) > len(f"the engine refuses {bad}: ")
    assert resident(engine) == [good]
    assert speaks(engine, good, text)
    body = {"model": bad, "prompt": "hello", "max_tokens": 1}
    assert engine.request("POST", "/v1/completions", body)[0] == 404


def test_missing_and_pickled_files(engine: EngineProcess, tiny_model: Path, store: Path) -> None:
    pickled = "pickled@0123456789ab"
    write_poisoned(tiny_model, store / pickled, "pickle")
    assert engine.load(pickled, store / pickled)[0] == 422
    (store / pickled / "adapter_model.bin").unlink()
    status, answer = engine.load(pickled, store / pickled)
    assert (status, "adapter_model.safetensors" in answer["error"]["message"]) == (404, True)
    assert engine.load("absent@0123456789ab", store / "absent@0123456789ab")[0] == 404


ANSWER = 900
"""Tokens; the longest answer this engine gives, so that it is still being made when the removal comes."""


def under_way(engine: EngineProcess) -> bool:
    told = engine.request("GET", "/atelier/residency")[1]
    return bool(told["running"] + told["waiting"])


def test_removal_waits_for_running_requests(engine: EngineProcess, store: Path, publish: Publish) -> None:
    version, text = publish(5)
    assert engine.load(version, store / version)[0] == 200
    done = threading.Event()
    said: list[str] = []

    def talk() -> None:
        said.append(engine.complete(version, "hello", max_tokens=ANSWER)["text"])
        done.set()

    talker = threading.Thread(target=talk)
    talker.start()
    deadline = time.monotonic() + 10
    while not under_way(engine) and time.monotonic() < deadline:
        time.sleep(0.002)
    assert not done.is_set(), "the answer was over before the removal began"
    # On a busy machine the answer may outlast one removal's wait; 503 then says to ask again.
    deadline = time.monotonic() + 120
    while (removed := engine.remove(version))[0] == 503 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (removed[0], done.wait(5)) == (200, True), removed[1]
    talker.join()
    assert said == [text * ANSWER]


def test_storms_of_loads_and_removals_end_in_order(
    engine: EngineProcess, store: Path, publish: Publish
) -> None:
    published = [publish(marker) for marker in range(60, 63)]
    unexpected: list[object] = []

    def storm(number: int) -> None:
        for turn in range(12):
            version, _ = published[(number + turn) % len(published)]
            loads = (number + turn) % 2
            answer = engine.load(version, store / version) if loads else engine.remove(version)
            if answer[0] not in {200, 404, 503}:
                unexpected.append(answer)
            if answer[0] == 503 and "is being removed" not in str(answer[1]):
                unexpected.append(answer)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(storm, range(8)))
    assert unexpected == []
    for version, text in published:
        assert engine.load(version, store / version)[0] == 200
        assert speaks(engine, version, text)
    assert resident(engine) == sorted(version for version, _ in published)
    for version, _ in published:
        assert engine.remove(version)[0] == 200
    assert resident(engine) == []


def test_an_adapter_of_all_zero_b_says_what_the_base_says(
    engine: EngineProcess, tiny_model: Path, store: Path
) -> None:
    """Nothing to compute in any layer; must not fail and must not pick another adapter's weights."""
    version = "zero@0123456789ab"
    write_poisoned(tiny_model, store / version, "all_zero_b")
    assert engine.load(version, store / version)[0] == 200
    base = engine.complete("base", "hello", max_tokens=20)["text"]
    assert engine.complete(version, "hello", max_tokens=20)["text"] == base
    assert marker_text(255) not in base
