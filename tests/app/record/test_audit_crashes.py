"""No crash of a gateway or of Valkey loses a record or tells it twice."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from app.record.audit import AuditLog, AuditSettings
from app.record.audit_chain import Chain, Head, Shipped
from app.record.audit_event import AuditEvent
from app.record.journal import Journal
from app.state.connection import StateUnavailable, connect
from tests.valkey_process import ValkeyProcess

ROOT = Path(__file__).parents[3]


@pytest.fixture
def own_server() -> Iterator[ValkeyProcess]:
    with ValkeyProcess() as process:
        yield process


def event(number: int, **fields: Any) -> AuditEvent:
    return AuditEvent(
        kind="control", actor="k", action="key.create", outcome="ok", subject=str(number), **fields
    )


def writer(url: str, folder: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.app.record.audit_writer", url, str(folder), name, str(count)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def wait_for_output(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return os.read(process.stdout.fileno(), 100)


async def all_records(log: AuditLog) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while page := await log.query(after_seq=len(found), limit=1000):
        found += page
    return found


async def check_exactly_once(log: AuditLog, acknowledged: set[str]) -> None:
    result = await log.verify()
    assert result.ok, result
    counts = Counter(record["id"] for record in await all_records(log))
    assert max(counts.values()) == 1
    assert acknowledged <= counts.keys()
    today = datetime.now(UTC).date()
    chats = [r for r in await all_records(log) if r["kind"] == "chat"]
    rows = await log.usage(today, today)
    assert sum(row["requests"] for row in rows) == len(chats)
    assert sum(row["prompt_tokens"] for row in rows) == sum(r["prompt_tokens"] for r in chats)


async def test_a_killed_writer_loses_and_doubles_nothing(
    redis: Redis, server: ValkeyProcess, tmp_path: Path
) -> None:
    acknowledged: set[str] = set()
    for round_number in range(6):
        process = writer(server.url, tmp_path, f"w{round_number}", 1_000_000)
        try:
            first = await asyncio.to_thread(wait_for_output, process)
            await asyncio.sleep(random.uniform(0, 0.4))
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            rest, _ = process.communicate()
        # The last line may be cut: then its record was written, but nobody was told.
        acknowledged |= {line.decode() for line in (first + rest).split(b"\n")[:-1]}
    assert len(acknowledged) > 100
    log = AuditLog(redis, tmp_path, "after")
    await log.flush()
    await check_exactly_once(log, acknowledged)
    await log.close()
    assert not list((tmp_path / "spool").iterdir())
    assert await redis.hlen("atelier:audit:spools") == 0


async def test_two_processes_make_one_chain(redis: Redis, server: ValkeyProcess, tmp_path: Path) -> None:
    processes = [writer(server.url, tmp_path / str(n % 2), f"w{n}", 3000) for n in range(2)]
    try:
        outputs = await asyncio.gather(*(asyncio.to_thread(p.communicate, timeout=60) for p in processes))
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    assert [p.returncode for p in processes] == [0, 0]
    log = AuditLog(redis, tmp_path, "reader")
    acknowledged = {line.decode() for out, _ in outputs for line in out.split()}
    assert len(acknowledged) == 6000
    await check_exactly_once(log, acknowledged)
    records = await all_records(log)
    assert len(records) == 6000
    for name in ("w0", "w1"):
        numbers = [r["details"]["number"] for r in records if r["details"]["writer"] == name]
        assert numbers == list(range(3000))
    # They really took turns.
    names = [r["details"]["writer"] for r in records]
    assert sum(a != b for a, b in itertools.pairwise(names)) > 4


async def test_valkey_killed_again_and_again(own_server: ValkeyProcess, tmp_path: Path) -> None:
    process = writer(own_server.url, tmp_path, "w", 1_000_000)
    try:
        first = await asyncio.to_thread(wait_for_output, process)
        for _ in range(4):
            await asyncio.sleep(random.uniform(0.1, 0.4))
            await asyncio.to_thread(own_server.kill)
            await asyncio.sleep(0.2)
            await asyncio.to_thread(own_server.start)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        rest, _ = process.communicate()
    redis = connect(own_server.url)
    log = AuditLog(redis, tmp_path, "after")
    await log.flush()
    await check_exactly_once(log, {line.decode() for line in (first + rest).split(b"\n")[:-1]})
    await log.close()
    await redis.aclose()


async def test_acknowledged_writes_that_valkey_lost_are_sent_again(
    own_server: ValkeyProcess, tmp_path: Path
) -> None:
    redis = connect(own_server.url)
    log = AuditLog(redis, tmp_path, "w", settings=AuditSettings(segment_bytes=2000))
    ids = []
    for number in range(30):
        ids.append(event(number).id)
        log.record(event(number, id=ids[-1]))
    await log.flush()
    before = own_server.folder / "before"
    shutil.copytree(own_server.folder / "appendonlydir", before)
    for number in range(30, 60):
        ids.append(event(number).id)
        log.record(event(number, id=ids[-1]))
    await log.flush()
    assert await log.head() == 60
    # A server that crashes during a slow fsync forgets what it had acknowledged.
    own_server.kill()
    shutil.rmtree(own_server.folder / "appendonlydir")
    before.rename(own_server.folder / "appendonlydir")
    own_server.start()
    assert await log.head() == 30
    await log._shipper.confirm()
    await log.flush()
    await check_exactly_once(log, set(ids))
    assert await log.head() == 60
    await log.close()
    assert not list((tmp_path / "spool").iterdir())
    await redis.aclose()


class LosesAnswers(Chain):
    """The real chain, whose answers get lost on the way back."""

    losing = True

    async def ship(self, head: Head, segment: str, start: int, end: int, bodies: list[bytes]) -> Shipped:
        result = await super().ship(head, segment, start, end, bodies)
        if self.losing:
            raise StateUnavailable("the answer was lost")
        return result


async def test_a_lost_answer_does_not_double(redis: Redis, tmp_path: Path) -> None:
    log = AuditLog(redis, tmp_path, "w")
    chain = LosesAnswers(redis, tmp_path / "archive")
    log._shipper._chain = chain
    for number in range(300):
        log.record(event(number))
    for _ in range(5):
        with pytest.raises(StateUnavailable):
            await log.flush()
    chain.losing = False
    await log.flush()
    assert await log.head() == 300
    assert [r["subject"] for r in await log.query(limit=1000)] == [str(n) for n in range(300)]
    assert (await log.verify()).ok


async def test_a_torn_and_a_damaged_line_are_recorded_not_dropped(redis: Redis, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    good = event(1).encode()
    (spool / "dead.1.jsonl").write_bytes(b"\0\0\0\n" + good + b"\n" + good[:40])
    log = AuditLog(redis, tmp_path, "after")
    await log.flush()
    actions = [(r["action"], (r.get("details") or {}).get("bytes")) for r in await log.query()]
    assert actions == [("audit.damaged_line", 3), ("key.create", None), ("audit.damaged_line", 40)]
    assert (await log.verify()).ok
    await log.close()
    assert not list(spool.iterdir())


async def test_crash_between_removing_a_spool_and_forgetting_its_offset(redis: Redis, tmp_path: Path) -> None:
    log = AuditLog(redis, tmp_path, "w")
    log.record(event(1))
    await log.flush()
    log._journal.seal()
    [segment] = log._journal.segments
    log._journal.retire(segment)  # And here it dies.
    assert await redis.hlen("atelier:audit:spools") == 1
    after = AuditLog(redis, tmp_path, "after")
    await after.flush()
    await after._shipper.confirm()
    assert await redis.hlen("atelier:audit:spools") == 0
    assert await after.head() == 1


def test_a_living_process_keeps_its_spool(tmp_path: Path) -> None:
    alive = Journal(tmp_path, "alive")
    alive.append(b"{}")
    other = Journal(tmp_path, "other")
    assert other.adopt() == []
    alive.close()
    assert [s.size for s in other.adopt()] == [3]
    assert Journal(tmp_path, "third").adopt() == []


async def test_background_run_ships_confirms_and_survives_an_outage(
    own_server: ValkeyProcess, tmp_path: Path
) -> None:
    redis = connect(own_server.url, timeout=0.5)
    log = AuditLog(redis, tmp_path, "w")
    work = asyncio.create_task(log.run())
    try:
        log.record(event(1))
        await reaches(log, 1)
        own_server.kill()
        for number in range(2, 102):
            log.record(event(number))
        assert log.unshipped_bytes > 0
        await asyncio.sleep(0.3)
        own_server.start()
        await reaches(log, 101)
        deadline = time.monotonic() + 10
        while not (tmp_path / "anchor.json").exists() or log._journal.segments[0].confirmed == 0:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert (await log.verify()).ok
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    await log.close()
    await redis.aclose()


async def reaches(log: AuditLog, seq: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if await log.head() == seq:
                return
        except StateUnavailable:
            pass
        await asyncio.sleep(0.02)
    raise AssertionError(f"the chain did not reach {seq}")
