"""One gateway process: its parts, put together once, and the tasks that keep them fresh."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from time import time
from typing import Any

from redis.asyncio import Redis

from adapters.intake import Intake
from adapters.leases import Leases
from adapters.lifecycle import State
from adapters.registry import Registry
from adapters.registry_view import RegistryView
from adapters.served_base import BaseModel
from app.chat.assistants import AssistantFolder
from app.chat.chain_rails import ChainRails
from app.chat.policies import PolicyLibrary
from app.chat.route import Router
from app.chat.sessions import Sessions
from app.chat.tickets import Delivery, TicketQueue
from app.chat.turn import Turns, TurnSettings
from app.config import Settings
from app.engine.pool import EnginePool
from app.errors import unavailable
from app.identity.guard import Guard
from app.identity.keys import KeyRing
from app.identity.limits import Limiter
from app.record.audit import AuditLog, open_audit
from app.record.control_events import transition_event
from app.record.metrics import LiveGauge, Metrics, Sample
from app.spool import clear_spool
from app.state.connection import StateUnavailable, connect, guarded, text
from app.state.keyspace import Keyspace
from app.store import open_store, signature_check

log = logging.getLogger("atelier.gateway")


@dataclass(slots=True)
class Gateway:
    """The parts of a running gateway. `draining` is the only thing that changes after the start."""

    settings: Settings
    gateway_id: str
    redis: Redis
    keyspace: Keyspace
    keys: KeyRing
    guard: Guard
    limiter: Limiter
    audit: AuditLog
    metrics: Metrics
    registry: Registry
    view: RegistryView
    leases: Leases
    pool: EnginePool
    assistants: AssistantFolder
    policies: PolicyLibrary
    delivery: Delivery
    intake: Intake
    turns: Turns
    spool_dir: Path
    started: float = field(default_factory=time)
    draining: bool = False

    def base_model(self) -> BaseModel:
        """What the engines serve. Raises ApiError 503 while none has said so."""
        if (described := self._described_base()) is not None:
            return BaseModel.from_json(described)
        raise unavailable("no_engine", "No engine has told which base model it serves. Try again shortly.")

    def _described_base(self) -> Mapping[str, Any] | None:
        # Also of an engine that is silent now: what it serves does not change with its health.
        engines = sorted(self.view.current.engines.values(), key=lambda engine: -engine.heartbeat)
        return next((engine.base for engine in engines if engine.base), None)

    async def reread(self) -> None:
        """Apply a change this process has just written."""
        # A reading under way may have begun before the write; the one after it has not.
        await self.view.refresh()
        await self.view.refresh()

    def not_ready(self) -> list[str]:
        """What this gateway still waits for before it may be sent requests."""
        if self.draining:
            return ["draining"]
        if self.view.age() == float("inf"):
            return ["the state server"]
        missing = [] if any(engine.up for engine in self.pool.engines) else ["an engine"]
        if self._described_base() is None:
            missing.append("an engine's description of its base model")
        aliases = self.view.current.aliases
        for assistant in self.assistants.loaded.assistants.values():
            if assistant.policy is not None and self.policies.chain(assistant.policy) is None:
                missing.append(f"the policy of assistant {assistant.name}")
            if assistant.adapter is None or not assistant.required:
                continue
            version = aliases.get(assistant.adapter)
            if version is None:
                missing.append(f"a version of adapter {assistant.adapter} for assistant {assistant.name}")
            elif not any(self.pool.serves(engine, version) for engine in self.pool.engines):
                missing.append(f"{version} on an engine, for assistant {assistant.name}")
        return missing


@asynccontextmanager
async def open_gateway(settings: Settings, metrics: Metrics) -> AsyncIterator[Gateway]:
    """Put a gateway together, run its background tasks, take it apart again."""
    async with AsyncExitStack() as stack:
        gateway = await _build(settings, metrics, stack)
        await gateway.keys.ensure_admin(settings.admin_key_path)
        await gateway.leases.announce()
        await gateway.view.refresh()
        await gateway.pool.poll()
        tasks = [asyncio.create_task(_kept_running(name, run)) for name, run in _tasks(gateway).items()]
        try:
            yield gateway
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await gateway.limiter.close()
            await gateway.audit.close()


async def _build(settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> Gateway:
    names = Keyspace(settings.state_prefix)
    gateway_id = settings.gateway_id or token_hex(6)
    redis = connect(settings.state_url)
    stack.push_async_callback(redis.aclose)
    await _reachable(redis)
    audit = open_audit(settings, redis, gateway_id)
    keys = KeyRing(redis, names=names)
    guard = Guard(keys)
    limiter = Limiter(redis, gateway_id, names=names)
    registry = Registry(redis, names.prefix, lambda change: audit.record(transition_event(change)))
    view = RegistryView(registry)
    leases = Leases(redis, names.prefix, gateway_id, view)
    pool = EnginePool(view, token=settings.engine_token.get_secret_value(), queue=settings.engine_queue)
    stack.push_async_callback(pool.close)
    assistants = AssistantFolder(settings.assistants_dir)
    await asyncio.to_thread(assistants.reload)
    policies = PolicyLibrary(
        lambda: [one.policy for one in assistants.loaded.assistants.values() if one.policy is not None],
        settings.var_dir / "policies",
    )
    tickets = TicketQueue(redis, names)

    def count_ticket(result: str) -> None:
        metrics.tickets.labels(result).inc()

    rails = ChainRails(policies, Sessions(redis, names), tickets, count_ticket)
    stack.callback(rails.close)
    spool_dir = settings.var_dir / "spool"
    await asyncio.to_thread(clear_spool, spool_dir)
    gateway = Gateway(
        settings=settings,
        gateway_id=gateway_id,
        redis=redis,
        keyspace=names,
        keys=keys,
        guard=guard,
        limiter=limiter,
        audit=audit,
        metrics=metrics,
        registry=registry,
        view=view,
        leases=leases,
        pool=pool,
        assistants=assistants,
        policies=policies,
        delivery=Delivery(
            tickets, settings.handoff_webhook, settings.handoff_token.get_secret_value(), count_ticket
        ),
        intake=Intake(registry, await open_store(settings), signature_check(settings)),
        turns=Turns(
            guard=guard,
            limiter=limiter,
            router=Router(assistants, view),
            rails=rails,
            pool=pool,
            leases=leases,
            audit=audit,
            metrics=metrics,
            settings=TurnSettings(
                max_choices=settings.max_choices,
                default_max_tokens=settings.default_max_tokens,
                engine_timeout=settings.engine_timeout,
                audit_text=settings.audit_text,
                digest_key=await _digest_key(redis, names),
            ),
        ),
        spool_dir=spool_dir,
    )
    metrics.expose(_gauges(gateway))
    return gateway


async def _reachable(redis: Redis, attempts: int = 60) -> None:
    """Wait for the state server: at a machine's start it may come up after the gateway."""
    for attempt in range(attempts):
        try:
            with guarded("the start"):
                await redis.ping()
            return
        except StateUnavailable:
            if attempt == attempts - 1:
                raise
            await asyncio.sleep(0.5)


