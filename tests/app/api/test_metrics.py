"""The metrics are those of docs/metrics.md, and no client can make them grow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.stack import ROOT, Stack

CATALOGUE = ROOT / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<type>\w+) \| (?P<labels>[\w, ]*)\|", re.MULTILINE)
CHAT: dict[str, Any] = {"model": "general", "messages": [{"role": "user", "content": "x"}], "max_tokens": 3}


def documented(path: Path = CATALOGUE) -> dict[str, tuple[str, frozenset[str]]]:
    """Name → type and labels, as the document says."""
    rows = ROW.finditer(path.read_text(encoding="utf-8"))
    return {
        row["name"]: (row["type"], frozenset(filter(None, re.split(r"[, ]+", row["labels"])))) for row in rows
    }


def scrape(stack: Stack) -> str:
    answer = httpx.get(f"{stack.url}/metrics", timeout=30)
    assert answer.headers["content-type"].startswith("text/plain")
    return answer.text


def series(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_document_lists_exactly_what_is_exported(stack: Stack) -> None:
    exported = {
        name: kind
        for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", scrape(stack), re.MULTILINE)
        if not name.endswith("_created")
    }
    assert exported == {name: kind for name, (kind, _) in documented().items()}


def test_the_documents_labels_are_the_exported_ones(stack: Stack, marked: tuple[str, str]) -> None:
    with stack.http() as client:
        client.post("/v1/chat/completions", json=CHAT)
        client.post("/v1/chat/completions", json=CHAT | {"model": "contract"})
        client.post("/v1/feedback", json={"request_id": "0" * 32, "rating": "down"})
    catalogue = documented()
    suffixes = ("_bucket", "_sum", "_count", "_created")
    seen = set()
    for name, labels in series(scrape(stack)):
        base = next((name.removesuffix(s) for s in suffixes if name.removesuffix(s) in catalogue), name)
        if name.endswith("_created"):
            base = name.removesuffix("_created")
            base = base if base in catalogue else f"{base}_total"
        assert {label for label, _ in labels} - {"le"} == catalogue[base][1], name
        seen.add(base)
    assert seen >= {"atelier_tokens_total", "atelier_engine_up", "atelier_adapters", "atelier_feedback_total"}


def test_help_is_given_for_every_name(stack: Stack) -> None:
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", scrape(stack), re.MULTILINE))
    assert all(helps[name] for name in documented())


def test_a_request_is_counted_where_it_belongs(stack: Stack, marked: tuple[str, str]) -> None:
    version, _ = marked
    before = series(scrape(stack))
    with stack.http() as client:
        usage = client.post("/v1/chat/completions", json=CHAT | {"model": "contract"}).json()["usage"]
    after = series(scrape(stack))

    def grown(name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return after[key] - before.get(key, 0.0)

    who = {"assistant": "contract", "version": version}
    assert grown("atelier_requests_total", **who, status="200", verdict="allow") == 1
    assert grown("atelier_tokens_total", **who, kind="prompt") == usage["prompt_tokens"]
    assert grown("atelier_tokens_total", **who, kind="completion") == usage["completion_tokens"]
    for name in ("request_duration", "time_to_first_token", "time_per_output_token"):
        assert grown(f"atelier_{name}_seconds_count", **who) == 1
        assert grown(f"atelier_{name}_seconds_sum", **who) > 0
    assert after["atelier_requests_in_flight", frozenset()] == 0


@pytest.mark.parametrize("round_", range(2))
def test_what_clients_invent_becomes_no_label(stack: Stack, round_: int) -> None:
    """The second round finds every series there is, so that it must not add a single one."""
    before = series(scrape(stack))
    odd = f"junk{round_}"
    with stack.http() as client:
        for n in range(15):
            junk = f"{odd}x{n}"
            client.post("/v1/chat/completions", json=CHAT | {"model": junk})
            client.post("/v1/chat/completions", json=CHAT, headers={"authorization": f"Bearer atl-{junk}"})
            client.post("/v1/chat/completions", json=CHAT | {"user": junk, "max_tokens": 1})
            client.post("/v1/chat/completions", json=CHAT | {junk: junk, "max_tokens": -1})
            client.get(f"/{junk}")
            client.get(f"/v1/models/{junk}")
            client.get(f"/v1/adapters/{junk}")
            client.get(f"/v1/adapters/{junk}/000000000000")
            client.delete(f"/v1/keys/{junk}")
            client.delete(f"/v1/releases/{junk}")
            client.post("/v1/feedback", json={"request_id": "0" * 32, "rating": junk})
            client.request(odd.upper(), "/v1/models")
            client.put("/v1/keys", json={})
    text = scrape(stack)
    assert "junk" not in text.lower()
    after = series(text)
    # A round's own kinds of refusal, each once; nothing per model, key, path or method.
    assert len(after) - len(before) <= (80 if round_ == 0 else 0)
