"""The node agent: the process beside an engine that keeps it as the registry wants it, and collects.

Every second, or at once when Redis hints at a change, it makes a pass of `adapters.reconcile` and one of
`adapters.collector`. A hint that is lost costs a second, nothing else.
"""

import asyncio
import logging
import random
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from adapters.agent_settings import AgentSettings, PackageSource
from adapters.collector import Collector, Limits
from adapters.engine_api import EngineApi, EngineError
from adapters.reconcile import Reconciler
from adapters.registry import Registry
from adapters.registry_view import end_tasks, hinted

__all__ = ["AgentSettings", "Limits", "PackageSource", "run_agent"]

log = logging.getLogger(__name__)

MAX_BACKOFF_S = 10.0
LOCAL_SWEEP_S = 30.0
"""How often copies of ended versions are looked for, unless files are to stay for a shorter time than that."""


async def run_agent(settings: AgentSettings) -> None:
    """Run one engine's agent and a collector until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    registry = Registry(settings.redis, settings.prefix, settings.audit)
    async with EngineApi(settings.engine_url, settings.engine_token) as api:
        reconciler = Reconciler(settings, api, registry)
        collector = Collector(settings.redis, settings.prefix, registry, settings.store, settings.limits)
        wakes = asyncio.Event(), asyncio.Event()
        sweep = min(LOCAL_SWEEP_S, max(settings.limits.grace, settings.interval))

        def wake() -> None:
            for event in wakes:
                event.set()

        async with hinted(settings.redis, settings.prefix, wake):
            tasks = [
                asyncio.create_task(_repeat(reconciler.reconcile, settings.interval, wakes[0])),
                asyncio.create_task(_repeat(collector.tick, settings.interval, wakes[1])),
                asyncio.create_task(_repeat(reconciler.report, settings.interval, asyncio.Event())),
                asyncio.create_task(_repeat(reconciler.sweep_local, sweep, asyncio.Event())),
            ]
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
            await end_tasks([stopped, *tasks])
    for task in tasks:
        # A loop ends by cancellation only; anything else is a fault of ours that the supervisor should see.
        if task.done() and not task.cancelled():
            task.result()


async def _repeat(
    work: Callable[[], Coroutine[Any, Any, object]], interval: float, wake: asyncio.Event
) -> None:
    """Do `work` every `interval` seconds ±20 % and whenever `wake` is set; back off while it fails."""
    failures = 0
    while True:
        wake.clear()
        try:
            await work()
            failures = 0
        except (EngineError, RedisError, OSError) as error:
            failures += 1
            log.warning("%s: %s", getattr(work, "__qualname__", work), error)
        pause = min(interval * 2 ** min(failures, 10), max(MAX_BACKOFF_S, interval))
        pause *= random.uniform(0.8, 1.2)
        if failures:
            # Hints do not shorten a back-off: a flapping engine must not be hammered.
            await asyncio.sleep(pause)
            continue
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await wake.wait()
