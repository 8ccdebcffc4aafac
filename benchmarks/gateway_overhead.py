"""What the gateway adds to a call, beside what two other gateways add, on an engine that answers at once.

    python -m benchmarks.gateway_overhead [--quick] [--without-peers]

Every contender is asked in turn within each round, in an order that rotates, by one client over one kept
connection each; so whatever else the machine does falls on all alike. Added latency is the difference of a
round's pair. Key check, three limits, metrics, audit and log are on; the limit costs a round trip to Valkey
before the answer and one after it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import uvloop

from benchmarks.peers import LITELLM, PORTKEY, PeerUnavailable, litellm, portkey
from benchmarks.report import Bound, Result, end_cleanly, show
from benchmarks.rig import Rig, rig
from benchmarks.wire import Connection, Reply, Target, requests_per_second

MESSAGES = [{"role": "user", "content": "你好，请问怎样查询我的账户余额？ How do I see my balance?"}]
WHOLE = {"messages": MESSAGES, "max_tokens": 16}
STREAM_CHUNKS = 200
PACE_MICROSECONDS = 2000
CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. `seconds` of each contender's turn at the throughput figure."""

    warm_up: int
    pairs: int
    streams: int
    paced_streams: int
    rounds: int
    seconds: float


FULL = Plan(warm_up=300, pairs=2000, streams=150, paced_streams=10, rounds=5, seconds=4.0)
QUICK = Plan(warm_up=100, pairs=400, streams=40, paced_streams=4, rounds=2, seconds=2.0)


async def measure(plan: Plan, *, with_peers: bool) -> Result:
    """Run everything once."""
    async with rig() as bench:
        with ExitStack() as stack:
            targets, notes = await asyncio.to_thread(_contenders, stack, bench, with_peers)
            gc.collect()
            gc.disable()  # The client's collector must not fall on some contender's turn.
            try:
                latency = await _latency(targets, plan)
                streams = await _streams([bench.direct, bench.through], plan)
                paced = await _paced(bench, plan)
                rates = await _rates(targets, plan)
            finally:
                gc.enable()
    return _result(latency, streams, paced, rates, notes)


def _contenders(stack: ExitStack, bench: Rig, with_peers: bool) -> tuple[list[Target], list[str]]:
    targets, notes = [bench.direct, bench.through], []
    for peer in (portkey, litellm) if with_peers else ():
        try:
            targets.append(stack.enter_context(peer(bench.engine_url, bench.folder)))
        except PeerUnavailable as error:
            notes.append(f"{peer.__name__} not measured: {error}")
    return targets, notes


async def _latency(targets: Sequence[Target], plan: Plan) -> dict[str, list[float]]:
    """Seconds of one whole answer per contender, one at a time; index n of each list is round n.

    LiteLLM answers so slowly that it takes part in every tenth round only.
    """
    found: dict[str, list[float]] = {target.name: [] for target in targets}
    requests = {target.name: target.request(WHOLE) for target in targets}
    async with _connected(targets) as open_to:
        for _ in range(plan.warm_up):
            for target in targets:
                if target.name != "litellm" or _ % 10 == 0:
                    await open_to[target.name].call(requests[target.name])
        for number in range(plan.pairs):
            for target in _rotated(targets, number):
                if target.name != "litellm" or number % 10 == 0:
                    reply = await open_to[target.name].call(requests[target.name])
                    found[target.name].append(reply.total)
    return found


async def _streams(targets: Sequence[Target], plan: Plan) -> dict[str, list[Reply]]:
    """Streams of an engine that writes its chunks one after the other without a pause."""
    body = {"messages": MESSAGES, "max_tokens": STREAM_CHUNKS, "stream": True}
    found: dict[str, list[Reply]] = {target.name: [] for target in targets}
    async with _connected(targets) as open_to:
        for number in range(plan.streams + 5):
            for target in _rotated(targets, number):
                reply = await open_to[target.name].call(target.request(body))
                if reply.events < STREAM_CHUNKS:
                    raise RuntimeError(f"{target.name} sent {reply.events} of {STREAM_CHUNKS} chunks")
                if number >= 5:
                    found[target.name].append(reply)
    return found


