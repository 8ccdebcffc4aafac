"""Every action has its record, in one chain over two gateways; what is tampered with is found."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from app.config import Settings
from app.main import create_app
from app.state.keyspace import Keyspace
from tests.app.api.test_keys_and_roles import routes_of
from tests.models.marker import write_marker_adapter
from tests.stack import Gateway, Stack, eventually

NAMES = Keyspace()
CHAT: dict[str, Any] = {
    "model": "general",
    "messages": [{"role": "user", "content": "secret words"}],
    "max_tokens": 2,
}


def last_seq(client: httpx.Client) -> int:
    """Number of the newest record."""
    seq = 0
    while True:
        page = client.get("/v1/audit", params={"after": seq, "limit": 1000}).json()["data"]
        if not page:
            return seq
        seq = page[-1]["seq"]


def records(client: httpx.Client, after: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/v1/audit", params={"after": after, "limit": 1000}).json()[
        "data"
    ]
    return found


def verified(client: httpx.Client) -> dict[str, Any]:
    answer = client.get("/v1/audit/verify", timeout=120)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def with_every_state(found: list[dict[str, Any]], version: str) -> list[dict[str, Any]] | None:
    """The control records once every state of `version` is among them: those of the engine's agent arrive
    on their own way, which a busy machine makes longer than the gateway's."""
    control = [record for record in found if record["kind"] == "control"]
    states = {
        r["details"]["to"]
        for r in control
        if r.get("version") == version and "to" in (r.get("details") or {})
    }
    wanted = {"received", "validated", "stored", "loaded", "probed", "ready", "stable", "draining"}
    return control if states >= wanted else None


def test_every_control_action_leaves_a_record(stack: Stack, tiny_model: Path, tmp_path: Path) -> None:
    write_marker_adapter(tiny_model, tmp_path, 11, seed=time.time_ns() % 2**32)
    with stack.http() as client:
        me = client.get("/v1/keys").json()["data"][0]["id"]
        before = last_seq(client)
        made = client.post("/v1/keys", json={"name": "audited", "scopes": ["chat"]}).json()
        client.delete(f"/v1/keys/{made['id']}")
        version = stack.push(tmp_path, "audited")
        client.post("/v1/releases", json={"alias": "audited-alias", "version": version})
        for alias in ("audited-alias", "audited"):
            assert client.delete(f"/v1/releases/{alias}").status_code == 200
        assert client.delete(f"/v1/adapters/{version.replace('@', '/')}").status_code == 202
        client.post(
            "/v1/feedback", json={"request_id": "0" * 32, "rating": "up", "correction": "no such words"}
        )
        found = eventually(lambda: with_every_state(records(client, before), version))
    for subject, action in (
        (made["id"], "key.create"),
        (made["id"], "key.revoke"),
        ("0" * 32, "feedback.create"),
    ):
        (record,) = [r for r in found if r["subject"] == subject and r["action"] == action]
        assert record["actor"] == me
        assert record["outcome"] == "ok"
    moves = [r for r in found if r.get("version") == version]
    assert {r["actor"] for r in moves} >= {me}
    assert any(r["subject"] == "audited-alias" for r in moves)
    assert "no such words" not in str(found)


def test_every_route_that_changes_something_is_audited() -> None:
    """A new route that changes something must be added to the test above, or this one fails."""
    app = create_app(Settings(state_url="unix:///nowhere"))
    changing = {(method, path) for method, path, _ in routes_of(app) if method != "GET"}
    assert changing == {
        ("POST", "/v1/chat/completions"), ("POST", "/v1/completions"), ("POST", "/v1/keys"),
        ("DELETE", "/v1/keys/{key_id}"), ("POST", "/v1/adapters"), ("DELETE", "/v1/adapters/{name}/{version}"),
        ("POST", "/v1/releases"), ("DELETE", "/v1/releases/{alias}"), ("POST", "/v1/feedback"),
    }  # fmt: skip


def test_every_chat_request_leaves_a_record_without_its_words(stack: Stack) -> None:
    key = stack.make_key(name="chatty")
    with stack.http() as admin, stack.http(key) as client:
        before = last_seq(admin)
        answers = [
            client.post("/v1/chat/completions", json=CHAT),
            client.post("/v1/chat/completions", json=CHAT | {"stream": True}),
            client.post("/v1/completions", json={"model": "general", "prompt": "x", "max_tokens": 2}),
            client.post("/v1/chat/completions", json=CHAT | {"model": "nowhere"}),
            client.post("/v1/chat/completions", json=CHAT | {"max_tokens": -1}),
            client.post("/v1/chat/completions", content=b"{"),
            client.post("/v1/chat/completions", json=CHAT | {"min_p": 7}),
        ]
        found = {
            record["request_id"]: record for record in records(admin, before) if record["kind"] == "chat"
        }
    outcomes = []
    for answer in answers:
        record = found[answer.headers["x-request-id"]]
        outcomes.append(record["outcome"])
        assert record["actor"] == key.split("-")[1]
        assert record["verdict"] == "allow"
        assert "text" not in record
        if record["outcome"] == "ok":
            assert (record["model"], record["version"]) == ("general", "base")
            assert record["completion_tokens"] == 2
            assert record["prompt_tokens"] > 0
            assert len(record["text_digest"]) == 64
    assert outcomes == ["ok"] * 3 + ["model_not_found", "invalid_request", "invalid_json", "invalid_request"]
    usage = answers[0].json()["usage"]
    assert found[answers[0].headers["x-request-id"]]["prompt_tokens"] == usage["prompt_tokens"]
    assert "secret words" not in str(found)


