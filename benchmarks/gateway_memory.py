"""Memory of one gateway process over many requests, whole and streamed, with keys, limits, metrics and audit on.

    python -m benchmarks.gateway_memory [--requests 10000]

After a warm-up the resident set is read every tenth of the way. Flat means: a straight line through the readings
rises by less than 2 MiB over the whole run.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from pathlib import Path

import psutil
import uvloop

from benchmarks.gateway_overhead import MESSAGES
from benchmarks.report import Bound, Result, end_cleanly, show
from benchmarks.rig import Rig, rig
from benchmarks.wire import Connection

REQUESTS = 10_000
WARM_UP = 2_000
READINGS = 10
CONNECTIONS = 8
MAX_RISE_MIB = 2.0
MIB = 1024 * 1024


async def measure(requests: int) -> Result:
    """Warm up, then read the resident set along the way."""
    async with rig() as bench:
        gateway = psutil.Process(bench.gateway_pid)
        opened = [await Connection.open(bench.through.url) for _ in range(CONNECTIONS)]
        try:
            await _send(opened, bench, WARM_UP)
            readings = [gateway.memory_info().rss / MIB]
            for _ in range(READINGS):
                await _send(opened, bench, requests // READINGS)
                # What the last requests left for the background (audit shipping) is not growth.
                await asyncio.sleep(0.5)
                readings.append(gateway.memory_info().rss / MIB)
        finally:
            for connection in opened:
                connection.close()
    return _result(requests, readings)


async def _send(opened: list[Connection], bench: Rig, count: int) -> None:
    """`count` requests over all connections; every fourth is a stream, and every text is new."""
    numbers = iter(range(count))

    async def caller(connection: Connection) -> None:
        for number in numbers:
            text = f"{MESSAGES[0]['content']} {number}"
            body = {"messages": [{"role": "user", "content": text}], "max_tokens": 20}
            await connection.call(bench.through.request(body | ({"stream": True} if number % 4 == 0 else {})))

    await asyncio.gather(*(caller(connection) for connection in opened))


def _result(requests: int, readings: list[float]) -> Result:
    slope = statistics.linear_regression(range(len(readings)), readings).slope
    rise = slope * (len(readings) - 1)
    figures = {
        "requests": float(requests),
        "rss_after_warm_up_mib": readings[0],
        "rss_at_end_mib": readings[-1],
        "rss_highest_mib": max(readings),
        "rise_of_fitted_line_mib": rise,
    }
    note = "Readings, MiB: " + ", ".join(f"{reading:.1f}" for reading in readings)
    return Result(
        "gateway_memory", figures, [Bound("rise over the run, MiB", rise, at_most=MAX_RISE_MIB)], [note]
    )


def run(requests: int = REQUESTS) -> Result:
    """The whole benchmark: about half a minute."""
    return uvloop.run(measure(requests))


def main() -> None:
    """The command line."""
    end_cleanly()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, choices=range(100, 1_000_001), default=REQUESTS, metavar="N")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    show(run(options.requests), options.json)


if __name__ == "__main__":
    main()
