"""How many requests the engine works on and how many wait, for the gateways' balancing."""

from typing import Any

from vllm.v1.metrics.loggers import AggregateStatLoggerBase


class QueueDepth(AggregateStatLoggerBase):  # type: ignore[misc]  # vLLM has no types here
    """A vLLM stat logger that remembers the last count of waiting requests of each engine core."""

    def __init__(self, vllm_config: Any, engine_indexes: list[int]) -> None:
        self.engine_indexes = engine_indexes
        self._waiting: dict[int, int] = {}

    def record(
        self, scheduler_stats: Any, iteration_stats: Any, mm_cache_stats: Any = None, engine_idx: int = 0
    ) -> None:
        """Called by vLLM after every model step."""
        if scheduler_stats is not None:
            deferred = scheduler_stats.num_skipped_waiting_reqs
            self._waiting[engine_idx] = scheduler_stats.num_waiting_reqs + deferred

    def log_engine_initialized(self) -> None:
        """Nothing to say at the start."""

    def split(self, unfinished: int) -> tuple[int, int]:
        """(running, waiting) of `unfinished` requests; the split is as of the last model step."""
        waiting = min(sum(self._waiting.values()), unfinished)
        return unfinished - waiting, waiting
