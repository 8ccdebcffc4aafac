"""The node agent as a process: its connection, store and audit log put together."""

from __future__ import annotations

import asyncio

from adapters.agent import AgentSettings, run_agent
from adapters.collector import Limits
from app.config import Settings
from app.record.audit import open_audit
from app.record.control_events import transition_event
from app.state.connection import connect
from app.state.keyspace import Keyspace
from app.store import open_store


async def run_node_agent(settings: Settings) -> None:
    """Run the agent of `settings.engine_url` until SIGTERM."""
    names = Keyspace(settings.state_prefix)
    redis = connect(settings.state_url)
    audit = open_audit(settings, redis, f"agent-{settings.engine_id}")
    shipping = asyncio.create_task(audit.run())
    try:
        await run_agent(
            AgentSettings(
                redis=redis,
                prefix=names.prefix,
                audit=lambda change: audit.record(transition_event(change)),
                store=await open_store(settings),
                engine_id=settings.engine_id,
                engine_url=settings.engine_url,
                engine_token=settings.engine_token.get_secret_value() or None,
                adapter_root=settings.adapter_root,
                advertised_url=settings.engine_advertised_url,
                limits=Limits(grace=settings.collect_grace_seconds),
            )
        )
    finally:
        shipping.cancel()
        await asyncio.gather(shipping, return_exceptions=True)
        await audit.close()
        await redis.aclose()
