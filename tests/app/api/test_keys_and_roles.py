"""Keys, and who may do what: every route of the application against every scope."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from app.config import Settings
from app.identity.scopes import Scope
from app.main import create_app
from tests.stack import Gateway, Stack, eventually

OPEN = {"/healthz", "/readyz", "/metrics", "/docs", "/docs/oauth2-redirect", "/openapi.json"}
HOT = {"/v1/chat/completions", "/v1/completions"}
CHAT: dict[str, Any] = {"model": "general", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The application, only to be looked at."""
    return create_app(Settings(state_url="unix:///nowhere"))


def scope_of(route: APIRoute) -> str | None:
    """The scope a route asks for, read off its dependency."""
    scopes = [
        found
        for dependency in route.dependant.dependencies
        if (found := getattr(dependency.call, "scope", None)) is not None
    ]
    assert len(scopes) <= 1
    return scopes[0] if scopes else None


def routes_of(app: FastAPI) -> Iterator[tuple[str, str, str]]:
    """(method, path, scope) of every route that is not open to all."""
    for route in leaves(app.routes):
        path = route.path
        if path in OPEN:
            continue
        scope = "chat" if path in HOT else scope_of(route)
        assert scope is not None, f"{path} asks for no key"
        for method in route.methods or ():
            if method not in {"HEAD", "OPTIONS"}:
                yield method, path, scope


def leaves(routes: list[Any]) -> Iterator[Any]:
    """The routes themselves, whatever they are wrapped in."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from leaves(inner.routes)
        else:
            yield route


def test_every_route_has_a_scope_or_is_meant_to_be_open(app: FastAPI) -> None:
    walked = set(routes_of(app))
    assert {path for _, path, _ in walked} >= HOT | {"/v1/keys", "/v1/audit", "/v1/adapters", "/v1/releases"}
    assert {scope for _, _, scope in walked} == set(Scope)
    open_now = {route.path for route in leaves(app.routes)} - {path for _, path, _ in walked}
    assert open_now == OPEN


def test_every_route_against_every_scope(stack: Stack, app: FastAPI) -> None:
    keys = {scope: stack.make_key(scopes=[scope]) for scope in Scope}
    places = {"name": "nobody", "version": "0" * 12, "alias": "nobody", "key_id": "nobody", "model": "nobody"}
    with httpx.Client(base_url=stack.url, timeout=60) as client:
        for method, path, needed in routes_of(app):
            target = path.format(**places)
            for headers in ({}, {"authorization": "Bearer atl-0000000000000000-wrong"}):
                answer = client.request(method, target, headers=headers)
                assert answer.status_code == 401, (method, path, answer.status_code)
                assert answer.json()["error"]["type"] == "authentication_error"
            for scope, key in keys.items():
                headers = {"authorization": f"Bearer {key}"}
                answer = client.request(method, target, headers=headers, content=b"")
                if scope in {needed, Scope.ADMIN}:
                    assert answer.status_code not in {401, 403}, (method, path, scope, answer.text)
                    assert answer.status_code < 500, (method, path, scope, answer.text)
                else:
                    assert answer.status_code == 403, (method, path, scope, answer.status_code)
                    assert answer.json()["error"]["code"] == "missing_scope"


def test_open_routes_ask_for_no_key(stack: Stack) -> None:
    with httpx.Client(base_url=stack.url, timeout=60) as client:
        for path in OPEN - {"/docs/oauth2-redirect"}:
            assert client.get(path).status_code == 200, path


def chat(stack: Stack, key: str, model: str = "general", url: str | None = None) -> tuple[int, str]:
    with stack.http(key, url) as client:
        answer = client.post("/v1/chat/completions", json=CHAT | {"model": model})
    return answer.status_code, answer.json().get("error", {}).get("code", "")


def test_a_key_ends_with_its_expiry(stack: Stack) -> None:
    until = time.time() + 2.5
    key = stack.make_key(expires=until)
    assert chat(stack, key)[0] == 200
    time.sleep(max(0.0, until - time.time()) + 0.05)
    assert chat(stack, key) == (401, "invalid_key")
    with stack.http() as client:
        answer = client.post(
            "/v1/keys", json={"name": "late", "scopes": ["chat"], "expires": time.time() - 1}
        )
        assert answer.status_code == 400
        assert "past" in answer.json()["error"]["message"]


def test_a_revoked_key_is_refused_at_once_here_and_in_a_moment_everywhere(
    stack: Stack, second: Gateway
) -> None:
    with stack.http() as client:
        made = client.post("/v1/keys", json={"name": "short-lived", "scopes": ["chat"]}).json()
        key = made["key"]
        assert chat(stack, key)[0] == 200
        assert chat(stack, key, "plain", second.url)[0] == 200
        assert client.delete(f"/v1/keys/{made['id']}").json()["revoked"] is True
        assert chat(stack, key) == (401, "invalid_key")
        eventually(lambda: chat(stack, key, "plain", second.url) == (401, "invalid_key"), seconds=6)
        shown = {entry["id"]: entry for entry in client.get("/v1/keys").json()["data"]}
        assert shown[made["id"]]["revoked"] is True
        assert all("key" not in entry for entry in shown.values())
        again = client.delete("/v1/keys/nobody")
        assert (again.status_code, again.json()["error"]["code"]) == (404, "key_not_found")


def test_allowed_models_and_their_star(stack: Stack, marked: tuple[str, str]) -> None:
    version, _ = marked
    one = stack.make_key(models=["bank"])
    assert chat(stack, one, "bank")[0] == 200
    assert chat(stack, one, "general") == (403, "model_not_allowed")
    every_version = stack.make_key(models=["contract@*"], scopes=["chat", "adapters"])
    assert chat(stack, every_version, version)[0] == 200
    assert chat(stack, every_version, "contract") == (403, "model_not_allowed")
    assert chat(stack, every_version, "contract@000000000000") == (404, "model_not_found")


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""}, {"name": "x" * 201}, {"scopes": []}, {"scopes": ["root"]}, {"roles": ["king"]},
        {"scopes": "chat"}, {"models": [""]}, {"models": ["x" * 129]}, {"models": ["x"] * 300},
        {"expires": "soon"}, {"requests_per_minute": 0}, {"requests_per_minute": -1}, {"concurrency": 1.5},
        {"tokens_per_minute": 10**13}, {"concurrency": "2"}, {"admin": True},
    ],
)  # fmt: skip
def test_wrong_keys_are_not_made(stack: Stack, change: dict[str, Any]) -> None:
    with stack.http() as client:
        before = len(client.get("/v1/keys").json()["data"])
        answer = client.post("/v1/keys", json={"name": "wrong", "scopes": ["chat"]} | change)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["message"]
        assert len(client.get("/v1/keys").json()["data"]) == before


def test_roles_stand_for_scopes(stack: Stack) -> None:
    with stack.http() as client:
        answer = client.post("/v1/keys", json={"name": "op", "roles": ["operator"], "scopes": ["audit"]})
        assert answer.json()["scopes"] == ["adapters", "audit", "chat", "releases"]
        assert client.get("/v1/audit", params={"action": "key.create", "limit": 1000}).json()["data"]
