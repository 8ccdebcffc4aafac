"""A real vLLM with the engine plugin on a Unix socket, for tests and benchmarks."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent
ENGINE_PYTHON = ROOT / ".venv-engine" / "bin" / "python"
START_WAIT_S = 240.0
STOP_WAIT_S = 20.0
LOG_TAIL_LINES = 60


def make_tiny_model(out_dir: Path) -> Path:
    """Write the tiny random model into `out_dir` (seconds) and return it."""
    command = [str(ENGINE_PYTHON), str(ROOT / "tests" / "models" / "tiny.py"), str(out_dir)]
    subprocess.run(command, check=True, timeout=120)
    return out_dir


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("engine", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Called by the base class at the first request."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class EngineProcess:
    """Starts the engine on entering, waits for its health, and ends its whole process group on leaving.

    `socket` is the Unix socket's path (short: the kernel takes 107 bytes), `log` the file with all it
    printed, `pid` the API process, which leads a process group of its own. Raises RuntimeError with the
    log's end when the engine does not answer in `START_WAIT_S`.
    """

    def __init__(
        self,
        model_dir: Path,
        run_dir: Path,
        adapter_root: Path | None,
        token: str | None = None,
        max_loras: int = 4,
        max_cpu_loras: int = 16,
        max_lora_rank: int = 64,
        max_model_len: int = 1024,
        extra_args: tuple[str, ...] = (),
        extra_env: dict[str, str] | None = None,
    ) -> None:
        self.model_dir = model_dir
        self.token = token
        self.log = run_dir / f"engine-{os.getpid()}-{time.monotonic_ns()}.log"
        self._sockets = Path(tempfile.mkdtemp(prefix="at-", dir="/tmp"))
        self.socket = str(self._sockets / "e.sock")
        self._process: subprocess.Popen[bytes] | None = None
        self._arguments = [
            *("--model", str(model_dir), "--served-model-name", "base", "--uds", self.socket),
            *("--enable-lora", "--max-loras", str(max_loras), "--max-cpu-loras", str(max_cpu_loras)),
            *("--max-lora-rank", str(max_lora_rank), "--max-model-len", str(max_model_len)),
            # One process less to import vLLM in; `extra_args` may say mp, which is what vLLM takes by itself.
            *("--distributed-executor-backend", "uni"),
            *("--enforce-eager", "--disable-uvicorn-access-log", *extra_args),
        ]
        self._environment = engine_environment(adapter_root, token) | (extra_env or {})

    @property
    def pid(self) -> int:
        """The API process's id, which is also its process group's."""
        if self._process is None:
            raise RuntimeError("the engine is not started")
        return self._process.pid

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until the engine is healthy; also after `stop`, then as a new process."""
        self._sockets.mkdir(mode=0o700, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = [str(ENGINE_PYTHON), "-m", "vllm.entrypoints.openai.api_server", *self._arguments]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=self.log.parent,
                start_new_session=True,
            )
        self.wait_healthy()

    def wait_healthy(self, timeout_s: float = START_WAIT_S) -> None:
        """Wait until /health answers 200; raises RuntimeError when the process ends first or time is up."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                raise RuntimeError(f"the engine ended with {self._process.returncode}:\n{self.tail()}")
            try:
                if self.request("GET", "/health", timeout_s=5)[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise RuntimeError(f"the engine is not healthy after {timeout_s:.0f} s:\n{self.tail()}")

    def stop(self) -> None:
        """End the process group: SIGTERM, then SIGKILL; may be called again."""
        if self._process is not None:
            end_group(self._process)
            self._process = None
        shutil.rmtree(self._sockets, ignore_errors=True)

    def tail(self) -> str:
        """The last lines of the engine's log."""
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])

    def request(
        self, method: str, path: str, body: Any = None, *, timeout_s: float = 120.0, token: str | None = None
    ) -> tuple[int, Any]:
        """One HTTP request; returns (status, JSON value or text). Raises OSError when nobody listens.

        `path` goes over the wire as it is. `token` overrides the engine's own; an empty one sends no header.
        """
        used = self.token if token is None else token
        headers = {"Authorization": f"Bearer {used}"} if used else {}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        connection = UnixConnection(self.socket, timeout_s)
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            raw = response.read()
        finally:
            connection.close()
        try:
            return response.status, json.loads(raw)
        except ValueError:
            return response.status, raw.decode(errors="replace")

    def load(self, name: str, folder: Path) -> tuple[int, Any]:
        """POST /atelier/adapters."""
        return self.request("POST", "/atelier/adapters", {"name": name, "path": str(folder)})

    def remove(self, name: str) -> tuple[int, Any]:
        """DELETE /atelier/adapters/{name}."""
        return self.request("DELETE", f"/atelier/adapters/{name}")

    def complete(self, model: str, prompt: str, **fields: Any) -> dict[str, Any]:
        """The first choice of POST /v1/completions, greedy and 8 tokens unless told; fails unless 200."""
        body = {"model": model, "prompt": prompt, "max_tokens": 8, "temperature": 0, **fields}
        status, answer = self.request("POST", "/v1/completions", body)
        assert status == 200, f"{status}: {answer}"
        choice: dict[str, Any] = answer["choices"][0]
        return choice


def engine_environment(adapter_root: Path | None, token: str | None) -> dict[str, str]:
    """The environment of a small engine: this process's, without other settings of vLLM or of ours."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("VLLM_", "ATELIER_"))}
    chosen = {
        "VLLM_PLUGINS": "atelier",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        # By itself vLLM binds every engine's worker to the first core, also when several engines run.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
    if adapter_root is not None:
        chosen["ATELIER_ADAPTER_ROOT"] = str(adapter_root)
    if token is not None:
        chosen["ATELIER_ENGINE_TOKEN"] = token
    return kept | chosen


def end_group(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the leader, then SIGKILL to the group the process leads, and wait for its end."""
    process.terminate()
    try:
        process.wait(STOP_WAIT_S)
    except subprocess.TimeoutExpired:
        print(f"engine {process.pid} did not end within {STOP_WAIT_S:.0f} s of SIGTERM", file=sys.stderr)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_WAIT_S)
