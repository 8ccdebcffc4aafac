"""SIGTERM to a gateway: not ready first, then running streams end well, and the too long ones are told."""

from __future__ import annotations

import signal
import threading
import time

import httpx
import pytest

from tests.service.traffic import Running
from tests.stack import Stack, eventually

pytestmark = pytest.mark.engine

DRAIN_SECONDS = 2
LEAD_SECONDS = 2.0


def watch_ready(url: str, seen: list[str], stop: threading.Event) -> None:
    """Note what /readyz says each time it says something else."""
    # One client and no kept connection: a stopping server would close that before it says anything.
    with httpx.Client(timeout=2, headers={"connection": "close"}) as client:
        while not stop.is_set():
            word = readiness(client, url)
            if not seen or seen[-1] != word:
                seen.append(word)
            time.sleep(0.05)


def readiness(client: httpx.Client, url: str) -> str:
    """`ready`, what it waits for, or `closed`."""
    try:
        answer = client.get(f"{url}/readyz")
    except httpx.TransportError:
        return "closed"
    return "ready" if answer.status_code == 200 else ",".join(answer.json()["waiting_for"])


def test_sigterm_drains(stack: Stack) -> None:
    gateway = stack.add_gateway(
        ATELIER_DRAIN_SECONDS=str(DRAIN_SECONDS), ATELIER_DRAIN_LEAD_SECONDS=str(LEAD_SECONDS)
    )
    seen: list[str] = []
    stop = threading.Event()
    watching = threading.Thread(target=watch_ready, args=(gateway.url, seen, stop))
    watching.start()
    try:
        endless = [Running(stack, "general", max_tokens=3900, after=2, url=gateway.url) for _ in range(6)]
        for request in endless:
            request.wait_under_way()
        # The signal comes when this one has 22 tokens to go and the others thousands.
        ending = Running(stack, "general", max_tokens=24, after=2, url=gateway.url)
        ending.wait_under_way()
        gateway.process.send_signal(signal.SIGTERM)
        finished, broken = ending.result(), [request.result() for request in endless]
        assert gateway.process.wait(30) == 0
        eventually(lambda: seen[-1] == "closed")
    finally:
        stop.set()
        watching.join()
        gateway.stop(signal.SIGKILL)
    assert finished.whole, finished
    # On a busy machine the engine may be done with some of them before the signal comes.
    told = [answer for answer in broken if not answer.whole]
    assert told, "all ended before the gateway had to end them"
    for answer in told:
        assert answer.status == 200
        assert answer.error.get("code") == "shutting_down", answer
        assert answer.done, "the stream is ended in form, too"
    assert seen == ["ready", "draining", "closed"]