async def _digest_key(redis: Redis, names: Keyspace) -> bytes:
    """The secret under which texts are digested in the audit log; one for all gateways of a state."""
    name = f"{names.prefix}audit:digest-key"
    await redis.set(name, token_hex(32), nx=True)
    return bytes.fromhex(text(await redis.get(name) or b""))


def _tasks(gateway: Gateway) -> Mapping[str, Callable[[], Awaitable[None]]]:
    return {
        "registry": gateway.view.run,
        "leases": gateway.leases.run,
        "engines": gateway.pool.run,
        "assistants": gateway.assistants.run,
        "policies": gateway.policies.run,
        "tickets": gateway.delivery.run,
        "keys": gateway.keys.run,
        "limits": gateway.limiter.run,
        "audit": gateway.audit.run,
        "series": lambda: _forget_collected(gateway),
    }


async def _kept_running(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run a background task; a fault in it is logged and it starts again, since the gateway lives on it."""
    while True:
        try:
            await run()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("background task %s failed, it starts again in a second", name)
        await asyncio.sleep(1.0)


async def _forget_collected(gateway: Gateway) -> None:
    """Drop the metric series of versions that are no longer served, so that they do not pile up."""
    known: set[str] = set()
    while True:
        await asyncio.sleep(30.0)
        now = {
            version
            for version, record in gateway.view.current.adapters.items()
            if record.state not in {State.COLLECTED, State.REJECTED}
        }
        for version in known - now:
            gateway.metrics.forget_version(version)
        known = now


def _gauges(gateway: Gateway) -> Iterable[LiveGauge]:
    def per_engine(read: Callable[[Any], float]) -> Callable[[], list[Sample]]:
        return lambda: [Sample((engine.id,), read(engine)) for engine in gateway.pool.engines]

    def states() -> list[Sample]:
        counts = dict.fromkeys(State, 0)
        for record in gateway.view.current.adapters.values():
            counts[record.state] += 1
        return [Sample((state.value,), count) for state, count in counts.items()]

    engine = ("engine",)
    return (
        LiveGauge(
            "atelier_engine_up", "1 while an engine answers.", engine, per_engine(lambda e: float(e.up))
        ),
        LiveGauge(
            "atelier_engine_in_flight",
            "This gateway's requests there.",
            engine,
            per_engine(lambda e: e.inflight),
        ),
        LiveGauge(
            "atelier_engine_running", "Requests it is generating.", engine, per_engine(lambda e: e.running)
        ),
        LiveGauge(
            "atelier_engine_waiting", "Requests in its queue.", engine, per_engine(lambda e: e.waiting)
        ),
        LiveGauge(
            "atelier_engine_adapters", "Adapters it holds.", engine, per_engine(lambda e: len(e.resident))
        ),
        LiveGauge("atelier_adapters", "Adapter versions by lifecycle state.", ("state",), states),
        LiveGauge(
            "atelier_registry_age_seconds",
            "Age of the registry snapshot in use.",
            (),
            lambda: [Sample((), gateway.view.age())],
        ),
        LiveGauge(
            "atelier_audit_pending_bytes",
            "Audit records on disk that the chain does not have yet.",
            (),
            lambda: [Sample((), gateway.audit.unshipped_bytes)],
        ),
        LiveGauge(
            "atelier_assistants_refused",
            "Assistant files that are wrong; their last good form is in use.",
            (),
            lambda: [Sample((), len(gateway.assistants.loaded.errors))],
        ),
        LiveGauge(
            "atelier_policies_refused",
            "Policy folders that are wrong; their last good form is in use.",
            (),
            lambda: [Sample((), len(gateway.policies.problems()))],
        ),
        LiveGauge(
            "atelier_draining", "1 while shutting down.", (), lambda: [Sample((), float(gateway.draining))]
        ),
    )
