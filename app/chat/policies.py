"""The policies of all assistants, each the last good one, built elsewhere and swapped in one step."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from guardrails.chain import Chain
from guardrails.message import Message
from guardrails.policy.bundle import BuildFailed, build
from guardrails.policy.folder import PolicyFolder, Stamp
from guardrails.policy.policy import Policy
from guardrails.problem import PolicyProblem

log = logging.getLogger("atelier.policies")


@dataclass(slots=True)
class _Watched:
    """One folder. `chain` is replaced, never changed."""

    folder: PolicyFolder
    chain: Chain | None = None
    problem: str = ""
    seen: tuple[Stamp, date] | None = None


class PolicyLibrary:
    """Watches the folders that assistants name.

    A folder that became wrong keeps its last good chain; one that never was right has none, and its assistant
    does not answer: an assistant with a policy never answers without it.
    """

    def __init__(
        self,
        wanted: Callable[[], Iterable[Path]],
        cache_dir: Path | None,
        *,
        interval: float = 1.0,
        today: Callable[[], date] = date.today,
    ) -> None:
        self._wanted = wanted
        self._cache_dir = cache_dir
        self._interval = interval
        self._today = today
        self._watched: dict[Path, _Watched] = {}

    def chain(self, folder: Path) -> Chain | None:
        """The chain of a policy folder; None before it has been built."""
        watched = self._watched.get(folder)
        return watched.chain if watched is not None else None

    def problems(self) -> dict[Path, str]:
        """What is wrong with each folder that could not be taken as it is now."""
        return {path: watched.problem for path, watched in self._watched.items() if watched.problem}

    async def refresh(self) -> None:
        """Build what changed. One folder at a time: a build takes a processor."""
        for path in set(self._wanted()):
            watched = self._watched.setdefault(path, _Watched(PolicyFolder(path)))
            try:
                stamp = await asyncio.to_thread(watched.folder.stamp)
            except (PolicyProblem, OSError) as error:
                self._refuse(watched, str(error))
                continue
            seen = stamp, self._today()
            if seen == watched.seen:
                continue
            await self._rebuild(watched, seen)
        for path in self._watched.keys() - set(self._wanted()):
            del self._watched[path]

    async def _rebuild(self, watched: _Watched, seen: tuple[Stamp, date]) -> None:
        path = watched.folder.path
        try:
            policy = await asyncio.to_thread(build, path, self._cache_dir, today=seen[1])
            if await asyncio.to_thread(watched.folder.stamp) != seen[0]:
                return  # Changed while it was built: the next round takes all of it.
            chain = await asyncio.to_thread(_warm, policy)
        except PolicyProblem as problem:
            watched.seen = seen
            self._refuse(watched, str(problem))
        except (BuildFailed, OSError) as error:
            # Not remembered as seen: what broke was the building, so it is tried again.
            self._refuse(watched, str(error))
        else:
            watched.seen, watched.problem, watched.chain = seen, "", chain
            log.info("policy in use", extra={"policy": str(path), "digest": policy.digest[:12]})

    def _refuse(self, watched: _Watched, problem: str) -> None:
        if problem != watched.problem:
            kept = "the last good one stays" if watched.chain else "its assistants do not answer"
            log.error("policy refused, %s: %s", kept, problem)
        watched.problem = problem

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(self._interval)


def _warm(policy: Policy) -> Chain:
    """The chain of `policy`, with what it loads on first use loaded: no request should wait for that."""
    chain = Chain(policy)
    chain.check_input([Message("user", "?")])
    return chain
