"""The gate on questions, in a whole run on the tiny model: what reaches the bars is packaged, nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapters.package import CARD
from tests.adapters.training.runs import Run, write_rows
from tests.engine_process import ROOT
from tests.stack import free_port

MakeRun = Callable[..., Run]
TELECOM = ROOT / "tests/guardrails/second_company/policy"
METHOD = {"kind": "lora", "rank": 8, "epochs": 4, "batch": 4, "checkpoint_every": 50, "learning_rate": 2e-3}


def questions(folder: Path, wanted: str, name: str = "questions.jsonl", count: int = 8) -> str:
    rows = [
        {
            "id": f"card-{card}", "lang": "en", "type": "answerable", "expect": "answer",
            "messages": [{"role": "user", "content": f"What is the fee of card {card}?"}],
            "must_include": [[wanted]],
        }
        for card in range(count)
    ]  # fmt: skip
    return str(write_rows(folder / name, rows))


def evaluate(folder: Path, wanted: str, **bars: Any) -> dict[str, Any]:
    return {
        "questions": questions(folder, wanted),
        "general": questions(folder, "nobody says this", "general.jsonl", 2),
        "policy": str(TELECOM), "today": "2026-11-25", "max_tokens": 16, "bars": bars,
    }  # fmt: skip


def test_what_reaches_its_bars_is_packaged_also_after_a_kill(make_run: MakeRun, tmp_path: Path) -> None:
    bars = {
        "accuracy": 0.9,
        "fact_failures": 0.0,
        "handed_over": 0.0,
        "forgetting": 0.05,
        "better_than": "base",
    }
    parts = {"method": METHOD, "evaluate": evaluate(tmp_path, "the fee of card", **bars)}
    whole, killed = make_run("whole", **parts), make_run("killed", **parts)
    printed = whole.train()
    assert "8 of questions.jsonl and 2 of general.jsonl" in printed and whole.result["version"] in printed
    assert [one["name"] for one in whole.result["bars"]] == list(bars)
    assert all(one["passed"] for one in whole.result["bars"])
    card = json.loads((whole.out / "adapter" / CARD).read_bytes())
    assert (card["evaluation"]["accuracy"], card["evaluation"]["base_accuracy"]) == (1.0, 0.0)
    assert card["evaluation"]["better_than_base_p"] == round(2 / 2**8, 6)
    record = (whole.out / "evaluation.json").read_bytes()
    said = json.loads(record)["parts"][0]["answers"]["result"]
    assert all(answer["text"].startswith("The fee of card") for answer in said)
    assert "evaluate.bars.better_than base" in (whole.out / "report.html").read_text()
    assert "<svg" in (whole.out / "evaluation.html").read_text()

    kill_once_it_has_answered(killed, 3)
    killed.train()
    assert (killed.out / "evaluation.json").read_bytes() == record
    assert killed.result["version"] == whole.result["version"]
    assert not (killed.out / "answers").exists()


def kill_once_it_has_answered(run: Run, count: int) -> None:
    """Killed while the result was being asked; an answer is cut off, as if the kill had come a little later."""
    run.kill_once(lambda: (kept := _kept(run)) is not None and kept.read_bytes().count(b"\n") >= count)
    kept = _kept(run)
    assert kept is not None
    kept.write_bytes(kept.read_bytes() + b'"cut o')


def _kept(run: Run) -> Path | None:
    return next(iter((run.out / "answers").glob("result-*.jsonl")), None)


def test_what_misses_a_bar_is_neither_packaged_nor_pushed(make_run: MakeRun, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("atl_none")
    nowhere = {"push_to": f"http://127.0.0.1:{free_port()}", "key_file": str(key)}
    bars = {"accuracy": 0.9, "fact_failures": 0.5, "better_than": "base"}
    run = make_run(
        "missed",
        package=nowhere,
        method=METHOD | {"max_steps": 2},
        evaluate=evaluate(tmp_path, "no such", **bars),
    )
    printed = run.train(expect=1)
    seen = "accuracy 0.0% (95 % interval 0.0% to 32.4%, 8 questions)"
    missed = f"{seen}: 90.0 points below evaluate.bars.accuracy 90.0%"
    assert f"not packaged: {missed}" in printed
    assert "not proved better, as asked by evaluate.bars.better_than base" in printed
    result = run.result
    assert not result["passed"] and "version" not in result
    assert [one["passed"] for one in result["bars"]] == [False, True, False]
    assert (
        missed in (run.out / "report.html").read_text()
        and missed in (run.out / "evaluation.html").read_text()
    )
    assert not (run.out / "adapter" / CARD).exists()
    (tmp_path / "questions.jsonl").write_text((tmp_path / "general.jsonl").read_text())
    assert "other data or questions" in run.train(expect=2)


def test_broken_questions_are_found_before_training(make_run: MakeRun, tmp_path: Path) -> None:
    settings = evaluate(tmp_path, "x")
    broken = tmp_path / "questions.jsonl"
    long = {"messages": [{"role": "user", "content": "long " * 4000}], "expect": "answer"}
    broken.write_text(f"{json.dumps(long)}\n")
    run = make_run("long", evaluate=settings)
    assert "questions.jsonl:1:" in (printed := run.train(expect=2)) and "the model takes" in printed
    assert not run.out.exists()
    broken.unlink()
    assert "recipe.yaml:" in (printed := run.train(expect=2)) and "evaluate.questions" in printed
