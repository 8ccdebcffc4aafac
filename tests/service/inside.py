"""Looking at the parts of a running stack past the gateway: engine routes, process trees, the audit log."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import httpx

from app.engine.leash import Process, descendants, identify, process_table
from app.engine.rundir import run_directory
from tests.stack import LOOPBACK, Stack

ENGINE_TOKEN = "test-engine-token"


def ready(stack: Stack) -> bool:
    """Whether the service says so."""
    try:
        return httpx.get(f"{stack.url}/readyz", timeout=5, verify=LOOPBACK).status_code == 200
    except httpx.TransportError:
        return False


def engine_client(stack: Stack, engine: str = "engine-0") -> httpx.Client:
    """A client of the engine's own socket, with its token."""
    transport = httpx.HTTPTransport(uds=str(run_directory(stack.var) / f"{engine}.sock"), verify=LOOPBACK)
    return httpx.Client(
        transport=transport,
        base_url="http://engine",
        headers={"authorization": f"Bearer {ENGINE_TOKEN}"},
        timeout=30,
    )


def engine_metric(stack: Stack, name: str, engine: str = "engine-0") -> float:
    """The sum of a metric of vLLM's over its labels."""
    with engine_client(stack, engine) as client:
        text = client.get("/metrics").raise_for_status().text
    lines = re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
    assert lines, f"the engine has no metric {name}"
    return sum(float(value) for value in lines)


def residency(stack: Stack, engine: str = "engine-0") -> dict[str, Any]:
    """What the engine says it holds."""
    with engine_client(stack, engine) as client:
        found: dict[str, Any] = client.get("/atelier/residency").raise_for_status().json()
    return found


def tree(pid: int) -> list[Process]:
    """A living process and all below it."""
    me = identify(pid)
    return ([me] if me else []) + descendants([pid], process_table())


def alive(processes: list[Process]) -> list[Process]:
    """Those that still live; a pid used anew is another process."""
    return [process for process in processes if identify(process.pid) == process]


def memory(pid: int) -> int:
    """Bytes of resident memory of a process tree. Pages shared within it count once for each process."""
    return sum(_resident(process.pid) for process in tree(pid))


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def verified_audit(stack: Stack) -> int:
    """Verify the audit chain; how many records it has."""
    with stack.http() as client:
        answer = client.get("/v1/audit/verify")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["ok"], body
    return int(body["records"])


def stored(stack: Stack) -> set[str]:
    """The versions whose folders are in the file store."""
    return {path.name for path in (stack.var / "adapters").iterdir() if "@" in path.name}
