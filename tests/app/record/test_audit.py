from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from app.record import audit_archive
from app.record.audit import AuditLog, AuditSettings
from app.record.audit_event import AuditEvent
from app.record.journal import Journal, JournalFull
from app.record.usage import read_usage


def event(number: int, **fields: Any) -> AuditEvent:
    return AuditEvent(
        **{
            "kind": "control",
            "actor": "boss",
            "action": "key.create",
            "outcome": "ok",
            "subject": str(number),
            "time": 1000.0 + number,
            **fields,
        }
    )


def chat(actor: str, version: str, prompt: int, completion: int, at: datetime) -> AuditEvent:
    return AuditEvent(
        kind="chat",
        actor=actor,
        action="chat.completion",
        outcome="ok",
        version=version,
        prompt_tokens=prompt,
        completion_tokens=completion,
        time=at.timestamp(),
    )


async def filled(redis: Redis, folder: Path, count: int, **options: Any) -> AuditLog:
    log = AuditLog(redis, folder, "w", **options)
    for number in range(count):
        log.record(event(number, actor="even" if number % 2 == 0 else "odd"))
    await log.flush()
    return log


def test_encoding_is_canonical_and_takes_any_text() -> None:
    wild = event(
        1, text="line\nbreak \ud800 中文", details={"n": 10**30, "set": {1}, "path": Path("x"), 1: "a"}
    )
    line = wild.encode()
    assert b"\n" not in line
    fields = orjson.loads(line)
    assert fields["text"] == "line\nbreak \\ud800 中文"
    assert orjson.dumps(fields, option=orjson.OPT_SORT_KEYS) == line
    assert "verdict" not in fields


async def test_records_read_back_in_order_with_their_links(redis: Redis, tmp_path: Path) -> None:
    log = await filled(redis, tmp_path, 5)
    records = await log.query()
    assert [r["seq"] for r in records] == [1, 2, 3, 4, 5]
    assert records[0]["prev"] == "0" * 64
    assert [r["prev"] for r in records[1:]] == [r["hash"] for r in records[:-1]]


async def test_query_filters_over_archive_and_stream(redis: Redis, tmp_path: Path) -> None:
    log = await filled(redis, tmp_path, 1200)
    await log.archive(300)
    assert await redis.xlen("atelier:audit") == 300
    found = await log.query(actor="odd", since=1100.0, until=1120.0)
    assert [r["subject"] for r in found] == [str(n) for n in range(101, 120, 2)]
    across = await log.query(after_seq=895, limit=10)
    assert [r["seq"] for r in across] == list(range(896, 906))
    assert await log.query(kind="chat") == []
    assert await log.query(action="key.create", after_seq=1200) == []
    with pytest.raises(ValueError, match="limit is 0"):
        await log.query(limit=0)


async def test_archive_keeps_one_chain(redis: Redis, tmp_path: Path) -> None:
    log = await filled(redis, tmp_path, 100)
    assert await log.archive(60) == 40
    for number in range(50):
        log.record(event(number))
    await log.flush()
    assert await log.archive(0) == 109  # One stays, for the head to point at.
    assert await log.archive(0) == 0
    names = sorted(path.name for path in (tmp_path / "archive").iterdir())
    assert names == ["000000000001-000000000040.jsonl.gz", "000000000041-000000000149.jsonl.gz"]
    result = await log.verify()
    assert (result.ok, result.records) == (True, 150)


async def test_two_archivers_and_readers_at_once(redis: Redis, tmp_path: Path) -> None:
    log = await filled(redis, tmp_path, 2000)
    others = [AuditLog(redis, tmp_path, f"o{n}") for n in range(3)]

    async def read() -> None:
        for _ in range(5):
            result = await log.verify()
            assert (result.ok, result.records) == (True, 2000), result

    moved = await asyncio.gather(*(other.archive(100) for other in others), read())
    assert sum(m for m in moved if m) == 1900


async def test_an_archive_whose_cut_never_came_is_made_again(redis: Redis, tmp_path: Path) -> None:
    log = await filled(redis, tmp_path, 50)
    records = [record async for record in log._chain.records()]
    audit_archive.write(tmp_path / "archive", records[:20])  # And here the archiver died.
    assert (await log.verify()).records == 50
    assert await log.archive(25) == 25
    assert [p.name for p in (tmp_path / "archive").iterdir()] == ["000000000001-000000000025.jsonl.gz"]
    assert (await log.verify()).ok


async def test_full_spool_refuses_and_recovers(redis: Redis, tmp_path: Path) -> None:
    log = AuditLog(redis, tmp_path, "w", settings=AuditSettings(max_spool_bytes=20_000))
    assert log.accepting
    count = 0
    while log.accepting:
        log.record(event(count))
        count += 1
    log.record(event(count))  # What was already being answered still has room.
    with pytest.raises(JournalFull, match=r"unshipped bytes of at most 22000; bring Redis back"):
        for _ in range(100):
            log.record(event(99))
    await log.flush()
    assert log.accepting
    log.record(event(100))
    await log.flush()
    assert (await log.verify()).ok


async def test_full_spool_may_drop_instead(redis: Redis, tmp_path: Path) -> None:
    settings = AuditSettings(max_spool_bytes=500, refuse_when_full=False)
    log = AuditLog(redis, tmp_path, "w", settings=settings)
    for number in range(20):
        log.record(event(number))
    assert log.accepting
    await log.flush()
    assert log.dropped == 20 - await log.head() > 0


def test_wrong_writer_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"writer id '\.\./x'"):
        Journal(tmp_path, "../x")


async def test_usage_per_key_version_and_day(redis: Redis, tmp_path: Path) -> None:
    log = AuditLog(redis, tmp_path, "w")
    noon, next_day = datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 2, 0, 0, 1, tzinfo=UTC)
    for record in (
        chat("k1", "fees@1", 10, 5, noon),
        chat("k1", "fees@1", 20, 7, noon),
        chat("k1", "cards@1", 1, 1, noon),
        chat("k2", "odd|name", 2, 0, noon),
        chat("k1", "fees@1", 100, 50, next_day),
        event(1, actor="k1"),
    ):
        log.record(record)
    await log.flush()
    first, second = date(2026, 3, 1), date(2026, 3, 2)
    assert await log.usage(first, second, key="k1") == [
        row("2026-03-01", "k1", "cards@1", 1, 1, 1),
        row("2026-03-01", "k1", "fees@1", 2, 30, 12),
        row("2026-03-02", "k1", "fees@1", 1, 100, 50),
    ]
    assert await log.usage(first, first, key="k2") == [row("2026-03-01", "k2", "odd|name", 1, 2, 0)]
    assert await log.usage(second, first) == []
    with pytest.raises(ValueError, match="ask for at most 400"):
        await read_usage(redis, date(2020, 1, 1), first)


def row(day: str, key: str, version: str, requests: int, prompt: int, completion: int) -> dict[str, Any]:
    return {
        "day": day,
        "key": key,
        "version": version,
        "requests": requests,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
    }
