"""Leases: which versions a gateway is answering with, told to whoever wants to remove one.

Epoch-based reclamation. A gateway picks a version from its snapshot and holds it in the same step of its
event loop; each second it publishes, again in one step, the generation of the snapshot it applies and the
counts of what it holds. A version that began to drain at generation g is free once every live gateway has
published a generation ≥ g and a count of zero.

The generation is there for this interleaving, which a counter alone gets wrong: the gateway reports "0
held"; a request is resolved with the old snapshot; the version starts to drain; the collector reads the old
"0 held" and deletes the files; the request reaches the engine, which lazily reloads the adapter inside the
model's step and dies. With the generation, that old report is of an epoch before the drain and does not
count; the gateway's next one, of the new epoch, has the request in it, and no request after it can pick the
version.

A gateway announces itself (generation 0) before it reads its first snapshot, so that a collector never
overlooks a gateway that already resolves names but has not reported yet. One that is silent for `LEASE_S` is
taken for dead.
"""

import asyncio
import logging
from types import TracebackType
from typing import Any, cast

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from adapters.registry_view import RegistryView
from adapters.snapshot import text

log = logging.getLogger(__name__)

LEASE_S = 90
"""Seconds after its last report at which a gateway is taken for dead."""

HARD_DEADLINE_S = 900.0
"""Seconds after the start of a drain at which the version is taken away from whoever still holds it."""

# ARGV: version, generation of the drain, hard deadline in seconds
_FREE = """
local p, version = KEYS[1], ARGV[1]
local since = redis.call('HGET', p .. 'adapter:' .. version, 'since')
local t = redis.call('TIME')
if since and t[1] + t[2] / 1e6 - tonumber(since) > tonumber(ARGV[3]) then return 'deadline' end
for _, id in ipairs(redis.call('SMEMBERS', p .. 'gateways')) do
  local raw = redis.call('GET', p .. 'gateway:' .. id)
  if not raw then
    redis.call('SREM', p .. 'gateways', id)
  else
    local lease = cjson.decode(raw)
    if lease.generation < tonumber(ARGV[2]) then return 'gateway ' .. id .. ' has not seen it yet' end
    local held = lease.inflight[version]
    if held then return 'gateway ' .. id .. ' holds ' .. held end
  end
end
return ''
"""


class VersionGone(Exception):
    """The version may not answer (any more): resolve the name again, or answer 503."""


class Hold:
    """One request's hold on a version. A class and not a generator: this is on every request's way."""

    __slots__ = ("_held", "_version", "_view")

    def __init__(self, view: RegistryView, held: dict[str, int], version: str) -> None:
        self._view = view
        self._held = held
        self._version = version

    def __enter__(self) -> None:
        if not self._view.current.routable(self._version):
            raise VersionGone(f"adapter version {self._version} is not being served")
        self._held[self._version] = self._held.get(self._version, 0) + 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = self._held[self._version] - 1
        if left:
            self._held[self._version] = left
        else:
            del self._held[self._version]


class Leases:
    """One gateway's leases. `view` gives the snapshot in force; all methods belong to one event loop."""

    def __init__(self, redis: Redis, prefix: str, gateway_id: str, view: RegistryView) -> None:
        self._redis = redis
        self._prefix = prefix
        self._id = gateway_id
        self._view = view
        self._held: dict[str, int] = {}

    def hold(self, version: str) -> "Hold":
        """`with leases.hold(version):` keeps it from being unloaded; raises VersionGone when it may not answer.

        The check and the count happen together on entering, in one step of the event loop, so awaiting between
        resolving and holding is harmless.
        """
        return Hold(self._view, self._held, version)

    def inflight(self) -> dict[str, int]:
        """A copy of the counts."""
        return dict(self._held)

    async def announce(self) -> None:
        """Make this gateway known. Await it once before the view's first reading. Raises RedisError."""
        await self._publish(0)

    async def publish(self) -> None:
        """Publish the generation in force and what is held. Raises RedisError."""
        await self._publish(self._view.current.generation)

    async def run(self, interval: float = 1.0) -> None:
        """Publish each `interval` seconds until cancelled; then, if nothing is held, withdraw."""
        try:
            while True:
                try:
                    await self.publish()
                except (RedisError, OSError) as error:
                    log.warning("leases not published (kept, will be tried again): %s", error)
                await asyncio.sleep(interval)
        finally:
            if not self._held:
                await asyncio.shield(self._withdraw())

    async def _publish(self, generation: int) -> None:
        raw = orjson.dumps({"generation": generation, "inflight": self._held})
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(f"{self._prefix}gateway:{self._id}", raw, ex=LEASE_S)
            pipe.sadd(f"{self._prefix}gateways", self._id)
            await pipe.execute()

    async def _withdraw(self) -> None:
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.delete(f"{self._prefix}gateway:{self._id}")
                pipe.srem(f"{self._prefix}gateways", self._id)
                await pipe.execute()
        except (RedisError, OSError) as error:
            log.warning("leases not withdrawn (they lapse in %d s): %s", LEASE_S, error)


async def free(
    redis: Redis, prefix: str, version: str, drain_generation: int, hard_deadline: float = HARD_DEADLINE_S
) -> bool:
    """True when no live gateway can use `version` any more: see the module's text. Raises RedisError.

    `drain_generation` is `AdapterRecord.generation` of the draining version. Also true `hard_deadline`
    seconds after the drain began: a leaked hold must not keep a slot of the engine for ever.
    """
    args = [version, str(drain_generation), str(hard_deadline)]
    answer = text(await cast(Any, redis.register_script(_FREE)(keys=[prefix], args=args)))
    if answer == "deadline":
        log.warning(
            "version %s is still held %.0f s after its removal: taken away now", version, hard_deadline
        )
        return True
    if answer:
        log.debug("version %s cannot go yet: %s", version, answer)
    return not answer
