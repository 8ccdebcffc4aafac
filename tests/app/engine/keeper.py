"""A supervisor in a process of its own: `keeper.py STATE_DIR GRACE -- ARGV`. Prints every event."""

import asyncio
import os
import sys
from pathlib import Path

from app.engine.supervisor import ChildSpec, Supervisor, stop_on_signals


async def main() -> None:
    state, grace = Path(sys.argv[1]), float(sys.argv[2])
    spec = ChildSpec(
        "kept", tuple(sys.argv[4:]), dict(os.environ), state.with_name("kept.log"), grace_seconds=grace
    )
    supervisor = Supervisor([spec], lambda event: print(event.line, flush=True), state)
    with stop_on_signals(supervisor):
        await supervisor.run()


asyncio.run(main())
