"""From the `model` of a request to the assistant and the adapter version that answers."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.lifecycle import ROUTABLE, State
from adapters.registry_view import RegistryView
from adapters.snapshot import RegistrySnapshot
from app.chat.assistants import Assistant, AssistantFolder
from app.errors import ApiError, unavailable
from app.identity.keys import KeyRecord
from app.identity.scopes import Scope, has_scope

# States on the way to where a version may answer.
COMING = frozenset({State.RECEIVED, State.VALIDATED, State.STORED, State.LOADED, State.PROBED})


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers. `version` is None for the base model, which only an assistant without adapter may use."""

    requested: str
    assistant: Assistant | None
    version: str | None
    track: str = "stable"

    @property
    def label(self) -> str:
        """The assistant's or the adapter's name: bounded by the registry, so fit for a metric label."""
        if self.assistant is not None:
            return self.assistant.name
        return self.version.partition("@")[0] if self.version else "base"


class Router:
    """Resolves models against the assistants folder and the registry snapshot; no round trip unless unknown."""

    def __init__(self, assistants: AssistantFolder, view: RegistryView) -> None:
        self._assistants = assistants
        self._view = view

    async def resolve(self, model: str, key: KeyRecord) -> Route:
        """The route of `model` for `key`. Raises ApiError 403, 404 or 503."""
        if not key.allows_model(model):
            raise ApiError(403, "model_not_allowed", f"This key may not use `{model}`.", param="model")
        assistant = self._assistants.get(model)
        if assistant is not None:
            return self._assistant_route(model, assistant)
        if not has_scope(key.scopes, Scope.ADAPTERS):
            raise unknown_model(model)
        if not self._known(model):
            # It may have been uploaded through another gateway a moment ago.
            await self._view.refresh_if_older_than(0.2)
        return self._adapter_route(model, self._view.current)

    def _assistant_route(self, model: str, assistant: Assistant) -> Route:
        if assistant.adapter is None:
            return Route(model, assistant, None)
        version = self._view.current.aliases.get(assistant.adapter)
        if version is None:
            # Never the base model in place of a missing adapter: its wording was not approved.
            raise unavailable(
                "adapter_missing",
                f"Assistant `{model}` needs adapter `{assistant.adapter}`, which has no version yet.",
                retry_after=5,
            )
        return Route(model, assistant, version)

    def _known(self, model: str) -> bool:
        snapshot = self._view.current
        if model in snapshot.aliases:
            return True
        record = snapshot.adapters.get(model)
        return record is not None and record.state in ROUTABLE

    def _adapter_route(self, model: str, snapshot: RegistrySnapshot) -> Route:
        version = snapshot.aliases.get(model, model)
        record = snapshot.adapters.get(version)
        if record is None:
            raise unknown_model(model)
        if record.state in COMING:
            raise unavailable(
                "adapter_not_ready",
                f"`{version}` is {record.state}; it answers once it is ready.",
                retry_after=1,
            )
        if record.state not in ROUTABLE:
            raise ApiError(
                404, "model_not_found", f"`{version}` is {record.state}: {record.reason or 'no longer served'}.",
                param="model",
            )  # fmt: skip
        return Route(model, None, version)


def unknown_model(model: str) -> ApiError:
    """404 that does not tell whether a model exists for others."""
    shown = model if len(model) <= 80 else model[:77] + "…"
    return ApiError(404, "model_not_found", f"There is no model `{shown}` for this key.", param="model")
