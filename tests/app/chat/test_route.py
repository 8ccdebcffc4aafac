"""From a model's name to who answers: by every state a version can be in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from adapters.lifecycle import ROUTABLE, State
from adapters.registry_view import RegistryView
from adapters.snapshot import AdapterRecord, RegistrySnapshot
from app.chat.assistants import AssistantFolder
from app.chat.route import COMING, Router
from app.errors import ApiError
from app.identity.keys import KeyRecord, Limits

VERSION = "fees@0123456789ab"
OTHER = "fees@ba9876543210"


class FixedView:
    """A view whose next reading is known; counts how often it is read again."""

    def __init__(self, now: RegistrySnapshot, after: RegistrySnapshot | None = None) -> None:
        self.current = now
        self._after = after or now
        self.readings = 0

    async def refresh_if_older_than(self, seconds: float) -> None:
        self.readings += 1
        self.current = self._after


def snapshot(aliases: dict[str, str] | None = None, **states: State) -> RegistrySnapshot:
    """A registry with VERSION (and OTHER) in the given states."""
    names = {"version": VERSION, "other": OTHER}
    records = {
        names[name]: AdapterRecord(names[name], "fees", state, "0" * 64, {}, "why", 0.0, 1)
        for name, state in states.items()
    }
    return RegistrySnapshot(generation=1, adapters=records, aliases=aliases or {}, engines={})


def router(tmp_path: Path, view: FixedView) -> Router:
    (tmp_path / "teller.yaml").write_text("name: teller\nadapter: fees\n")
    (tmp_path / "plain.yaml").write_text("name: plain\n")
    folder = AssistantFolder(tmp_path)
    folder.reload()
    return Router(folder, cast(RegistryView, view))


def key(*scopes: str, models: tuple[str, ...] = ()) -> KeyRecord:
    return KeyRecord("id", "name", frozenset(scopes), models, Limits(), 0.0, "test", None, False)


USER, TRAINER = key("chat"), key("chat", "adapters")


async def refused(router: Router, model: str, who: KeyRecord) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        await router.resolve(model, who)
    assert caught.value.status != 503 or caught.value.retry_after
    return caught.value.status, caught.value.code


async def test_an_assistant_answers_with_its_aliass_version(tmp_path: Path) -> None:
    routes = router(tmp_path, FixedView(snapshot({"fees": VERSION}, version=State.STABLE)))
    route = await routes.resolve("teller", USER)
    assert (route.version, route.label, route.track) == (VERSION, "teller", "stable")
    plain = await routes.resolve("plain", USER)
    assert (plain.version, plain.label) == (None, "plain")


async def test_a_missing_adapter_is_503_and_never_the_base_model(tmp_path: Path) -> None:
    assert await refused(router(tmp_path, FixedView(snapshot())), "teller", USER) == (503, "adapter_missing")


@pytest.mark.parametrize("state", list(State))
async def test_a_version_by_its_state(tmp_path: Path, state: State) -> None:
    routes = router(tmp_path, FixedView(snapshot(version=state)))
    if state in ROUTABLE:
        route = await routes.resolve(VERSION, TRAINER)
        assert (route.version, route.label) == (VERSION, "fees")
    elif state in COMING:
        assert await refused(routes, VERSION, TRAINER) == (503, "adapter_not_ready")
    else:
        assert await refused(routes, VERSION, TRAINER) == (404, "model_not_found")
    assert await refused(routes, VERSION, USER) == (404, "model_not_found")


async def test_what_another_gateway_has_just_made_is_looked_for_once(tmp_path: Path) -> None:
    view = FixedView(snapshot(), snapshot({"fees": VERSION}, version=State.STABLE))
    routes = router(tmp_path, view)
    assert (await routes.resolve("fees", TRAINER)).version == VERSION
    assert (await routes.resolve("fees", TRAINER)).version == VERSION
    assert view.readings == 1


async def test_keys_for_some_models_only(tmp_path: Path) -> None:
    routes = router(tmp_path, FixedView(snapshot({"fees": VERSION}, version=State.STABLE, other=State.READY)))
    some = key("chat", "adapters", models=("plain", "fees@0*"))
    assert (await routes.resolve("plain", some)).version is None
    assert (await routes.resolve(VERSION, some)).version == VERSION
    for model in ("teller", "fees", OTHER, "nowhere"):
        assert await refused(routes, model, some) == (403, "model_not_allowed")


@pytest.mark.parametrize("model", ["nowhere", "base", "", "x" * 128, "fees@", "../etc", "plain "])
async def test_other_names_are_unknown_to_everyone(tmp_path: Path, model: str) -> None:
    routes = router(tmp_path, FixedView(snapshot(version=State.READY)))
    who: Any
    for who in (USER, TRAINER):
        assert await refused(routes, model, who) == (404, "model_not_found")
