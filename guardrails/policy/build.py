"""The process that builds a policy: `python -m guardrails.policy.build FOLDER OUT DATE [CACHE]`."""

from __future__ import annotations

import json
import os
import pickle
import resource
import sys
from datetime import date
from hashlib import sha256
from pathlib import Path

from guardrails.policy.load import load_policy
from guardrails.problem import PolicyProblem

REFUSED = 3
MEMORY = 4 << 30
"""Bytes of data this process may have. The largest policies within the bounds need a fourth of it."""


def main(arguments: list[str]) -> int:
    """Build, write, print the digest; for a wrong policy print what is wrong and return 3."""
    folder, out, today = Path(arguments[0]), Path(arguments[1]), date.fromisoformat(arguments[2])
    cache = Path(arguments[3]) if len(arguments) > 3 else None
    os.nice(5)
    _bound_memory()
    try:
        policy = load_policy(folder, today=today, cache_dir=cache)
    except PolicyProblem as problem:
        told = {
            "path": str(problem.path),
            "message": problem.message,
            "line": problem.line,
            "field": problem.field,
        }
        sys.stdout.write(json.dumps(told) + "\n")
        return REFUSED
    content = pickle.dumps(policy, protocol=pickle.HIGHEST_PROTOCOL)
    out.write_bytes(content)
    sys.stdout.write(sha256(content).hexdigest() + "\n")
    return 0


def _bound_memory() -> None:
    # Whatever a policy does, the machine that serves requests beside it keeps its memory.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
