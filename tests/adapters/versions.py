"""Version ids and shortcuts for tests of the registry."""

import hashlib

from adapters.lifecycle import State
from adapters.registry import Registry

UPLOAD = (State.VALIDATED, State.STORED)
UNTIL_READY = (*UPLOAD, State.LOADED, State.PROBED, State.READY)


def digest_of(seed: object) -> str:
    """A package digest."""
    return hashlib.sha256(repr(seed).encode()).hexdigest()


def version_of(name: str, seed: object = 0) -> str:
    """A version id of `name`."""
    return f"{name}@{digest_of((name, seed))[:12]}"


async def register(registry: Registry, name: str, seed: object = 0, until: State = State.RECEIVED) -> str:
    """Register a version and move it along to `until` (received … ready)."""
    version = version_of(name, seed)
    await registry.register(version, digest_of((name, seed)), {"size": 1})
    for state in UNTIL_READY:
        if until == State.RECEIVED:
            break
        assert await registry.transition(version, state)
        if state == until:
            break
    return version
