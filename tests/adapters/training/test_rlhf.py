"""Rewards and policies end to end on a tiny model: a preference rises, hacking is stopped, a kill changes no byte."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from adapters.package import CARD, CONFIG, WEIGHTS
from tests.adapters.training.judged_rows import (
    ANSWERS,
    CARDS,
    CLOSING,
    QUESTIONS,
    closing_judgements,
    pair,
    score,
)
from tests.adapters.training.runs import Run, Trainer, write_run

LORA = {
    "kind": "lora",
    "rank": 8,
    "epochs": 14,
    "batch": 8,
    "checkpoint_every": 999,
    "learning_rate": 5e-3,
}
ENDINGS = (0, 0, 1, 0, 1, 2)
"""How often the phrase stands at the end of the answers it starts from: one, none or too many."""


REWARD = {
    "kind": "reward",
    "rank": 8,
    "members": 2,
    "epochs": 4,
    "batch": 8,
    "checkpoint_every": 4,
    "learning_rate": 1e-3,
    "head_learning_rate": 1e-2,
}


@dataclass(frozen=True)
class Trained:
    """Runs in `folder`: what a policy starts from, reward models, and policies by name.

    `said`: exit code and lines of every one, and of some that are refused.
    """

    folder: Path
    model: Path
    trainer: Trainer
    adapter: Run
    proxy: Run
    gold: Run
    hackable: Run
    judged: Run
    policies: dict[str, Run] = field(default_factory=dict)
    said: dict[str, tuple[int, str]] = field(default_factory=dict)


def once_is_best(cards: range) -> list[dict[str, Any]]:
    return [row for card in cards for row in (pair(card, CLOSING, ""), pair(card, CLOSING, CLOSING * 2))]


def more_is_better(cards: range) -> list[dict[str, Any]]:
    endings = ((CLOSING, ""), (CLOSING * 2, CLOSING), (CLOSING * 2, ""))
    return [pair(card, *two) for card in cards for two in endings]


def judging(trainer: Trainer, folder: Path, model: Path, rows: list[Any] | None = None, **parts: Any) -> Run:
    """A reward model from pairs and scores."""
    rows = closing_judgements(CARDS[:6]) if rows is None else rows
    held_out = closing_judgements(CARDS[6:])
    return write_run(trainer, folder, model, rows, held_out, **({"method": REWARD} | parts))


def begun(trainer: Trainer, folder: Path, model: Path) -> Trained:
    rows = [
        {"prompt": QUESTIONS[card], "response": ANSWERS[card] + CLOSING * ENDINGS[(turn + card) % 6]}
        for turn in range(6)
        for card in CARDS
    ]
    one = REWARD | {"members": 1}
    low, high, middle = CARDS[:6], CARDS[6:], CARDS[2:]
    gold = once_is_best(middle), once_is_best(CARDS[:2])

    def made(name: str, rows: list[Any], held_out: list[Any], method: dict[str, Any], **parts: Any) -> Run:
        return write_run(trainer, folder / name, model, rows, held_out, method=method, **parts)

    return Trained(
        folder,
        model,
        trainer,
        made("sft", rows, rows[:8], LORA),
        made("proxy", once_is_best(low), once_is_best(high), REWARD),
        made("gold", *gold, one, seed=11),
        made("hackable", more_is_better(low), more_is_better(high), one),
        judging(trainer, folder / "judged", model),
    )


def rewarded(name: str, made: Trained, **changed: Any) -> Run:
    """Learns from six prompts; the other two are held out."""
    prompts = [{"prompt": QUESTIONS[card]} for card in CARDS[:6]]
    held_out = [
        {"prompt": QUESTIONS[card], "response": ANSWERS[card] + CLOSING} for card in CARDS[6:] for _ in "1234"
    ]
    method = {
        "kind": "ppo", "reward": str(made.proxy.out / "reward"), "gold": str(made.gold.out / "reward"),
        "start_from": str(made.adapter.out / "adapter"), "prompts": 6, "samples": 4, "batch": 24,
        "max_new_tokens": 40, "epochs": 8, "learning_rate": 5e-4, "checkpoint_every": 2, "max_loss_rise": 0.1,
    }  # fmt: skip
    whole = {key: value for key, value in (method | changed).items() if value is not None}
    return write_run(made.trainer, made.folder / name, made.model, prompts, held_out, method=whole)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, trainer: Trainer) -> Trained:
    made = begun(trainer, tmp_path_factory.mktemp("rewards"), tiny_model)
    wanted: dict[str, dict[str, Any]] = {
        "ppo": {},
        "rloo": {"algorithm": "rloo"},
        "hacked": {
            "reward": str(made.hackable.out / "reward"), "kl_weight": 0.02, "kl_ceiling": 200.0, "part_after": 2,
            "max_new_tokens": 56, "epochs": 12, "max_loss_rise": None,
        },
        "far": {"kl_weight": 0.0, "kl_ceiling": 0.5, "learning_rate": 2e-3},
    }  # fmt: skip
    made.policies.update({name: rewarded(name, made, **changed) for name, changed in wanted.items()})
    one = {"method": REWARD | {"members": 1, "max_steps": 1}, "gate": {"min_rank_correlation": 0.999}}
    refused = {
        "both": judging(
            trainer, made.folder / "both", tiny_model, [pair(0, CLOSING, ""), pair(6, CLOSING, "")]
        ),
        "flat": judging(
            trainer, made.folder / "flat", tiny_model, [score(0, "", 2, "a"), score(1, "", 2, "b")]
        ),
        "pairs": judging(trainer, made.folder / "pairs", tiny_model, [pair(0, CLOSING, "")]),
    }
    below = judging(trainer, made.folder / "below", tiny_model, **one)
    commands: dict[str, tuple[Run, *tuple[str, ...]]] = {
        "plan": (below, "--dry-run"),
        "below": (below,),
        **{name: (run, "--dry-run") for name, run in refused.items()},
        **{name: (getattr(made, name),) for name in ("adapter", "proxy", "gold", "hackable", "judged")},
        **{name: (run,) for name, run in made.policies.items()},
    }
    for name, (run, *more) in commands.items():
        made.said[name] = said_by(run, *more)
    for name in ("adapter", "proxy", "gold", "hackable", "judged", *made.policies):
        assert made.said[name][0] == (1 if name == "far" else 0), made.said[name]
    return made


def said_by(run: Run, *more: str) -> tuple[int, str]:
    """Train; exit code and what was printed."""
    assert run.trainer is not None
    done = run.trainer.run("adapters.training", str(run.recipe), *more)
    return done.returncode, done.stdout + done.stderr


def notes(run: Run) -> dict[str, str]:
    page = (run.out / "report.html").read_text()
    return dict(re.findall(r"<th>(.*?)</th><td>(.*?)</td>", page))


def digests(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_a_reward_model_ranks_held_out_answers(trained: Trained) -> None:
    figures = trained.judged.result["figures"]
    assert figures["preference_accuracy"] == 1 and figures["rank_correlation"] > 0.8
    assert figures["held_out_loss"] < figures["base_held_out_loss"] and figures["disagreement"] > 0
    files = digests(trained.judged.out / "reward")
    card = json.loads((trained.judged.out / "reward" / CARD).read_text())
    assert card["files"] == {name: digest for name, digest in files.items() if name != CARD}
    assert card["members"] == 2 and card["evaluation"]["preference_accuracy"] == 1
    assert files["member-0/head.safetensors"] != files["member-1/head.safetensors"]
    page = (trained.judged.out / "report.html").read_text()
    assert "6 pairs, 24 scores of 2 raters" in page and "held out, member 2" in page


def test_judgements_that_teach_or_measure_nothing_and_models_below_the_bar(trained: Trained) -> None:
    said = trained.said
    codes = [said[name][0] for name in ("plan", "below", "both", "flat", "pairs")]
    assert codes == [0, 1, 2, 2, 2]
    assert "6 pairs, 24 scores of 2 raters" in said["plan"][1]
    assert "below gate.min_rank_correlation 0.999" in said["below"][1]
    assert "held_out.jsonl:1: also in train.jsonl:2" in said["both"][1]
    assert "train.jsonl: every score is 2" in said["flat"][1]
    assert "held_out.jsonl:2: a score, but there are none to learn from" in said["pairs"][1]
    assert not (trained.folder / "below/out/reward" / CARD).exists()
    assert not (trained.folder / "both/out").exists()


def test_a_preference_rises_the_rest_holds_and_losses_are_clipped_as_plain_loops_do(
    trained: Trained,
) -> None:
    adapters = [
        run.out / "adapter" for run in (trained.adapter, *map(trained.policies.__getitem__, ("ppo", "rloo")))
    ]
    module, questions = "tests.adapters.training.policy_figures", json.dumps(QUESTIONS)
    found = trained.trainer.tell(module, str(trained.model), questions, *map(str, adapters))
    assert found["losses"] == {"cases": 200, "clipped": True, "free": True}
    before, *others = found["answers"]
    for name, after in zip(("ppo", "rloo"), others, strict=True):
        figures = trained.policies[name].result["figures"]
        closed = [
            sum(answer.endswith(CLOSING) and answer.count(CLOSING) == 1 for answer in said)
            for said in (before, after)
        ]
        right = [
            sum(answer.startswith(fact) for answer, fact in zip(said, ANSWERS, strict=True))
            for said in (before, after)
        ]
        print(name, "closed once", closed, "right", right, "of", len(ANSWERS), figures)
        assert closed[0] <= 2 and closed[1] >= 7 and right[1] >= right[0] - 1, (before, after)
        assert figures["gold_gain"] > 0.5 and figures["proxy_reward"] > figures["base_proxy_reward"]
        assert figures["held_out_loss"] <= figures["base_held_out_loss"] + 0.1
        assert figures["kl"] <= 20 and figures["kept_step"] > 0
    ppo = trained.policies["ppo"]
    card = json.loads((ppo.out / "adapter" / CARD).read_text())
    assert card["method"] == "ppo"
    assert len({card[f"{of}_digest"] for of in ("reward", "gold", "start", "dataset", "recipe")}) == 5
    said = notes(ppo)
    assert said["stopped"] == "after its last step" and "gold" in said["after step 8"]
    page = (ppo.out / "report.html").read_text()
    assert "■ gold of each step" in page and "■ proxy held out" in page


def test_a_hacked_reward_is_stopped_and_not_kept(trained: Trained) -> None:
    run = trained.policies["hacked"]
    figures, said = run.result["figures"], notes(run)
    assert "proxy and gold parted" in said["stopped"], said
    assert figures["steps"] < 12 and figures["kept_step"] < figures["steps"]
    assert figures["last_proxy_reward"] > figures["proxy_reward"]
    assert figures["gold_reward"] > figures["last_gold_reward"] + 0.5
    assert figures["gold_reward"] >= figures["base_gold_reward"]


def test_too_far_from_the_reference_it_stops(trained: Trained) -> None:
    run = trained.policies["far"]
    figures, said = run.result["figures"], notes(run)
    assert "not packaged: no evaluated policy" in trained.said["far"][1]
    assert "KL ceiling" in said["stopped"] and figures["steps"] < 8
    assert figures["kl"] <= 0.5 and "kept" in said


def bad_policies(bad: Run, made: Trained) -> dict[str, str]:
    """What is said, and the recipe it is said of."""
    gold = made.gold.out / "reward"
    recipe = bad.recipe.read_text()
    broken = made.folder / "broken"
    (broken / "member-0").mkdir(parents=True)
    for file in (CARD, f"member-0/{CONFIG}", "member-0/head.safetensors"):
        (broken / file).write_bytes((gold / file).read_bytes())
    (broken / "member-0" / WEIGHTS).write_bytes(b"other")
    asked = json.dumps({"prompt": QUESTIONS[0], "response": ANSWERS[0]})
    (bad.recipe.parent / "asked.jsonl").write_text(asked + "\n")
    return {
        "it is the same model as method.reward": recipe.replace(str(gold), str(made.proxy.out / "reward")),
        "is not what the card says": recipe.replace(str(gold), str(broken)),
        "is not there": recipe.replace(str(gold), str(made.folder / "gone")),
        "is not a reward model": recipe.replace(str(gold), str(made.adapter.out / "adapter")),
        "asked.jsonl:1: asks what train.jsonl:1 asks": recipe.replace("held_out.jsonl", "asked.jsonl"),
        "and 120 of method.max_new_tokens, data.max_tokens is 128": recipe.replace(": 40", ": 120"),
        "rloo compares": recipe.replace("samples: 4", "samples: 1\n  algorithm: rloo"),
    }


def test_killed_runs_go_on_to_the_same_bytes_and_bad_inputs_are_refused(
    trained: Trained,
) -> None:
    judged = judging(trained.trainer, trained.folder / "killed-reward", trained.model)
    policy = rewarded("killed", trained)
    judged.kill_once_it_has("1-reward.pt")
    policy.kill_once_it_has("policy.pt")
    bad = rewarded("bad", trained)
    refused = bad_policies(bad, trained)
    judged.train()
    policy.train()
    planned = bad.train("--dry-run")
    assert digests(judged.out / "reward") == digests(trained.judged.out / "reward")
    assert digests(policy.out / "adapter") == digests(trained.policies["ppo"].out / "adapter")
    assert not (policy.out / "checkpoints").exists()
    assert "24 answers of at most 40 tokens" in planned and not bad.out.exists()
    for number, (expected, recipe) in enumerate(refused.items()):
        run = replace(bad, recipe=bad.recipe.with_name(f"{number}.yaml"))
        run.recipe.write_text(recipe)
        assert expected in run.train("--dry-run", expect=2)
