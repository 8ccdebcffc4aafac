"""kill -9 of each part in mid-stream and in mid-upload: a clear error, nothing half-made, all returns by itself."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.models.marker import write_marker_adapter
from tests.service.inside import alive, ready, residency, stored, tree, verified_audit
from tests.service.traffic import Answer, Running, ask
from tests.stack import Stack, eventually

pytestmark = pytest.mark.engine

# Tokens: seconds of work even for the tiny model on an idle machine, so that a kill comes in the middle.
LONG = 3500
BACK_SECONDS = 240.0
"""A new engine imports and loads for half a minute when it has the machine for itself."""


@pytest.fixture(scope="module")
def fees(stack: Stack, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """An adapter that is there before anything crashes: its version and its text."""
    folder = tmp_path_factory.mktemp("steady")
    text = write_marker_adapter(tiny_model, folder, 7)
    return stack.push(folder, "steady"), text


@pytest.fixture(autouse=True)
def serves_before(stack: Stack, fees: tuple[str, str]) -> None:
    """The gateway can be ready before its one engine has proved the adapter again."""
    eventually(lambda: serves(stack, fees), seconds=BACK_SECONDS)


def serves(stack: Stack, fees: tuple[str, str]) -> bool:
    """Whether the adapter answers again, as itself."""
    version, text = fees
    answer = ask(stack, "steady", max_tokens=4)
    assert answer.whole or answer.told or answer.broken, answer
    return answer.whole and answer.version == version and answer.text == 4 * text


def check_whole_system(stack: Stack, fees: tuple[str, str]) -> None:
    """All that was acknowledged is there, and the audit chain has no break."""
    eventually(lambda: ready(stack), seconds=BACK_SECONDS)
    eventually(lambda: serves(stack, fees), seconds=60)
    assert stack.adapter(fees[0])["state"] == "stable"
    verified_audit(stack)


def restarted(stack: Stack, child: str, before: int) -> int:
    """The new process of a killed child."""
    return eventually(lambda: pid if (pid := stack.pid(child)) != before else 0, seconds=60)


def push_in_thread(
    stack: Stack, folder: Path, name: str
) -> tuple[threading.Thread, list[httpx.Response | None]]:
    """Upload without expecting anything; None for a connection that broke."""
    results: list[httpx.Response | None] = []

    def push() -> None:
        results.append(upload(stack, folder, name))

    thread = threading.Thread(target=push)
    thread.start()
    return thread, results


def upload(stack: Stack, folder: Path, name: str) -> httpx.Response | None:
    files = {
        "config": (folder / "adapter_config.json").read_bytes(),
        "weights": (folder / "adapter_model.safetensors").read_bytes(),
    }
    try:
        with stack.http() as client:
            return client.post("/v1/adapters", data={"name": name}, files=files)
    except httpx.TransportError:
        return None


def upload_again(stack: Stack, folder: Path, name: str) -> str:
    """What a client does after an error: the same upload, until it is taken; the version."""

    def taken() -> str:
        answer = upload(stack, folder, name)
        if answer is None or answer.status_code >= 500 or answer.status_code == 409:
            return ""
        assert answer.status_code in {200, 201}, answer.text
        return str(answer.json()["id"])

    return eventually(taken, seconds=60, every=0.5)


def test_engine_killed(stack: Stack, fees: tuple[str, str], tiny_model: Path, tmp_path: Path) -> None:
    text = write_marker_adapter(tiny_model, tmp_path, 8)
    below = tree(stack.pid("engine-0"))
    assert len(below) > 1, "vLLM runs its core beside its API process"
    epoch = residency(stack)["epoch"]
    streams = [Running(stack, model, max_tokens=LONG) for model in ("steady", "general")]
    whole = Running(stack, "general", max_tokens=LONG, stream=False)
    for stream in streams:
        stream.wait_under_way()
    thread, uploads = push_in_thread(stack, tmp_path, "late")
    stack.kill("engine-0")
    for stream in streams:
        answer = stream.result()
        assert answer.status == 200
        assert answer.error.get("code") == "engine_failed", answer
        assert answer.done
    answer = whole.result()
    assert answer.status in {502, 503}
    assert answer.told, answer
    # Until it is back each request is told so, in words and with the time to wait.
    assert told_to_wait(stack)
    thread.join(60)
    eventually(lambda: not alive(below), seconds=30)
    check_whole_system(stack, fees)
    assert residency(stack)["epoch"] != epoch
    version = upload_again(stack, tmp_path, "late")
    stack.wait_state(version, "stable")
    assert ask(stack, "late", max_tokens=3).text == 3 * text
    assert uploads[0] is not None, "the engine's death does not touch an upload"


def told_to_wait(stack: Stack) -> bool:
    with stack.http() as client:
        body = {"model": "general", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
        answer = client.post("/v1/chat/completions", json=body)
        ready = client.get("/readyz")
    assert answer.status_code in {502, 503}, answer.text
    assert answer.json()["error"]["code"] in {"no_engine", "engine_failed"}
    assert "retry-after" in answer.headers
    assert ready.status_code == 503
    assert "an engine" in ready.json()["waiting_for"]
    return True


def test_agent_killed(stack: Stack, fees: tuple[str, str], tiny_model: Path, tmp_path: Path) -> None:
    text = write_marker_adapter(tiny_model, tmp_path, 9)
    stream = Running(stack, "steady", max_tokens=200)
    stream.wait_under_way()
    before = stack.kill("agent-0")
    version = stack.push(tmp_path, "meanwhile", wait=False)
    answer = stream.result()
    assert answer.whole, "an agent's death is no affair of a stream"
    assert answer.text == 200 * fees[1]
    restarted(stack, "agent-0", before)
    stack.wait_state(version, "stable")
    assert ask(stack, "meanwhile", max_tokens=3).text == 3 * text
    # Again, while it takes a version.
    write_marker_adapter(tiny_model, tmp_path, 10)
    version = stack.push(tmp_path, "meanwhile", wait=False)
    stack.kill("agent-0")
    stack.wait_state(version, "ready")
    check_whole_system(stack, fees)


def test_gateway_killed(stack: Stack, fees: tuple[str, str], tiny_model: Path, tmp_path: Path) -> None:
    key = stack.make_key(name="acknowledged")
    with stack.http() as client:
        aliased = client.post("/v1/releases", json={"alias": "acknowledged", "version": fees[0]})
    assert aliased.status_code == 201, aliased.text
    text = write_marker_adapter(tiny_model, tmp_path, 11, rank=64)
    with half_an_upload(stack, tmp_path, "half") as connection:
        stream = Running(stack, "steady", max_tokens=LONG)
        stream.wait_under_way()
        before = stack.kill("gateway")
        assert connection.broken()
    answer = stream.result()
    assert answer.broken, "a client must not take a cut stream for a whole one"
    assert not answer.done
    restarted(stack, "gateway", before)
    check_whole_system(stack, fees)
    with stack.http() as client:
        assert client.get("/v1/adapters/half").status_code == 404, "half an upload is no adapter"
    assert ask(stack, "general", max_tokens=2, key=key).whole
    assert ask(stack, "acknowledged", max_tokens=2).version == fees[0]
    # At whatever point of an upload it dies, the same upload again ends well.
    for delay in (0.02, 0.15):
        thread, _ = push_in_thread(stack, tmp_path, "half")
        time.sleep(delay)
        before = stack.kill("gateway")
        thread.join(60)
        restarted(stack, "gateway", before)
        eventually(lambda: ready(stack), seconds=60)
    version = upload_again(stack, tmp_path, "half")
    stack.wait_state(version, "stable")
    assert ask(stack, "half", max_tokens=3).text == 3 * text
    assert {name for name in stored(stack) if name.startswith("half@")} == {version}
    assert not list((stack.var / "spool").iterdir()), "what killed uploads left is cleared away"
    check_whole_system(stack, fees)


class HalfUpload:
    """An upload that waits in its middle."""

    def __init__(self, stack: Stack, folder: Path, name: str) -> None:
        self._sent = threading.Event()
        self._give_up = threading.Event()
        self._failed: list[httpx.TransportError] = []
        request = httpx.Request(
            "POST",
            "http://gateway",
            data={"name": name},
            files={
                "config": (folder / "adapter_config.json").read_bytes(),
                "weights": (folder / "adapter_model.safetensors").read_bytes(),
            },
        )
        raw = request.read()

        def parts() -> Iterator[bytes]:
            yield raw[: len(raw) // 2]
            self._sent.set()
            self._give_up.wait(60)
            yield raw[len(raw) // 2 :]

        def post() -> None:
            headers = {"content-type": request.headers["content-type"], "content-length": str(len(raw))}
            try:
                with stack.http() as client:
                    client.post("/v1/adapters", content=parts(), headers=headers)
            except httpx.TransportError as error:
                self._failed.append(error)

        self._thread = threading.Thread(target=post)
        self._thread.start()
        assert self._sent.wait(30)

    def broken(self) -> bool:
        """Send the other half; whether the connection was found broken."""
        self._give_up.set()
        self._thread.join(30)
        return bool(self._failed)


@contextmanager
def half_an_upload(stack: Stack, folder: Path, name: str) -> Iterator[HalfUpload]:
    upload = HalfUpload(stack, folder, name)
    try:
        yield upload
    finally:
        upload.broken()


def test_state_server_killed(stack: Stack, fees: tuple[str, str], tiny_model: Path, tmp_path: Path) -> None:
    text = write_marker_adapter(tiny_model, tmp_path, 12)
    stream = Running(stack, "steady", max_tokens=300)
    stream.wait_under_way()
    key = stack.make_key(name="just before")
    with stack.http() as client:
        aliased = client.post("/v1/releases", json={"alias": "just-before", "version": fees[0]})
    assert aliased.status_code == 201
    thread, uploads = push_in_thread(stack, tmp_path, "upload")
    before = stack.kill("valkey")
    answer = stream.result()
    assert answer.whole, "the state server's death is no affair of a stream"
    assert answer.text == 300 * fees[1]
    thread.join(60)
    assert uploads[0] is not None, "an upload is answered, whatever becomes of it"
    assert uploads[0].status_code in {200, 201, 503}, uploads[0].text
    restarted(stack, "valkey", before)
    version = upload_again(stack, tmp_path, "upload")
    stack.wait_state(version, "stable")
    assert ask(stack, "upload", max_tokens=3).text == 3 * text
    assert ask(stack, "general", max_tokens=2, key=key).whole
    assert ask(stack, "just-before", max_tokens=2).version == fees[0]
    check_whole_system(stack, fees)


def test_state_server_silent(stack: Stack, fees: tuple[str, str], tiny_model: Path, tmp_path: Path) -> None:
    """Stopped, not dead: connections stay open and nothing answers, which is the worse kind of outage."""
    write_marker_adapter(tiny_model, tmp_path, 13)
    seen, unseen = stack.make_key(name="seen"), stack.make_key(name="unseen")
    limited = stack.make_key(name="limited", concurrency=4, requests_per_minute=100)
    assert ask(stack, "general", max_tokens=2, key=seen).whole
    assert ask(stack, "general", max_tokens=2, key=limited).whole
    with state_server_stopped(stack):
        # Longer than a key's record counts as fresh: from then on only its last reading vouches for it.
        until = time.monotonic() + 7
        answers: list[Answer] = []
        while time.monotonic() < until or len(answers) < 4:
            answers += [ask(stack, "steady", max_tokens=8), ask(stack, "general", max_tokens=2, key=limited)]
        answers.append(ask(stack, "general", max_tokens=2, key=seen))
        assert [answer for answer in answers if not answer.whole] == []
        stranger = ask(stack, "general", max_tokens=2, key=unseen)
        assert stranger.status == 503
        assert stranger.error["code"] == "state_down"
        check_control_refused(stack, tmp_path)
    eventually(lambda: ask(stack, "general", max_tokens=2, key=unseen).whole)
    version = upload_again(stack, tmp_path, "silent")
    stack.wait_state(version, "stable")
    check_whole_system(stack, fees)


@contextmanager
def state_server_stopped(stack: Stack) -> Iterator[None]:
    pid = stack.kill("valkey", signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def check_control_refused(stack: Stack, folder: Path) -> None:
    """Every control route says 503 while the state server is away."""
    with stack.http() as client:
        answers = [
            client.get("/v1/adapters"),
            client.get("/v1/keys"),
            client.get("/v1/releases"),
            client.get("/v1/audit"),
            client.post("/v1/keys", json={"name": "no", "scopes": ["chat"]}),
            client.post("/v1/releases", json={"alias": "steady", "version": "steady@0123456789ab"}),
            client.delete("/v1/adapters/fees/0123456789ab"),
        ]
    pushed = upload(stack, folder, "silent")
    assert pushed is not None
    for answer in (*answers, pushed):
        assert answer.status_code == 503, f"{answer.request.url}: {answer.status_code} {answer.text}"
        assert answer.json()["error"]["code"] == "state_down"
        assert "retry-after" in answer.headers
