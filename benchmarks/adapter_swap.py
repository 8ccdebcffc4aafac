"""From the first byte of an upload to the first token of the new version, on the tiny model and a real vLLM.

    python -m benchmarks.adapter_swap [--uploads 25]

Each upload is another adapter, made to answer with a marker of its own, so that the token proves which version
spoke. A client asks for it every few milliseconds from the moment the upload is acknowledged. An observer on the
state server notes when each step is published.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter

import httpx

from adapters.registry import Registry
from adapters.registry_view import hints
from app.state.connection import connect
from benchmarks.report import Bound, Result, end_cleanly, show
from tests.engine_process import make_tiny_model
from tests.models.marker import marker_text, write_marker_adapter
from tests.stack import Stack

NAME = "swap"
WARM_UP = 3
UPLOADS = 25
ASK_AGAIN_SECONDS = 0.005
WAIT_SECONDS = 60.0
PREFIX = "atelier:"
# What the observer sees, in this order; each step's time is the gap from the one before.
STEPS = ("received", "validated", "stored", "loaded", "proved", "ready", "first token")


class Observer:
    """Notes when each step of each version is first seen in the registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._wake = asyncio.Event()
        self.seen: dict[tuple[str, str], float] = {}

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch while the block runs."""
        hinting = asyncio.create_task(hints(self._registry.redis, self._registry.prefix, self._wake.set))
        reading = asyncio.create_task(self._read())
        try:
            yield
        finally:
            for task in (hinting, reading):
                task.cancel()
            await asyncio.gather(hinting, reading, return_exceptions=True)

    async def _read(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            snapshot = await self._registry.snapshot()
            now = perf_counter()
            for version, record in snapshot.adapters.items():
                self.seen.setdefault((version, str(record.state)), now)
            for engine in snapshot.engines.values():
                for version, held in engine.adapters.items():
                    self.seen.setdefault((version, f"{held.state} on engine"), now)

    def first(self, version: str, *steps: str) -> float | None:
        """When any of `steps` was first seen."""
        return min((at for step in steps if (at := self.seen.get((version, step)))), default=None)


async def measure(stack: Stack, model: Path, folder: Path, uploads: int) -> Result:
    """Upload, ask, delete, wait for the deletion; `uploads` times."""
    redis = connect(stack.state_url)
    observer = Observer(Registry(redis, PREFIX, lambda change: None))
    headers = {"authorization": f"Bearer {stack.admin_key}"}
    totals: list[float] = []
    gaps: dict[str, list[float]] = {step: [] for step in STEPS}
    acknowledged: list[float] = []
    try:
        async with (
            observer.watching(),
            httpx.AsyncClient(base_url=stack.url, headers=headers, timeout=WAIT_SECONDS) as client,
        ):
            for number in range(WARM_UP + uploads):
                package = folder / str(number)
                await asyncio.to_thread(write_marker_adapter, model, package, number)
                started = perf_counter()
                version = await _upload(client, package)
                answered = perf_counter()
                ended = await _first_token(client, version, marker_text(number))
                if number >= WARM_UP:
                    totals.append(ended - started)
                    acknowledged.append(answered - started)
                    _note(gaps, observer, version, started, ended)
                await _delete(client, version)
    finally:
        await redis.aclose()
    return _result(totals, acknowledged, gaps)


async def _upload(client: httpx.AsyncClient, package: Path) -> str:
    files = {
        "config": (package / "adapter_config.json").read_bytes(),
        "weights": (package / "adapter_model.safetensors").read_bytes(),
    }
    answer = await client.post("/v1/adapters", data={"name": NAME}, files=files)
    if answer.status_code != 201:
        raise RuntimeError(f"upload: {answer.status_code} {answer.text}")
    return str(answer.json()["id"])


async def _first_token(client: httpx.AsyncClient, version: str, marker: str) -> float:
    """When the first token of `version` arrived."""
    body = {"model": version, "prompt": "Hello", "max_tokens": 1, "temperature": 0, "stream": True}
    deadline = perf_counter() + WAIT_SECONDS
    while True:
        async with client.stream("POST", "/v1/completions", json=body) as answer:
            if answer.status_code == 200:
                async for line in answer.aiter_lines():
                    if line.startswith("data: {"):
                        if marker not in line:
                            raise RuntimeError(f"{version} did not answer with {marker}: {line}")
                        return perf_counter()
            elif answer.status_code != 503 or perf_counter() > deadline:
                raise RuntimeError(f"{version}: {answer.status_code} {await answer.aread()!r}")
        await asyncio.sleep(ASK_AGAIN_SECONDS)


async def _delete(client: httpx.AsyncClient, version: str) -> None:
    """Delete it and wait until the engine has let go, so that the next upload is alone."""
    name, _, digest = version.partition("@")
    aliases = (await client.get(f"/v1/adapters/{name}/{digest}")).json().get("aliases") or []
    if aliases:
        return  # The first version of a name answers under it, and stays.
    (await client.delete(f"/v1/adapters/{name}/{digest}")).raise_for_status()
    deadline = perf_counter() + WAIT_SECONDS
    while (await client.get(f"/v1/adapters/{name}/{digest}")).json()["state"] in {"draining"}:
        if perf_counter() > deadline:
            raise RuntimeError(f"{version} is still draining after {WAIT_SECONDS:.0f} s")
        await asyncio.sleep(0.1)


def _note(
    gaps: dict[str, list[float]], observer: Observer, version: str, started: float, ended: float
) -> None:
    seen = {
        "received": observer.first(version, "received"),
        "validated": observer.first(version, "validated"),
        "stored": observer.first(version, "stored"),
        "loaded": observer.first(version, "loaded on engine"),
        "proved": observer.first(version, "proved on engine"),
        "ready": observer.first(version, "ready", "stable"),
        "first token": ended,
    }
    before = started
    for step in STEPS:
        at = seen[step]
        # A step that was over before the observer read it counts to the next one.
        if at is not None:
            gaps[step].append(max(0.0, at - before))
            before = max(before, at)


def _result(totals: list[float], acknowledged: list[float], gaps: dict[str, list[float]]) -> Result:
    median = statistics.median(totals)
    figures = {
        "uploads": float(len(totals)),
        "upload_to_first_token_p50_s": median,
        "upload_to_first_token_max_s": max(totals),
        "upload_acknowledged_p50_s": statistics.median(acknowledged),
    }
    for step, times in gaps.items():
        if times:
            figures[f"to_{step.replace(' ', '_')}_p50_s"] = statistics.median(times)
    return Result("adapter_swap", figures, [Bound("upload to first token p50, s", median, at_most=1.0)])


def run(uploads: int = UPLOADS) -> Result:
    """The whole benchmark: one to three minutes."""
    with tempfile.TemporaryDirectory(prefix="atl-swap-") as name:
        folder = Path(name)
        model = make_tiny_model(folder / "tiny")
        with Stack(model) as stack:
            return asyncio.run(measure(stack, model, folder, uploads))


def main() -> None:
    """The command line."""
    end_cleanly()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--uploads", type=int, choices=range(1, 101), default=UPLOADS, metavar="1..100")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    show(run(options.uploads), options.json)


if __name__ == "__main__":
    main()
