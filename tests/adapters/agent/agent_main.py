"""A node agent as a process of its own, to be killed: `python -m tests.adapters.agent.agent_main JSON`."""

import asyncio
import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from adapters.agent import AgentSettings, Limits, run_agent
from adapters.file_store import FileStore


def audit_to(path: Path) -> Any:
    """An audit port that appends to a file."""

    def audit(event: Mapping[str, object]) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(event)) + "\n")

    return audit


async def main(options: dict[str, Any]) -> None:
    """Run an agent with the given options until SIGTERM."""
    redis = Redis.from_url(options["redis"])
    store = FileStore(Path(options["store"]))
    await store.open()
    await run_agent(
        AgentSettings(
            redis=redis,
            prefix="atelier:",
            audit=audit_to(Path(options["audit"])),
            store=store,
            engine_id=options["engine_id"],
            engine_url=options["engine_url"],
            engine_token=options["token"],
            adapter_root=Path(options["adapter_root"]),
            interval=0.5,
            limits=Limits(**options["limits"]),
        )
    )
    await redis.aclose()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(main(json.loads(sys.argv[1])))
