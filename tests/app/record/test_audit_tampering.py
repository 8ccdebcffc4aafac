"""Any single change of the chain is found, wherever it is and however it is made to look right."""

from __future__ import annotations

import asyncio
import gzip
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from app.record.audit import AuditLog
from app.record.audit_event import AuditEvent, link
from app.state.connection import connect
from tests.valkey_process import ValkeyProcess

RECORDS = 12
STREAM, HEAD = "atelier:audit", "atelier:audit:head"
Entry = tuple[bytes, dict[bytes, bytes]]


def event(number: int) -> AuditEvent:
    return AuditEvent(kind="control", actor="k", action="key.create", outcome="ok", subject=str(number))


async def chain_of(redis: Redis, folder: Path, *, archived: int = 0, secret: bytes | None = None) -> AuditLog:
    await redis.flushall()
    log = AuditLog(redis, folder, "w", secret=secret)
    for number in range(RECORDS):
        log.record(event(number))
    await log.flush()
    if archived:
        assert await log.archive(RECORDS - archived) == archived
    assert (await log.verify()).records == RECORDS
    assert (await log.verify()).ok
    return log


def only_segment(folder: Path) -> Path:
    [path] = folder.glob("archive/*.gz")
    return path


async def entries_of(redis: Redis) -> list[Entry]:
    raw: Any = await redis.xrange(STREAM)
    return [(entry_id, dict(fields)) for entry_id, fields in raw]


async def rewrite(redis: Redis, change: Callable[[list[Entry]], None]) -> None:
    entries = await entries_of(redis)
    change(entries)
    await redis.delete(STREAM)
    for entry_id, fields in entries:
        await redis.xadd(STREAM, cast("Any", fields), id=entry_id)


