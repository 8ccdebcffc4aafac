"""Stands for a difficult command: `family.py ROLL GENERATIONS [deaf] [wiped] [orphan] [exit=N]`.

Every member signs the roll (its pid and start time) and has one child in a session of its own, down to the
last generation. deaf: all ignore SIGTERM. wiped: children get an empty environment. orphan: the members
between first and last leave at once, so that the last one has lost its parents. exit=N: the first leaves
with that code when the whole family has signed.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

LIFE_SECONDS = 120.0


def sign(roll: Path) -> None:
    stat = Path("/proc/self/stat").read_bytes()
    pid, start = int(stat.split()[0]), int(stat.rpartition(b")")[2].split()[19])
    with roll.open("a") as file:
        file.write(f"{pid} {start}\n")


def wait_for_lines(roll: Path, count: int) -> None:
    deadline = time.monotonic() + LIFE_SECONDS
    while len(roll.read_text().splitlines()) < count and time.monotonic() < deadline:
        time.sleep(0.01)


def main() -> int:
    roll, generations, traits = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    first = "child" not in traits
    if "deaf" in traits:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if generations > 1:
        inherited = [trait for trait in traits if not trait.startswith("exit=")]
        argv = [sys.executable, "-S", __file__, str(roll), str(generations - 1), *inherited]
        subprocess.Popen(
            argv if "child" in traits else [*argv, "child"],
            start_new_session=True,
            env={} if "wiped" in traits else None,
        )
    sign(roll)
    if not first and generations > 1 and "orphan" in traits:
        return 0
    for trait in traits:
        if first and trait.startswith("exit="):
            wait_for_lines(roll, generations)
            return int(trait.removeprefix("exit="))
    time.sleep(LIFE_SECONDS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
