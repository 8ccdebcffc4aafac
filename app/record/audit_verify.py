"""Checking the whole chain."""

from __future__ import annotations

from dataclasses import dataclass

from app.record.audit_archive import DamagedArchive
from app.record.audit_chain import Chain, Head
from app.record.audit_event import Record, link_hash


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """`records`: how many were read. `first_bad_seq`: where the chain breaks first."""

    ok: bool
    records: int
    first_bad_seq: int | None = None
    problem: str | None = None


async def verify_chain(chain: Chain, anchor: Head | None, secret: bytes | None) -> VerifyResult:
    """Read every link. `anchor`: a link known from outside Redis, which must still be there.

    Raises StateUnavailable.
    """
    before = await chain.head()
    last, count = Head(), 0
    # What the head record and the anchor say about links still to come.
    promised = {h.seq: h.hash for h in (before, anchor) if h is not None}
    try:
        async for record in chain.records():
            count += 1
            problem = _problem(record, last, secret)
            if problem is None and promised.get(record.seq, record.hash) != record.hash:
                problem = f"record {record.seq} is not the one the head record or the anchor knew"
            if problem is not None:
                return VerifyResult(False, count, last.seq + 1, problem)
            last = Head(record.seq, record.hash)
    except DamagedArchive as error:
        return VerifyResult(False, count, last.seq + 1, str(error))
    return _end(count, last, before, await chain.head(), anchor)


def _end(
    count: int, last: Head, before: Head | None, after: Head | None, anchor: Head | None
) -> VerifyResult:
    if after is None and (last.seq or anchor is not None):
        return VerifyResult(False, count, last.seq + 1, "the head record is missing")
    for name, known in (("head record", before), ("anchor", anchor)):
        if known is not None and known.seq > last.seq:
            problem = f"records {last.seq + 1} to {known.seq}, which the {name} knows, are missing at the end"
            return VerifyResult(False, count, last.seq + 1, problem)
    if after is not None and after.seq < last.seq:
        problem = f"records {after.seq + 1} to {last.seq} lie behind the head record"
        return VerifyResult(False, count, after.seq + 1, problem)
    return VerifyResult(True, count)


def _problem(record: Record, last: Head, secret: bytes | None) -> str | None:
    expected = last.seq + 1
    if record.seq > expected:
        return f"records {expected} to {record.seq - 1} are missing"
    if record.seq < expected:
        return f"record {record.seq} appears again or out of order"
    if record.prev != last.hash:
        return f"record {record.seq} does not follow the record before it"
    if link_hash(record.seq, record.prev, record.body, secret) != record.hash:
        return f"the content of record {record.seq} does not match its hash"
    return None
