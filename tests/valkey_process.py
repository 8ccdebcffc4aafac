"""A real Valkey server for tests, on a Unix socket in a short folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from app.state.embedded import valkey_argv, valkey_binary

START_SECONDS = 20.0


class ValkeyProcess:
    """`with ValkeyProcess() as valkey: connect(valkey.url)`; ended by its pid, data kept across `restart`."""

    def __init__(self, extra: tuple[str, ...] = ()) -> None:
        # Not pytest's tmp_path: a socket's path may hold only about a hundred bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="vk", dir="/tmp"))
        self.socket = self.folder / "s"
        self.url = f"unix://{self.socket}"
        self._extra = extra
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "not running"
        return self._process.pid

    def start(self) -> None:
        assert self._process is None, "already running"
        self.socket.unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            argv = [*valkey_argv(valkey_binary(), self.folder, self.socket), *self._extra]
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = (self.folder / "log").read_text(errors="replace")
                self.kill()
                raise RuntimeError(f"valkey did not start:\n{text[-2000:]}")
            time.sleep(0.005)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            probe.connect(str(self.socket))
            probe.sendall(b"PING\r\n")
            # While it loads its file it answers -LOADING.
            return probe.recv(64).startswith(b"+PONG")
        return False

    def kill(self, sign: int = signal.SIGKILL) -> None:
        """End it (by default as a crash) and wait for its death."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, sign)
        self._process.wait(timeout=30)
        self._process = None

    def restart(self, sign: int = signal.SIGKILL) -> None:
        self.kill(sign)
        self.start()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stopped but alive: connections hang instead of being refused."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def __enter__(self) -> ValkeyProcess:
        try:
            self.start()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
