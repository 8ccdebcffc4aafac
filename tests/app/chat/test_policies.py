"""Policies while the gateway runs: a good change is taken, a wrong one is told and changes nothing."""

from __future__ import annotations

import asyncio
import os
from datetime import date
from pathlib import Path

import pytest

from app.chat.policies import PolicyLibrary
from guardrails.chain import Chain


def write(folder: Path, text: str) -> None:
    folder.mkdir(exist_ok=True)
    file = folder / "policy.yaml"
    before = file.stat().st_mtime_ns if file.exists() else 0
    file.write_text(text, encoding="utf-8")
    # Two writes of one clock tick must still look like two.
    os.utime(file, ns=(before + 10**9, before + 10**9))


def library(*folders: Path, cache: Path | None = None) -> PolicyLibrary:
    return PolicyLibrary(lambda: folders, cache)


def hotline(chain: Chain | None) -> str:
    assert chain is not None
    return chain.policy.settings.hotline


async def test_a_change_is_taken_in_one_step(tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    write(folder, "hotline: a")
    policies = library(folder)
    assert policies.chain(folder) is None
    await policies.refresh()
    first = policies.chain(folder)
    assert hotline(first) == "a"
    await policies.refresh()
    assert policies.chain(folder) is first
    write(folder, "hotline: b")
    await policies.refresh()
    assert (hotline(policies.chain(folder)), hotline(first)) == ("b", "a")


async def test_a_wrong_change_leaves_the_last_good_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "policy"
    write(folder, "hotline: a")
    policies = library(folder)
    await policies.refresh()
    good = policies.chain(folder)
    write(folder, "checks:\n  words: {mode: x}\n")
    await policies.refresh()
    await policies.refresh()
    assert policies.chain(folder) is good
    assert f"{folder / 'policy.yaml'}:2" in policies.problems()[folder]
    assert caplog.text.count("policy refused") == 1
    write(folder, "hotline: c")
    await policies.refresh()
    assert (hotline(policies.chain(folder)), policies.problems()) == ("c", {})


async def test_one_that_never_was_good_has_no_chain(tmp_path: Path) -> None:
    bad, missing = tmp_path / "bad", tmp_path / "missing"
    write(bad, "x: 1")
    policies = library(bad, missing)
    await policies.refresh()
    assert (policies.chain(bad), policies.chain(missing)) == (None, None)
    assert policies.problems().keys() == {bad, missing}


async def test_a_folder_that_goes_keeps_its_chain_and_one_nobody_wants_does_not(tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    write(folder, "hotline: a")
    wanted = [folder]
    policies = PolicyLibrary(lambda: wanted, None)
    await policies.refresh()
    folder.rename(tmp_path / "away")
    await policies.refresh()
    assert policies.chain(folder) is not None
    wanted.clear()
    await policies.refresh()
    assert policies.chain(folder) is None


async def test_a_new_day_is_a_reason_to_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    write(folder, "hotline: a")
    day = [date(2026, 1, 1)]
    policies = PolicyLibrary(lambda: [folder], None, today=lambda: day[0])
    await policies.refresh()
    first = policies.chain(folder)
    day[0] = date(2026, 1, 2)
    await policies.refresh()
    assert policies.chain(folder) is not first


async def test_the_event_loop_runs_on_while_a_policy_is_built(tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    write(folder, "hotline: a")
    policies = library(folder)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await policies.refresh()
    counting.cancel()
    assert turns > 100
