"""The whole service as its users run it: `atelier serve` in a folder of its own, with handles on every process."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import openai

from app.engine.rundir import run_directory
from app.engine.supervisor import command_pid

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")
LOOPBACK = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For `verify` of clients: by itself each of them reads all of the machine's certificates, which takes 20 ms."""
MAX_MODEL_LEN = 4096
START_SECONDS = 300.0
STOP_SECONDS = 60.0


def free_port() -> int:
    """A loopback port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(check: Callable[[], T | None], *, seconds: float = 30.0, every: float = 0.05) -> T:
    """The first true value of `check`; AssertionError with the last value after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s; last value {value!r}"
        time.sleep(every)


class Gateway:
    """One gateway process started by a test beside the stack's own, on the same state."""

    def __init__(self, stack: Stack, **env: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = stack.var / "log" / f"gateway-{self.port}.log"
        settings = {"ATELIER_STATE_URL": stack.state_url, "ATELIER_PORT": str(self.port)} | env
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "gateway"],
                env=stack.environment | settings,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self) -> Self:
        """Wait until /readyz says yes."""
        eventually(lambda: self.process.poll() is not None or _ready(self.url), seconds=60)
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        return self

    def stop(self, sign: int = signal.SIGTERM) -> int:
        """Signal it and wait for its end."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
        return self.process.wait(STOP_SECONDS)


class Stack:
    """`with Stack(tiny_model) as stack:` runs everything; nothing is left of it afterwards."""

    def __init__(self, model: Path, *, engines: int = 1, **env: str) -> None:
        self.var = Path(tempfile.mkdtemp(prefix="atl-", dir="/tmp"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ATELIER_")}
        self.environment = kept | {
            "ATELIER_VAR_DIR": str(self.var),
            "ATELIER_MODEL": str(model),
            "ATELIER_PORT": str(self.port),
            "ATELIER_ENGINE_COUNT": str(engines),
            "ATELIER_ENGINE_TOKEN": "test-engine-token",
            "ATELIER_ENGINE_PYTHON": str(ROOT / ".venv-engine/bin/python"),
            # 64 MB of prefix cache: 32 requests of the longest length, and full in the first minute of a test
            # that watches the engine's memory.
            "ATELIER_ENGINE_ARGS": "--enforce-eager --num-gpu-blocks-override 1024",
            "ATELIER_MAX_MODEL_LEN": str(MAX_MODEL_LEN),
            "ATELIER_COLLECT_GRACE_SECONDS": "1",
            "ATELIER_DRAIN_SECONDS": "10",
            **env,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._gateways: list[Gateway] = []

    def start(self) -> None:
        """Start and wait until the service is ready; also after `stop` or `kill`, on the same data."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start, and return at once."""
        with (self.var / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "serve"],
                env=self.environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait until the service is ready; AssertionError with its logs when it ends before, or takes too long."""
        process = self.supervisor
        eventually(lambda: process.poll() is not None or _ready(self.url), seconds=START_SECONDS, every=0.2)
        assert process.poll() is None, self.logs()

    @property
    def supervisor(self) -> subprocess.Popen[bytes]:
        """The `atelier serve` process."""
        assert self._process is not None, "not started"
        return self._process

    @property
    def state_url(self) -> str:
        """URL of the bundled Valkey."""
        return f"unix://{run_directory(self.var)}/valkey.sock"

    @property
    def admin_key(self) -> str:
        """The first admin key."""
        return (self.var / "admin.key").read_text().strip()

    def pid(self, child: str) -> int:
        """Process id of valkey, engine-0, agent-0 or gateway, once it runs."""
        return eventually(lambda: command_pid(run_directory(self.var), child))

    def kill(self, child: str, sign: int = signal.SIGKILL) -> int:
        """Send a signal to a child's own process; its pid."""
        pid = self.pid(child)
        os.kill(pid, sign)
        return pid

    def add_gateway(self, **env: str) -> Gateway:
        """Another gateway process on the same state, ready."""
        gateway = Gateway(self, **env)
        self._gateways.append(gateway)
        return gateway.wait_ready()

    def http(self, key: str | None = None, url: str | None = None) -> httpx.Client:
        """An HTTP client with `key` (default: the admin key)."""
        headers = {"authorization": f"Bearer {self.admin_key if key is None else key}"}
        return httpx.Client(base_url=url or self.url, headers=headers, timeout=60, verify=LOOPBACK)

    def openai(self, key: str | None = None, url: str | None = None) -> openai.OpenAI:
        """The official client, without retries of its own."""
        return openai.OpenAI(
            base_url=f"{url or self.url}/v1",
            api_key=key or self.admin_key,
            max_retries=0,
            timeout=60,
            http_client=openai.DefaultHttpxClient(verify=LOOPBACK),
        )

    def make_key(self, **fields: Any) -> str:
        """A new key; `scopes` default to chat."""
        with self.http() as client:
            answer = client.post("/v1/keys", json={"name": "test", "scopes": ["chat"]} | fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["key"])

    def push(self, folder: Path, name: str, *, wait: bool = True) -> str:
        """Upload the adapter in `folder`; its version id."""
        with self.http() as client, (folder / "adapter_model.safetensors").open("rb") as weights:
            config = (folder / "adapter_config.json").read_bytes()
            answer = client.post(
                "/v1/adapters", data={"name": name}, files={"config": config, "weights": weights}
            )
        assert answer.status_code in {200, 201}, answer.text
        version = str(answer.json()["id"])
        if wait:
            self.wait_state(version, "ready", "stable")
        return version

    def adapter(self, version: str) -> dict[str, Any]:
        """The registry's view of a version."""
        name, _, digest = version.partition("@")
        with self.http() as client:
            answer = client.get(f"/v1/adapters/{name}/{digest}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def wait_state(self, version: str, *states: str, seconds: float = 60) -> dict[str, Any]:
        """Wait until the version is in one of `states`."""

        def arrived() -> dict[str, Any] | None:
            found = self.adapter(version)
            assert found["state"] != "rejected" or "rejected" in states, found
            return found if found["state"] in states else None

        found = eventually(arrived, seconds=seconds)
        assert found is not None
        return found

    def logs(self) -> str:
        """The ends of every log, for a failure's message."""
        files = [self.var / "serve.log", *sorted((self.var / "log").glob("*.log"))]
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-2500:]}" for path in files if path.exists()
        )

    def stop(self, sign: int = signal.SIGINT) -> int:
        """Signal `atelier serve`, wait for it; its exit code."""
        for gateway in self._gateways:
            gateway.stop()
        self._gateways.clear()
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(sign)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.clear_away()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear_away()

    def clear_away(self) -> None:
        """Stop it and delete its files."""
        try:
            self.stop()
        finally:
            with contextlib.suppress(OSError):
                shutil.rmtree(run_directory(self.var), ignore_errors=True)
            shutil.rmtree(self.var, ignore_errors=True)


def _ready(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/readyz", timeout=2, verify=LOOPBACK).status_code == 200
    return False


def sse(lines: Iterator[str]) -> list[str]:
    """The payloads of a stream's `data:` lines."""
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
