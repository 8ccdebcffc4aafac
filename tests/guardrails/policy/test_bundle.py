"""Building a policy in a process of its own."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from guardrails.chain import Chain
from guardrails.message import Message
from guardrails.policy import bundle
from guardrails.policy.bundle import BuildFailed, build
from guardrails.policy.load import load_policy
from guardrails.problem import PolicyProblem

TODAY = date(2026, 6, 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "policy.yaml").write_text("hotline: 400-1")
    return tmp_path / "policy"


def test_it_is_what_reading_it_here_gives(folder: Path) -> None:
    built, read = build(folder, today=TODAY), load_policy(folder, today=TODAY)
    assert (built.digest, built.settings, built.replies) == (read.digest, read.settings, read.replies)
    messages = [Message("user", "转人工")]
    assert Chain(built).check_input(messages).reply == Chain(read).check_input(messages).reply


def test_a_wrong_policy_is_told_as_if_it_were_read_here(folder: Path) -> None:
    (folder / "policy.yaml").write_text("checks:\n  words:\n    mode: x\n")
    with pytest.raises(PolicyProblem) as found:
        build(folder, today=TODAY)
    assert (found.value.path, found.value.line) == (folder / "policy.yaml", 3)
    assert found.value.field == "checks.words.mode"


def test_a_kept_bundle_is_used_until_something_changes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    build(folder, cache, today=TODAY)
    (kept,) = cache.glob("*.bundle")
    ran: list[Path] = []
    run = bundle._run

    def counted(path: Path, *rest: object) -> bytes:
        ran.append(path)
        return run(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(bundle, "_run", counted)
    assert build(folder, cache, today=TODAY).settings.hotline == "400-1"
    assert ran == []
    # Damaged on the disk: built again, not believed.
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    build(folder, cache, today=TODAY)
    assert len(ran) == 1
    (folder / "policy.yaml").write_text("hotline: 400-2")
    assert build(folder, cache, today=TODAY).settings.hotline == "400-2"
    build(folder, cache, today=date(2026, 6, 2))
    assert len(ran) == 3


def test_a_builder_that_breaks_is_no_wrong_policy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle.sys, "executable", "/bin/false")
    with pytest.raises(BuildFailed, match="failed"):
        build(folder, today=TODAY)
