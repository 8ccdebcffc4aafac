"""`atelier train` end to end on a tiny model: reproducible, resumable, gated, proved where it is served."""

from __future__ import annotations

import hashlib
import json
import resource
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest

from adapters.package import CARD, CONFIG, WEIGHTS
from tests.adapters.training.runs import Run, Trainer, card_rows, card_run, environment
from tests.engine_process import ROOT
from tests.stack import Stack

MakeRun = Callable[..., Run]


def digests(folder: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (CONFIG, WEIGHTS, CARD)
    }


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, trainer: Trainer) -> Run:
    """A run that nothing disturbed."""
    run = card_run(trainer, tmp_path_factory.mktemp("first") / "run", tiny_model)
    run.train()
    return run


def test_the_same_run_twice_gives_the_same_bytes(first: Run, make_run: MakeRun) -> None:
    second = make_run("second")
    second.atelier_train()
    assert digests(first.out / "adapter") == digests(second.out / "adapter")
    assert first.result["version"] == second.result["version"]
    assert first.result["figures"]["held_out_loss"] < first.result["figures"]["base_held_out_loss"] / 4
    page = (first.out / "report.html").read_text()
    assert first.result["version"] in page and "<polyline" in page
    # Neither the package nor its card says where it was made.
    assert not any(
        str(first.out.parent).encode() in path.read_bytes() for path in (first.out / "adapter").iterdir()
    )
    other = make_run("other", seed=4)
    other.train()
    assert digests(other.out / "adapter")[WEIGHTS] != digests(first.out / "adapter")[WEIGHTS]


def test_a_killed_run_goes_on_to_the_same_result(first: Run, make_run: MakeRun) -> None:
    killed = make_run("killed")
    killed.kill_atelier_once_it_has("checkpoint-10/.whole")
    # As if the kill had come while the next checkpoint was being written.
    cut = killed.out / "checkpoints/checkpoint-20"
    if not (cut / ".whole").exists():
        cut.mkdir(exist_ok=True)
        (cut / "trainer_state.json").write_text('{"global_step"')
    killed.train()
    assert digests(killed.out / "adapter") == digests(first.out / "adapter")
    assert not (killed.out / "checkpoints").exists()


def test_a_full_disk_leaves_the_last_checkpoint(make_run: MakeRun) -> None:
    """A file-size limit stands for the disk: the write of a checkpoint's weights fails half-way."""
    run = make_run(method={"kind": "lora", "rank": 64, "epochs": 3, "batch": 4, "checkpoint_every": 10})

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = subprocess.run(
        run.command(),
        check=False,
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
        preexec_fn=limit,
    )
    assert done.returncode == 2, done.stderr[-2000:]
    assert "the last whole checkpoint is kept" in done.stderr
    assert not (run.out / "adapter").exists() and not (run.out / "result.json").exists()
    run.train()
    assert run.result["passed"]


def test_below_the_bar_nothing_is_packaged(make_run: MakeRun) -> None:
    method = {"kind": "lora", "rank": 8, "batch": 4, "max_steps": 2}
    run = make_run(method=method, gate={"max_held_out_loss": 0.001})
    printed = run.atelier_train(expect=1)
    assert "not packaged: held-out loss" in printed
    assert not run.result["passed"] and "version" not in run.result
    assert not (run.out / "adapter" / CARD).exists()


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(make_run: MakeRun) -> None:
    run = make_run()
    printed = run.atelier_train("--dry-run")
    assert "40 to learn from, 8 held out" in printed and "69,632" in printed
    assert not run.out.exists()


def test_bad_data_is_found_before_training(make_run: MakeRun) -> None:
    empty, long = {"prompt": "q", "response": ""}, {"prompt": "long " * 400, "response": "a"}
    rows: list[dict[str, Any]] = [*card_rows(2, 1), empty, long]
    printed = make_run("empty", rows=rows).train(expect=2)
    assert "train.jsonl:3: response is empty" in printed
    printed = make_run("long", rows=[rows[0], rows[3]]).train(expect=2)
    assert "train.jsonl:2:" in printed and "data.max_tokens is 256" in printed


def test_another_recipe_does_not_mix_with_a_run(first: Run) -> None:
    again = first.train()
    assert first.result["version"] in again  # finished: nothing is done twice
    other = replace(first, recipe=first.recipe.with_name("other.yaml"))
    other.recipe.write_text(first.recipe.read_text().replace("seed: 3", "seed: 5"))
    assert "holds a run of another recipe" in other.train(expect=2)


def test_every_weight_can_be_learnt(make_run: MakeRun) -> None:
    run = make_run(
        method={"kind": "full", "epochs": 3, "batch": 4, "checkpoint_every": 10, "learning_rate": 1e-3}
    )
    run.train()
    result = run.result
    assert result["kind"] == "model" and "version" not in result
    assert result["figures"]["held_out_loss"] < result["figures"]["base_held_out_loss"] / 4
    config = json.loads((run.out / "model/config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]


@pytest.mark.engine
def test_what_was_trained_is_proved_where_it_is_served(
    make_run: MakeRun, stack: Stack, tiny_model: Path, trainer: Trainer, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text(stack.admin_key)
    package = {"push_to": stack.url, "key_file": str(key)}
    run = make_run(name="served", package=package, method={
        "kind": "lora", "rank": 8, "epochs": 6, "batch": 4, "checkpoint_every": 50, "learning_rate": 2e-3,
    })  # fmt: skip
    printed = run.atelier_train()
    version = run.result["version"]
    # `push` waits until the engine has reproduced the fingerprint that the trainer recorded.
    assert version in printed
    questions = [f"What is the fee of card {card}?" for card in (1, 2, 5)]
    module, adapter = "tests.adapters.training.greedy_answers", str(run.out / "adapter")
    here = trainer.tell(module, str(tiny_model), adapter, *questions)
    client = openai.OpenAI(base_url=f"{stack.url}/v1", api_key=stack.admin_key)
    for question, expected in zip(questions, here, strict=True):
        answer = client.chat.completions.create(
            model=version, messages=[{"role": "user", "content": question}], temperature=0, max_tokens=60
        )
        assert answer.choices[0].message.content == expected
        assert expected.startswith("The fee of card") and answer.choices[0].finish_reason == "stop"