async def _paced(bench: Rig, plan: Plan) -> float:
    """Processor seconds of the gateway per chunk, when each chunk comes alone."""
    body = {"messages": MESSAGES, "max_tokens": STREAM_CHUNKS, "stream": True, "seed": PACE_MICROSECONDS}
    gateway = psutil.Process(bench.gateway_pid)
    request = bench.through.request(body)
    async with _connected([bench.through]) as open_to:
        await open_to[bench.through.name].call(request)
        before = gateway.cpu_times()
        for _ in range(plan.paced_streams):
            await open_to[bench.through.name].call(request)
        after = gateway.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return spent / (plan.paced_streams * STREAM_CHUNKS)


async def _rates(targets: Sequence[Target], plan: Plan) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {target.name: [] for target in targets}
    for number in range(plan.rounds + 1):
        for target in _rotated(targets, number):
            rate = await requests_per_second(
                target, target.request(WHOLE), connections=CONNECTIONS, seconds=plan.seconds
            )
            if number:
                found[target.name].append(rate)
    return found


@contextlib.asynccontextmanager
async def _connected(targets: Sequence[Target]) -> Any:
    opened = {target.name: await Connection.open(target.url) for target in targets}
    try:
        yield opened
    finally:
        for connection in opened.values():
            connection.close()


def _rotated(targets: Sequence[Target], number: int) -> list[Target]:
    cut = number % len(targets)
    return [*targets[cut:], *targets[:cut]]


def _added(latency: Mapping[str, list[float]], name: str) -> list[float]:
    """Milliseconds over the direct call of the same round."""
    step = 10 if name == "litellm" else 1
    pairs = zip(latency["direct"][::step], latency[name], strict=True)
    return [1000 * (through - direct) for direct, through in pairs]


def _result(
    latency: Mapping[str, list[float]],
    streams: Mapping[str, list[Reply]],
    paced: float,
    rates: Mapping[str, list[float]],
    notes: list[str],
) -> Result:
    figures: dict[str, float] = {"direct_p50_ms": 1000 * statistics.median(latency["direct"])}
    for name in latency:
        if name != "direct":
            added = _added(latency, name)
            figures[f"{name}_added_p50_ms"] = statistics.median(added)
            figures[f"{name}_added_p99_ms"] = statistics.quantiles(added, n=100)[98]
        figures[f"{name}_requests_per_s"] = statistics.median(rates[name])
    pairs = list(zip(streams["direct"], streams["atelier"], strict=True))
    first = [1000 * (through.first - direct.first) for direct, through in pairs]
    # Of the whole stream, so that a first chunk that came late cannot make the others look cheap.
    chunk = [1e6 * (through.total - direct.total) / STREAM_CHUNKS for direct, through in pairs]
    figures["atelier_stream_first_chunk_added_p50_ms"] = statistics.median(first)
    figures["atelier_stream_added_us_per_chunk"] = statistics.median(chunk)
    figures["atelier_stream_paced_cpu_us_per_chunk"] = 1e6 * paced
    return Result(
        "gateway_overhead", figures, _bounds(figures), notes, {"portkey": PORTKEY, "litellm": LITELLM}
    )


def _bounds(figures: Mapping[str, float]) -> list[Bound]:
    bounds = [
        Bound("added latency p50, ms", figures["atelier_added_p50_ms"], at_most=1.0),
        Bound("added latency p99, ms", figures["atelier_added_p99_ms"], at_most=4.0),
        Bound("per streamed chunk, µs", figures["atelier_stream_added_us_per_chunk"], at_most=30.0),
    ]
    if "portkey_added_p50_ms" in figures:
        ratio = figures["atelier_added_p50_ms"] / figures["portkey_added_p50_ms"]
        bounds.append(Bound("added p50 / Portkey's", ratio, at_most=0.5))
        rate = figures["atelier_requests_per_s"] / figures["portkey_requests_per_s"]
        bounds.append(Bound("requests/s / Portkey's", rate, at_least=1.0))
    if "litellm_requests_per_s" in figures:
        rate = figures["atelier_requests_per_s"] / figures["litellm_requests_per_s"]
        bounds.append(Bound("requests/s / LiteLLM's", rate, at_least=10.0))
    return bounds


def run(*, quick: bool = False, with_peers: bool = True) -> Result:
    """The whole benchmark: about three minutes, or half a minute when `quick`."""
    return uvloop.run(measure(QUICK if quick else FULL, with_peers=with_peers))


def main() -> None:
    """The command line."""
    end_cleanly()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    show(run(quick=options.quick, with_peers=not options.without_peers), options.json)


if __name__ == "__main__":
    main()
