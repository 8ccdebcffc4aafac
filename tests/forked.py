"""Commands as forks of a process that has loaded what they need: see `tests.forks`."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.engine_process import ROOT


@dataclass
class Fork:
    """A command that runs now: like a Popen, whose answers `server` gives."""

    server: subprocess.Popen[bytes]
    pid: int
    code: int | None = None

    def poll(self) -> int | None:
        """The exit code once it has ended."""
        return self._wait(0)

    def wait(self, timeout: float) -> int:
        """The exit code; TimeoutError when it does not end: then it is killed."""
        code = self._wait(timeout)
        if code is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._wait(10)
            raise TimeoutError(f"no end in {timeout:.0f} s")
        return code

    def _wait(self, timeout: float) -> int | None:
        if self.code is None and select.select([self.server.stdout], [], [], timeout)[0]:
            self.code = read_number(self.server)
        return self.code


def read_number(server: subprocess.Popen[bytes]) -> int:
    assert server.stdout is not None
    line = server.stdout.readline()
    assert line, f"the forks' process has ended: {server.poll()}"
    return int(line)


class Forks:
    """Runs modules with an interpreter, each in a fork of a process that has loaded `loaded`."""

    def __init__(
        self, python: Path, folder: Path, loaded: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        """`environment`: of the process that loads, and of its forks unless they are given another."""
        self._command = [str(python), "-m", "tests.forks", *loaded]
        self._environment = dict(environment)
        self._out, self._err = folder / "out", folder / "err"

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            self._command, cwd=ROOT, env=self._environment, bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.communicate(timeout=60)

    def start(self, module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Fork:
        """Begin `python -m module arguments`; one at a time."""
        assert self._server.stdin is not None
        command = {
            "module": module,
            "arguments": arguments,
            "environment": self._environment if environment is None else dict(environment),
            "out": str(self._out),
            "err": str(self._err),
        }
        self._server.stdin.write(json.dumps(command).encode() + b"\n")
        return Fork(self._server, read_number(self._server))

    def run(
        self, module: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        code = self.start(module, *arguments, environment=environment).wait(240)
        return subprocess.CompletedProcess(arguments, code, self._out.read_text(), self._err.read_text())

    def tell(self, module: str, *arguments: str) -> Any:
        """The JSON value that the module prints."""
        done = self.run(module, *arguments)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)
