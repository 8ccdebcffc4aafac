"""Usage per key, version and day is what the audit log says."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from typing import Any

from tests.stack import Gateway, Stack

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 3}


def rows(stack: Stack, since: date, until: date, **more: str) -> list[dict[str, Any]]:
    parameters = {"since": str(since), "until": str(until)} | more
    with stack.http() as client:
        answer = client.get("/v1/usage", params=parameters)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def test_usage_is_the_sum_of_the_audit_records(
    stack: Stack, second: Gateway, marked: tuple[str, str]
) -> None:
    version, _ = marked
    full = stack.make_key(scopes=["chat", "adapters"])
    key_id = full.split("-")[1]
    since = datetime.now(UTC).date()
    told: Counter[tuple[str, str]] = Counter()
    with stack.http(full) as first, stack.http(full, second.url) as other:
        for client, model, answered in (
            (first, "general", "base"),
            (other, "plain", "base"),
            (first, "contract", version),
            (other, version, version),
            (first, version, version),
        ):
            answer = client.post("/v1/chat/completions", json=CHAT | {"model": model})
            assert answer.status_code == 200, answer.text
            told[answered, "requests"] += 1
            for name in ("prompt_tokens", "completion_tokens"):
                told[answered, name] += answer.json()["usage"][name]
        stream = first.post("/v1/chat/completions", json=CHAT | {"model": "general", "stream": True})
        assert stream.status_code == 200
        assert first.post("/v1/chat/completions", json=CHAT | {"model": "nowhere"}).status_code == 404
    with stack.http() as admin, stack.http(url=second.url) as through_second:
        # Each gateway ships what it holds before it answers.
        through_second.get("/v1/audit", params={"limit": 1})
        records: list[dict[str, Any]] = admin.get(
            "/v1/audit", params={"actor": key_id, "kind": "chat", "limit": 1000}
        ).json()["data"]
    audited: Counter[tuple[str, str]] = Counter()
    for record in records:
        audited[record["version"], "requests"] += 1
        for name in ("prompt_tokens", "completion_tokens"):
            audited[record["version"], name] += record[name]
    used: Counter[tuple[str, str]] = Counter()
    for row in rows(stack, since, datetime.now(UTC).date(), key_id=key_id):
        assert row["key"] == key_id
        for name in ("requests", "prompt_tokens", "completion_tokens"):
            used[row["version"], name] += row[name]
    assert used == audited
    assert used[version, "requests"] == told[version, "requests"] == 3
    assert used[version, "prompt_tokens"] == told[version, "prompt_tokens"]
    assert used["base", "requests"] == told["base", "requests"] + 1  # the stream, which tells no usage
    assert used["base", "completion_tokens"] == told["base", "completion_tokens"] + 3
    assert used["", "requests"] == 1  # the refused one


def test_days_outside_hold_nothing_and_too_many_are_refused(stack: Stack) -> None:
    assert rows(stack, date(2001, 1, 1), date(2001, 1, 31)) == []
    assert rows(stack, date(2001, 2, 1), date(2001, 1, 1)) == []
    with stack.http() as client:
        for since, until in (("2000-01-01", "2026-01-01"), ("0001-01-01", "9999-12-31"), ("x", "y")):
            answer = client.get("/v1/usage", params={"since": since, "until": until})
            assert answer.status_code == 400
            assert answer.json()["error"]["message"]