def changed(at: int, field: bytes, bit: int) -> Callable[[list[Entry]], None]:
    def change(entries: list[Entry]) -> None:
        fields = entries[at % len(entries)][1]
        value = bytearray(fields[field])
        value[bit // 8 % len(value)] ^= 1 << bit % 8
        fields[field] = bytes(value)

    return change


def removed(at: int, count: int) -> Callable[[list[Entry]], None]:
    def change(entries: list[Entry]) -> None:
        start = at % len(entries)
        del entries[start : start + count]

    return change


def swapped(one: int, other: int) -> Callable[[list[Entry]], None]:
    def change(entries: list[Entry]) -> None:
        a, b = one % len(entries), other % len(entries)
        if a == b:
            b = (a + 1) % len(entries)
        # Ids must grow in a stream, so what is reordered is the contents.
        entries[a], entries[b] = (entries[a][0], entries[b][1]), (entries[b][0], entries[a][1])

    return change


def inserted(at: int, copy: int) -> Callable[[list[Entry]], None]:
    def change(entries: list[Entry]) -> None:
        position = at % len(entries)
        before = entries[position][0].split(b"-")[0]
        entries.insert(position + 1, (before + b"-1", entries[copy % len(entries)][1]))

    return change


places = st.integers(0, RECORDS - 1)
changes = st.one_of(
    st.builds(changed, places, st.sampled_from([b"e", b"h", b"p"]), st.integers(0, 2000)),
    st.builds(removed, places, st.integers(1, 3)),
    st.builds(swapped, places, places),
    st.builds(inserted, places, places),
)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes, st.sampled_from([0, 4]))
def test_any_change_in_the_stream_is_found(
    server: ValkeyProcess, change: Callable[[list[Entry]], None], archived: int
) -> None:
    async def play() -> None:
        redis = connect(server.url)
        with tempfile.TemporaryDirectory() as folder:
            log = await chain_of(redis, Path(folder), archived=archived)
            await rewrite(redis, change)
            result = await log.verify()
            assert not result.ok
            assert result.first_bad_seq is not None
            assert result.problem
            await log.close()
        await redis.aclose()

    asyncio.run(play())


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 8 * 3000))
def test_any_flipped_bit_in_the_archive_is_found(server: ValkeyProcess, bit: int) -> None:
    async def play() -> None:
        redis = connect(server.url)
        with tempfile.TemporaryDirectory() as folder:
            log = await chain_of(redis, Path(folder), archived=8)
            path = only_segment(Path(folder))
            data = bytearray(gzip.decompress(path.read_bytes()))
            data[bit // 8 % len(data)] ^= 1 << bit % 8
            path.write_bytes(gzip.compress(bytes(data)))
            assert not (await log.verify()).ok
            await log.close()
        await redis.aclose()

    asyncio.run(play())


async def test_the_first_bad_record_is_named(redis: Redis, tmp_path: Path) -> None:
    log = await chain_of(redis, tmp_path)
    await rewrite(redis, changed(6, b"e", 100))
    result = await log.verify()
    assert (result.first_bad_seq, result.records) == (7, 7)
    assert result.problem == "the content of record 7 does not match its hash"


async def test_a_removed_tail_is_found_by_the_head(redis: Redis, tmp_path: Path) -> None:
    log = await chain_of(redis, tmp_path)
    await redis.xdel(STREAM, f"{RECORDS}-0", f"{RECORDS - 1}-0")
    result = await log.verify()
    assert result.first_bad_seq == RECORDS - 1
    assert result.problem == "records 11 to 12, which the head record knows, are missing at the end"


async def test_a_removed_tail_with_rewritten_head_is_found_by_the_anchor(
    redis: Redis, tmp_path: Path
) -> None:
    log = await chain_of(redis, tmp_path)
    await log._shipper.confirm()
    entries = await entries_of(redis)
    await redis.xdel(STREAM, f"{RECORDS}-0")
    await redis.hset(HEAD, mapping={"seq": RECORDS - 1, "hash": entries[-2][1][b"h"]})
    result = await log.verify()
    assert not result.ok
    assert "which the anchor knows" in str(result.problem)


async def test_a_chain_recomputed_from_a_changed_record_is_found_by_the_anchor(
    redis: Redis, tmp_path: Path
) -> None:
    log = await chain_of(redis, tmp_path)
    await log._shipper.confirm()
    await forge(redis, None)
    assert "the anchor knew" in str((await log.verify()).problem)


async def test_a_chain_recomputed_without_the_secret_is_found_without_anchor(
    redis: Redis, tmp_path: Path
) -> None:
    log = await chain_of(redis, tmp_path, secret=b"s" * 32)
    assert not (tmp_path / "anchor.json").exists()
    await forge(redis, None)
    assert (await log.verify()).first_bad_seq == 1


async def forge(redis: Redis, secret: bytes | None) -> None:
    """What an intruder with all of Redis can do: another story from the start, with right hashes."""
    bodies = [event(100 + n).encode() for n in range(RECORDS)]
    records = link(0, bytes(32), bodies, secret)
    await redis.delete(STREAM)
    for r in records:
        await redis.xadd(STREAM, {"p": r.prev, "h": r.hash, "e": r.body}, id=f"{r.seq}-0")
    await redis.hset(HEAD, mapping={"seq": RECORDS, "hash": records[-1].hash})


async def test_everything_removed_is_found_by_the_anchor(redis: Redis, tmp_path: Path) -> None:
    log = await chain_of(redis, tmp_path)
    await log._shipper.confirm()
    await redis.flushall()
    result = await log.verify()
    assert not result.ok
    assert result.problem == "the head record is missing"


async def test_a_removed_head_is_found_and_does_not_stop_the_log(redis: Redis, tmp_path: Path) -> None:
    log = await chain_of(redis, tmp_path)
    await redis.delete(HEAD)
    assert (await log.verify()).problem == "the head record is missing"
    other = AuditLog(redis, tmp_path, "other")
    other.record(event(99))
    await other.flush()
    await other.flush()
    tail = await log.query(after_seq=RECORDS)
    assert [e["action"] for e in tail] == ["key.create", "audit.head_restored"]
    assert (await log.verify()).ok


async def test_a_removed_archive_segment_is_found(redis: Redis, tmp_path: Path) -> None:
    log = await chain_of(redis, tmp_path, archived=5)
    only_segment(tmp_path).unlink()
    result = await log.verify()
    assert (result.first_bad_seq, result.problem) == (1, "records 1 to 5 are missing")


async def test_a_damaged_anchor_is_named(redis: Redis, tmp_path: Path) -> None:
    log = await chain_of(redis, tmp_path)
    (tmp_path / "anchor.json").write_text('{"seq": 3}')
    result = await log.verify()
    assert not result.ok
    assert "anchor.json is damaged" in str(result.problem)


@pytest.mark.parametrize("records", [0, 1])
async def test_short_chains_verify(redis: Redis, tmp_path: Path, records: int) -> None:
    log = AuditLog(redis, tmp_path, "w")
    for number in range(records):
        log.record(event(number))
    await log.flush()
    assert (await log.verify()).ok
    assert await log.head() == records
