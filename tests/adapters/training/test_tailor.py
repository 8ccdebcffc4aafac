"""`atelier tailor`: steps that are done once, plans that are refused, and the whole way with other documents."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer import Exit
from typer.testing import CliRunner

from adapters.training.recipe import Recipe
from app.cli import app
from app.commands.tailor_plan import read_plan
from app.commands.tailor_steps import Step, Steps
from guardrails.policy.yaml_source import read_yaml
from tests.stack import ROOT, free_port

EXAMPLE = ROOT / "examples/bank/tailor"
PAIR = {"prompt": "q", "response": "a"}
DOCUMENT = """# 会员卡说明

文号：T-1　生效日期：2026-01-01

## 一、费用

| 卡种 | 月费 | 补卡费 | 有效期 |
|---|---|---|---|
| 蓝卡 | 10元 | 5元 | 12个月 |
| 绿卡 | 20元 | 6元 | 24个月 |
| 银卡 | 30元 | 7元 | 36个月 |
| 紫卡 | 40元 | 8元 | 48个月 |
"""
QUESTIONS = [
    ("蓝卡月费多少？", "10元"),
    ("银卡的补卡费", "7元"),
    ("紫卡有效期多久", "48个月"),
    ("绿卡月费是多少", "20元"),
]


def step(source: Path, target: Path, shape: str = "messages") -> Step:
    command = ("data", "convert", str(source), str(target), "--to", shape)
    return Step("convert", command, (source,), (target,))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(PAIR) + "\n", encoding="utf-8")
    return path


def test_a_step_is_done_once_and_again_when_what_it_reads_has_changed(source: Path, tmp_path: Path) -> None:
    target, steps = tmp_path / "out.jsonl", Steps(tmp_path / "steps")
    steps.run(step(source, target), os.environ)
    target.write_text("as it was left", encoding="utf-8")
    assert steps.finished(step(source, target))
    Steps(tmp_path / "steps").run(step(source, target), os.environ)
    assert target.read_text(encoding="utf-8") == "as it was left"
    source.write_text(json.dumps(PAIR | {"response": "b"}) + "\n", encoding="utf-8")
    assert not steps.finished(step(source, target))
    steps.run(step(source, target), os.environ)
    assert json.loads(target.read_text(encoding="utf-8"))["messages"][1]["content"] == "b"
    assert not steps.finished(step(source, target, "triples"))
    target.unlink()
    assert not steps.finished(step(source, target))


def test_a_step_that_fails_ends_the_run_with_its_status_and_is_not_finished(
    source: Path, tmp_path: Path
) -> None:
    steps = Steps(tmp_path / "steps")
    source.write_text("no JSON\n", encoding="utf-8")
    with pytest.raises(Exit) as ended:
        steps.run(step(source, tmp_path / "out.jsonl"), os.environ)
    assert ended.value.exit_code == 1
    assert not steps.finished(step(source, tmp_path / "out.jsonl"))


@pytest.mark.parametrize("name", ["plan.yaml", "plan_tiny.yaml"])
def test_the_shipped_plans_are_read_and_name_what_is_there(name: str) -> None:
    plan = read_plan(EXAMPLE / name)
    assert (plan.policy / "knowledge").is_dir()
    for path in (plan.assistant, plan.recipe, plan.evaluate.questions, *filter(None, [plan.data.bars])):
        assert path.is_file(), path


def test_the_shipped_recipes_are_read_and_make_one_adapter() -> None:
    recipes = [read_yaml(path).parse(Recipe) for path in sorted(EXAMPLE.glob("recipe*.yaml"))]
    assert len(recipes) == 3
    assert {recipe.name for recipe in recipes} == {"bank-reader"}


def test_a_recipe_that_learns_from_something_else_is_refused(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    recipe = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    recipe["data"]["train"] = "other.jsonl"
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    done = CliRunner().invoke(app, ["tailor", str(case)])
    assert done.exit_code == 2
    assert "data.train must be" in done.output.replace("\n", "")
    (tmp_path / "plan.yaml").write_text("policy: p\nrows: 3\n")
    done = CliRunner().invoke(app, ["tailor", str(case)])
    assert done.exit_code == 2
    assert "plan.yaml:" in done.output.replace("\n", "")


def write_case(folder: Path, model: Path | None = None) -> Path:
    """The plan of a club with four cards."""
    (folder / "policy/knowledge").mkdir(parents=True)
    (folder / "policy/knowledge/cards.md").write_text(DOCUMENT, encoding="utf-8")
    (folder / "assistants").mkdir()
    club: dict[str, Any] = {"name": "club", "policy": "../policy", "defaults": {"max_tokens": 8}}
    (folder / "assistants/club.yaml").write_text(yaml.safe_dump(club))
    rows = [
        {
            "id": text,
            "messages": [{"role": "user", "content": text}],
            "expect": "answer",
            "must_include": [[value]],
        }
        for text, value in QUESTIONS
    ]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (folder / "questions.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "bars.yaml").write_text("coverage: 0\ndocuments: 0\nunanswerable: 0\nlong_tail: 0\n")
    recipe = {
        "name": "club-reader",
        "base": str(model),
        "out": "work/run",
        "data": {"train": "work/train.jsonl", "held_out": "work/held_out.jsonl", "max_tokens": 4096},
        "method": {"kind": "lora", "rank": 8, "max_steps": 2, "batch": 1, "checkpoint_every": 1},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    plan = {
        "policy": "policy",
        "assistant": "assistants/club.yaml",
        "recipe": "recipe.yaml",
        "work": "work",
        "model": str(model) if model else None,
        "data": {"dialogues": 60, "bars": "bars.yaml", "rows": 4, "held_out_rows": 1, "one_fact": 1.0,
                 "held_out_share": 0.4},
        "evaluate": {"questions": "questions.jsonl", "count": 1, "max_tokens": 8},
    }  # fmt: skip
    (folder / "plan.yaml").write_text(yaml.safe_dump(plan))
    return folder / "plan.yaml"


@pytest.mark.engine
def test_documents_become_a_served_adapter_and_a_killed_run_goes_on(
    tiny_model: Path, trainer_python: Path, tmp_path: Path
) -> None:
    case, work = write_case(tmp_path, tiny_model), tmp_path / "work"
    # Unix sockets need a short path.
    var = Path("/tmp") / f"atl-tailor-{os.getpid()}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ATELIER_")} | {
        "ATELIER_VAR_DIR": str(var),
        "ATELIER_PORT": str(free_port()),
        "ATELIER_ENGINE_ARGS": "--enforce-eager --num-gpu-blocks-override 1024",
    }
    command = [sys.executable, "-m", "app.cli", "tailor", str(case)]
    try:
        killed = subprocess.Popen(
            command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
        )
        wait_for(work / "steps/check.json", killed)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
        went_on = run(command, environment)
        assert "synthesise: done before" in went_on
        assert "check: done before" in went_on
        table = (work / "table.md").read_text(encoding="utf-8")
        assert table.startswith("club-reader@")
        assert table.count("+ LoRA + grounding") == 2
        assert table.count(", 1 questions") == 2
        assert not (work / "serve.pid").exists()
        again = run(command, environment)
        assert "train: done before" in again
        assert "  atelier " not in again
        assert "no gateway runs" not in again
        assert (work / "table.md").read_text(encoding="utf-8") == table
    finally:
        shutil.rmtree(var, ignore_errors=True)


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stderr


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while not path.exists():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, f"no {path.name}"
        time.sleep(0.02)
