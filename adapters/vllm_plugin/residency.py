"""Adapters in the engine: load, remove, list, through vLLM's own serving-models object and engine client."""

import asyncio
import time
from pathlib import Path
from typing import Any

from vllm.entrypoints.serve.lora.protocol import LoadLoRAAdapterRequest
from vllm.lora.request import LoRARequest

from .load_order import LoadOrder, RefusedError, check_order

ENGINE_WAIT_S = 120.0  # the engine core answers between model steps; a long prefill on CPU takes many seconds
DRAIN_WAIT_S = 10.0
DRAIN_POLL_S = 0.02


class Residency:
    """Which adapters this engine holds.

    One lock for all changes, not one per name: the engine core takes them one at a time anyway, and a
    table of locks would grow with every name ever seen. It prevents these interleavings:

    - a DELETE that arrives while the same name is being loaded would find nothing, answer 404, and the
      adapter would be there afterwards;
    - two loads of one name would both find it missing, and the second would be refused as a duplicate;
    - the sweep after a change would take an adapter for a leftover that another load has just put into
      the engine core but not yet into vLLM's table.
    """

    def __init__(self, models: Any, engine: Any, root: Path | None) -> None:
        """`models` is vLLM's OpenAIServingModels, `engine` its EngineClient."""
        self._models = models
        self._engine = engine
        self._root = root
        self._change = asyncio.Lock()
        self._leaving: dict[str, LoRARequest] = {}  # removal begun: no new requests, running ones may go on

    def names(self) -> list[str]:
        """The versions a request can name, sorted."""
        return sorted(self._models.lora_requests)

    async def load(self, name: object, path: object) -> str:
        """Load a version and return its name once the engine core has it; the same path again is no change.

        Raises RefusedError: see `check_order`; also 400 when the name is loaded from another path, 422
        with the engine's message when it does not take the adapter, 503 when it does not answer or the
        name is leaving.
        """
        async with self._change:
            order = await asyncio.to_thread(check_order, name, path, self._root)
            if order.name in self._leaving:
                raise RefusedError(503, f"{order.name} is being removed; try again when it is gone")
            known = self._models.lora_requests.get(order.name)
            if known is None:
                await self._load(order)
            elif known.lora_path != str(order.folder):
                raise RefusedError(400, f"{order.name} is already loaded from {known.lora_path}")
            return order.name

    async def remove(self, name: str) -> None:
        """Remove a version and return once the engine core has let go of it.

        New requests for it are refused from the first moment on. Requests still running with it would
        make the engine core read it from disk again, so their end is waited for, `DRAIN_WAIT_S` at most.
        Raises RefusedError: 404 when it is not loaded; 503 when requests go on or the engine does not
        answer, and removing it again goes on from there.
        """
        async with self._change:
            known = self._begin_removal(name)
        await self._wait_for_end_of_requests(name)
        async with self._change:
            # Another removal of the name may have finished while this one waited.
            leaving = self._leaving.get(name)
            if leaving is not None and leaving is known:
                await self._ask(self._engine.remove_lora(known.lora_int_id))
                del self._leaving[name]
                await self._sweep()

    def _begin_removal(self, name: str) -> LoRARequest:
        # Not vLLM's unload: that only forgets the name and leaves the slot and the memory taken.
        known: Any = self._leaving.get(name)
        if name in self._models.lora_requests:
            known = self._models.lora_requests.pop(name)
        if known is None:
            raise RefusedError(404, f"{name} is not loaded here")
        self._leaving[name] = known
        return known

    async def _wait_for_end_of_requests(self, name: str) -> None:
        deadline = time.monotonic() + DRAIN_WAIT_S
        states = self._engine.output_processor.request_states
        while any(state.lora_name == name for state in states.values()):
            if time.monotonic() > deadline:
                raise RefusedError(503, f"requests with {name} are still running; remove it again later")
            await asyncio.sleep(DRAIN_POLL_S)

    async def _load(self, order: LoadOrder) -> None:
        request = LoadLoRAAdapterRequest(lora_name=order.name, lora_path=str(order.folder))
        try:
            answer = await self._ask(self._models.load_lora_adapter(request))
        finally:
            # vLLM keeps a lock for every name it ever saw; ours makes it unnecessary.
            self._models.lora_resolver_lock.pop(order.name, None)
        error = getattr(answer, "error", None)
        if error is None:
            return
        if self._engine.errored:
            raise RefusedError(503, "the engine core has died; it must be restarted")
        # A failed load may have taken a slot already (the weights are checked while they are copied in).
        await self._sweep()
        status = 404 if error.code == 404 else 422
        raise RefusedError(status, f"the engine refuses {order.name}: {error.message}")

    async def _sweep(self) -> None:
        """Remove what the engine core holds and no name leads to; call with the lock held."""
        wanted = [*self._models.lora_requests.values(), *self._leaving.values()]
        held = set(await self._ask(self._engine.list_loras()))
        leftovers = held - {known.lora_int_id for known in wanted}
        for leftover in sorted(leftovers):
            await self._ask(self._engine.remove_lora(leftover))

    async def _ask(self, call: Any) -> Any:
        try:
            return await asyncio.wait_for(call, ENGINE_WAIT_S)
        except TimeoutError as error:
            message = f"the engine core did not answer within {ENGINE_WAIT_S:.0f} s; try again"
            raise RefusedError(503, message) from error
        except Exception as error:
            if self._engine.errored:
                raise RefusedError(503, "the engine core has died; it must be restarted") from error
            raise
