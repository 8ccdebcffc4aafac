"""A real Valkey for the tests of registry, leases, collector and agent."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from tests.valkey_process import ValkeyProcess


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyProcess]:
    """One server for the session; tests that kill it start it again."""
    with ValkeyProcess() as process:
        yield process


@pytest.fixture
async def redis(valkey: ValkeyProcess) -> AsyncIterator[Redis]:
    """A client of an empty database."""
    client = Redis.from_url(valkey.url)
    await client.flushall()
    yield client
    await client.aclose()
