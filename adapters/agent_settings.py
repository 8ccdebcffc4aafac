"""What a node agent is given to work with."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from redis.asyncio import Redis

from adapters import behaviour
from adapters.collector import Limits
from adapters.registry import Audit


class PackageSource(Protocol):
    """What the agent needs of `adapters.store.AdapterStore`."""

    async def fetch(self, version: str, into: Path) -> Path:
        """Copy the version, verified, to the folder `into`/`version` and return that folder."""
        ...

    async def verify(self, version: str) -> object:
        """Read every byte kept; raises when any is missing or wrong."""
        ...

    async def delete(self, version: str) -> object:
        """Delete a version's bytes; nothing happens when there are none."""
        ...

    def local_path(self, version: str) -> Path | None:
        """The folder an engine on this machine may load from in place; None when a copy must be fetched."""
        ...


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Everything an agent needs. Durations in seconds.

    `engine_url` is how the agent reaches the engine, `advertised_url` how gateways do (default: the same).
    `adapter_root` is the folder the engine loads from; with a local store it is the store's own folder.
    """

    redis: Redis
    prefix: str
    audit: Audit
    store: PackageSource
    engine_id: str
    engine_url: str
    engine_token: str | None
    adapter_root: Path
    advertised_url: str = ""
    interval: float = 1.0
    tolerance: float = behaviour.TOLERANCE
    limits: Limits = field(default_factory=Limits)