def test_a_client_that_leaves_is_recorded_as_gone(stack: Stack) -> None:
    with stack.http() as admin:
        before = last_seq(admin)
        body = CHAT | {"stream": True, "max_tokens": 800, "ignore_eos": True}
        with admin.stream("POST", "/v1/chat/completions", json=body) as stream:
            identity = stream.headers["x-request-id"]
            for _, _ in zip(range(8), stream.iter_lines(), strict=False):
                pass
        found: list[dict[str, Any]] = []
        for _ in range(100):
            found = [r for r in records(admin, before) if r.get("request_id") == identity]
            if found:
                break
        (record,) = found
    assert record["outcome"] == "client_gone"
    assert 0 < record["completion_tokens"] < 800


def test_one_chain_over_two_gateways(stack: Stack, second: Gateway) -> None:
    with stack.http() as first, stack.http(url=second.url) as other:
        before = last_seq(first)
        identities = [
            client.post("/v1/chat/completions", json=CHAT | {"model": model, "max_tokens": 1}).headers[
                "x-request-id"
            ]
            for _ in range(5)
            for client, model in ((first, "general"), (other, "plain"))
        ]
        # A page through one gateway holds what the other has recorded once that has been asked for it too.
        records(other, before)
        seen = [r for r in records(first, before) if r.get("request_id") in identities]
        assert {record["request_id"] for record in seen} == set(identities)
        assert [r["seq"] for r in seen] == sorted(r["seq"] for r in seen)
        for client in (first, other):
            assert verified(client)["ok"] is True


def test_filters_and_pages(stack: Stack) -> None:
    with stack.http() as client:
        made = client.post("/v1/keys", json={"name": "pages", "scopes": ["audit"]}).json()
        actions: dict[str, str | int] = {"action": "key.create", "kind": "control", "limit": 1000}
        found = client.get("/v1/audit", params=actions).json()["data"]
        assert {record["action"] for record in found} == {"key.create"}
        assert made["id"] in {record["subject"] for record in found}
        when = found[-1]["time"]
        assert not client.get("/v1/audit", params={"until": when - 1e9}).json()["data"]
        assert client.get("/v1/audit", params={"since": when, "action": "key.create"}).json()["data"]
        two = client.get("/v1/audit", params={"after": 0, "limit": 2}).json()["data"]
        rest = client.get("/v1/audit", params={"after": two[-1]["seq"], "limit": 1}).json()["data"]
        assert [record["seq"] for record in two + rest] == [1, 2, 3]
        for wrong in ({"limit": 0}, {"limit": 1001}, {"after": -1}, {"since": "inf"}, {"kind": "x" * 200}):
            assert client.get("/v1/audit", params=wrong).status_code == 400


@pytest.fixture
def state(stack: Stack) -> Iterator[redis.Redis]:
    connection = redis.Redis.from_url(stack.state_url)
    with contextlib.closing(connection):
        yield connection


def test_a_changed_record_is_found(stack: Stack, state: redis.Redis) -> None:
    """Someone with access to the state server rewrites who did it; everything is put back afterwards."""
    with stack.http() as client:
        client.post("/v1/keys", json={"name": "tampered", "scopes": ["chat"]})
        assert verified(client)["ok"] is True
        dump = state.dump(NAMES.audit)
        entries: Any = state.xrange(NAMES.audit, "-", "+")
        middle, fields = entries[len(entries) // 2]
        seq = int(middle.split(b"-")[0])
        forged = fields | {b"e": fields[b"e"].replace(b'"outcome":"', b'"outcome":"not ')}
        assert forged != fields
        try:
            with state.pipeline(transaction=True) as pipe:
                pipe.delete(NAMES.audit)
                for identity, kept in entries:
                    pipe.xadd(NAMES.audit, forged if identity == middle else kept, id=identity)
                pipe.execute()
            found = verified(client)
            assert (found["ok"], found["first_bad_seq"]) == (False, seq)
            assert str(seq) in found["problem"]
        finally:
            later: Any = state.xrange(NAMES.audit, f"({entries[-1][0].decode()}", "+")
            with state.pipeline(transaction=True) as pipe:
                pipe.restore(NAMES.audit, 0, dump, replace=True)  # type: ignore[arg-type]
                for identity, kept in later:
                    pipe.xadd(NAMES.audit, kept, id=identity)
                pipe.execute()
        assert verified(client)["ok"] is True


def test_a_removed_record_is_found(stack: Stack, state: redis.Redis) -> None:
    with stack.http() as client:
        assert verified(client)["ok"] is True
        dump = state.dump(NAMES.audit)
        entries: Any = state.xrange(NAMES.audit, "-", "+")
        victim = entries[len(entries) // 3][0]
        seq = int(victim.split(b"-")[0])
        try:
            assert state.xdel(NAMES.audit, victim) == 1
            found = verified(client)
            assert (found["ok"], found["first_bad_seq"]) == (False, seq)
        finally:
            later: Any = state.xrange(NAMES.audit, f"({entries[-1][0].decode()}", "+")
            with state.pipeline(transaction=True) as pipe:
                pipe.restore(NAMES.audit, 0, dump, replace=True)  # type: ignore[arg-type]
                for identity, kept in later:
                    pipe.xadd(NAMES.audit, kept, id=identity)
                pipe.execute()
        assert verified(client)["ok"] is True
