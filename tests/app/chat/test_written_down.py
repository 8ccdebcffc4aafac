"""What of a guarded conversation is written down: never a customer's number, unless the policy says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.chat.exchange import Exchange, audit_event
from guardrails.policy.load import load_policy
from tests.app.chat.test_chain_rails import Bench
from tests.valkey_process import ValkeyProcess

CARD = "6222021234567894"
MOBILE = "13812345678"
ASKED = f"我的卡号是{CARD}，手机{MOBILE}，为什么刷不了"
ANSWER = ["卡", "622202", "123456", "7894", "已挂失，短信发往1381", "2345678"]


@pytest.fixture(scope="module")
def valkey() -> Any:
    with ValkeyProcess() as running:
        yield running


@pytest.fixture
async def bench(valkey: ValkeyProcess, request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    bench = Bench(valkey, f"{request.node.name}:")
    yield bench
    for rails in bench.opened:
        rails.close()
    await bench.redis.aclose()


async def record(bench: Bench, folder: Path, settings: str) -> str | None:
    """The text of the audit record of one question and its answer."""
    (folder / "policy.yaml").write_text(settings, encoding="utf-8")
    exchange = Exchange("r1", "chat.completion")
    exchange.asked_text = ASKED
    result = await bench.chat(load_policy(folder), ASKED)
    exchange.checked(result)
    rail = result.open_output()
    assert rail is not None
    for piece in ANSWER:
        exchange.on_text(rail.feed(0, piece))
    exchange.on_text(rail.finish(0))
    return audit_event(exchange, "ok").text


@pytest.mark.parametrize("mode", ["enforce", "shadow", "off"])
async def test_numbers_are_hidden_in_question_and_answer(bench: Bench, tmp_path: Path, mode: str) -> None:
    text = await record(bench, tmp_path, f"checks: {{privacy: {{mode: {mode}}}}}")
    assert text is not None
    assert CARD not in text
    assert MOBILE not in text
    assert text.count("6222********7894") == 2
    assert text.count("138****5678") == 2
    assert "为什么刷不了" in text
    assert "已挂失" in text


async def test_a_policy_may_ask_for_plain_texts_or_none(bench: Bench, tmp_path: Path) -> None:
    plain = await record(bench, tmp_path, "{audit: {text: plain}, checks: {privacy: {mode: shadow}}}")
    assert plain == f"{ASKED}\n{''.join(ANSWER)}"
    assert await record(bench, tmp_path, "audit: {text: off}") is None


def test_before_the_policy_has_spoken_nothing_is_written_down() -> None:
    exchange = Exchange("r1", "chat.completion")
    exchange.asked_text = ASKED
    assert audit_event(exchange, "policy_missing").text is None


async def test_a_ticket_s_summary_hides_numbers_even_where_the_check_is_off(
    bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text("checks: {privacy: {mode: off}}", encoding="utf-8")
    result = await bench.chat(load_policy(tmp_path), f"转人工，我的卡号{CARD}")
    assert result.answer is not None
    waiting = await bench.queue.waiting()
    assert "6222********7894" in str(waiting)
    assert CARD not in str(waiting)
