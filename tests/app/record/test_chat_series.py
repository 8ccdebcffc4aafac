from __future__ import annotations

from prometheus_client import generate_latest

from app.record.metrics import Metrics


def shown(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def test_a_forgotten_version_is_not_shown_and_counts_from_nothing_when_it_comes_back() -> None:
    metrics = Metrics()
    for version in ("a@1", "a@2"):
        metrics.chat_series("bank", version).prompt_tokens.inc(7)
    assert metrics.chat_series("bank", "a@1") is metrics.chat_series("bank", "a@1")
    metrics.forget_version("a@1")
    assert "a@1" not in shown(metrics)
    assert 'version="a@2"} 7.0' in shown(metrics)
    metrics.chat_series("bank", "a@1").prompt_tokens.inc(3)
    assert 'kind="prompt",version="a@1"} 3.0' in shown(metrics)
