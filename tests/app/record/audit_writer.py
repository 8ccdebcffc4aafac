"""A process that writes audit records until it is killed: `audit_writer.py url directory name count`.

Prints the id of each record after `record` returned. Stops by itself after two minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from pathlib import Path

from app.record.audit import AuditLog, AuditSettings
from app.record.audit_event import AuditEvent
from app.state.connection import StateUnavailable, connect


async def main(url: str, directory: str, name: str, count: int) -> None:
    # Small segments, so that rotation happens under fire too.
    log = AuditLog(connect(url), Path(directory), name, settings=AuditSettings(segment_bytes=20_000))
    work = asyncio.create_task(log.run())
    deadline = time.monotonic() + 120
    for number in range(count):
        event = AuditEvent(
            kind="chat",
            actor="key1",
            action="chat.completion",
            outcome="ok",
            version="fees@0123456789ab",
            prompt_tokens=number % 7,
            completion_tokens=1,
            details={"writer": name, "number": number},
        )
        log.record(event)
        os.write(1, event.id.encode() + b"\n")
        if number % 20 == 0:
            await asyncio.sleep(0.002)
        if time.monotonic() > deadline or work.done():
            break
    # A loaded machine may make one call late; being late is not what these tests are about.
    while log.unshipped_bytes and time.monotonic() < deadline:
        with contextlib.suppress(StateUnavailable):
            await log.flush()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await log.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
