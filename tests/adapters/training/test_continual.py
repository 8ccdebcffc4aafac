"""`method.kind: continual` end to end on a tiny model: what was known stays, where naive training loses it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.package import CARD, CONFIG, WEIGHTS
from adapters.training.recipe import read_recipe
from guardrails.problem import PolicyProblem
from tests.adapters.test_signing import make_key
from tests.adapters.training.runs import Run, Trainer, write_rows

OLD, NEW = range(4), range(4, 8)
SCHEDULE = {"batch": 8, "epochs": 8, "checkpoint_every": 8, "learning_rate": 3e-3, "dropout": 0}
REFUSED = 2


def fees(
    cards: range, repeats: int, wordings: tuple[str, ...] = ("{}?", "Tell me: {}?", "{}, thanks?")
) -> Any:
    """Asked in several ways, so that yet another way is understood."""
    return [
        {
            "prompt": wording.format(f"What is the fee of card {card}"),
            "response": f"The fee of card {card} is {card * 10} yuan.",
        }
        for _ in range(repeats)
        for wording in wordings
        for card in cards
    ]


def lost(cards: range, repeats: int, question: str = "I lost card {}.") -> list[dict[str, str]]:
    return [
        {"prompt": question.format(card), "response": f"Call {card}{card}{card}, we block it now."}
        for _ in range(repeats)
        for card in cards
    ]


@dataclass(frozen=True)
class Rounds:
    """Round 1 taught the fees; `again` and `naive` then taught what to do about a lost card; `third` goes on."""

    folder: Path
    model: Path
    trainer: Trainer
    first: Run
    again: Run
    naive: Run
    short: Run
    packed: Run
    third: Run
    said: list[str]

    def next(self, name: str, parent: Path | None = None, **parts: Any) -> Run:
        """A second round."""
        return second(
            self.trainer, self.folder / name, self.model, parent or self.first.out / "adapter", **parts
        )


def second(
    trainer: Trainer | None, folder: Path, model: Path, parent: Path, gate: Any = None, **method: Any
) -> Run:
    folder.mkdir()
    write_rows(folder / "train.jsonl", list(lost(NEW, 6)))
    write_rows(folder / "earlier.jsonl", fees(OLD, 2))
    write_rows(folder / "fees.jsonl", fees(OLD, 1, ("{}, please?",)))
    recipe = {
        "name": "bank", "base": str(model), "out": "out", "seed": 3,
        "data": {"train": "train.jsonl", "max_tokens": 128},
        "method": {"kind": "continual", "start_from": str(parent), "replay": 0.5, "earlier": ["earlier.jsonl"],
                   "old_tasks": ["fees.jsonl"], "keep_rows": 12} | SCHEDULE | method,
    } | ({"gate": gate} if gate else {})  # fmt: skip
    recipe["method"] = {key: value for key, value in recipe["method"].items() if value is not None}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return Run(folder / "recipe.yaml", folder / "out", trainer)


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, trainer: Trainer) -> Rounds:
    folder = tmp_path_factory.mktemp("rounds")
    (folder / "first").mkdir()
    write_rows(folder / "first/train.jsonl", fees(OLD, 4))
    private, public = make_key(folder, "signer")
    recipe = {
        "name": "bank", "base": str(tiny_model), "out": "out", "seed": 3,
        "data": {"train": "train.jsonl", "max_tokens": 128}, "package": {"sign_with": str(private)},
        "method": {"kind": "lora", "rank": 8} | SCHEDULE | {"epochs": 12},
    }  # fmt: skip
    (folder / "first/recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    first = Run(folder / "first/recipe.yaml", folder / "first/out", trainer)
    parent = first.out / "adapter"
    bar = {"max_old_task_rise": 0.3}
    again = second(trainer, folder / "again", tiny_model, parent, gate=bar)
    naive = second(
        trainer, folder / "naive", tiny_model, parent, gate=bar, replay=0, strength=0, earlier=None
    )
    signed = {"keys": [str(public)]}
    short = second(trainer, folder / "short", tiny_model, parent, old_tasks=[], max_steps=4, **signed)
    packed = second(trainer, folder / "packed", tiny_model, parent, old_tasks=[], max_steps=4, packing=True)
    third = second(trainer, folder / "third", tiny_model, again.out / "adapter", earlier=None, old_tasks=[])
    said = [
        first.train(),
        again.train(),
        naive.train(expect=1),
        short.train(),
        packed.train(),
        third.train("--dry-run"),
    ]
    return Rounds(folder, tiny_model, trainer, first, again, naive, short, packed, third, said)


def test_what_was_known_stays_and_naive_training_is_stopped_by_the_gate(rounds: Rounds) -> None:
    kept, naive = rounds.again.result["figures"], rounds.naive.result["figures"]
    print({name: (kept[name], naive[name]) for name in kept if name.startswith("old_")})
    assert kept["old_fees_loss_before"] == naive["old_fees_loss_before"]
    rises = [one["old_fees_loss"] - one["old_fees_loss_before"] for one in (kept, naive)]
    assert rises[0] < 0.3 and rises[1] > 1, rises
    assert kept["old_fees_right"] + 0.25 >= kept["old_fees_right_before"] > naive["old_fees_right"]
    assert "old task fees: loss rose by" in rounds.said[2]
    assert not (rounds.naive.out / "adapter" / CARD).exists()


def test_packed_rows_are_kept_near_to_the_parent_as_others_are(rounds: Rounds) -> None:
    filled, packed = (run.result["figures"]["train_loss"] for run in (rounds.short, rounds.packed))
    assert packed == pytest.approx(filled, rel=0.01)


def test_the_card_says_where_it_comes_from_and_the_next_round_goes_on_from_there(rounds: Rounds) -> None:
    card = json.loads((rounds.again.out / "adapter" / CARD).read_text())
    lineage = card["lineage"]
    assert lineage["round"] == 2 and lineage["parents"] == [card["start_digest"]]
    rows = (rounds.again.out / "replay.jsonl").read_bytes()
    assert lineage["replay"] == {"sha256": hashlib.sha256(rows).hexdigest(), "rows": 12, "seen": 48}
    assert lineage["replayed_rows"] == 24
    assert not list((rounds.again.out / "adapter").glob("*.jsonl"))  # rows do not travel to a gateway
    said = rounds.said[-1]
    assert "signed with signer" in rounds.said[3]
    assert "24 of 12 earlier ones" in said and "round 2" in said and rounds.again.result["version"] in said


def test_a_killed_run_goes_on_to_the_same_bytes(rounds: Rounds) -> None:
    killed = rounds.next("killed", gate={"max_old_task_rise": 0.3})
    killed.kill_once_it_has("checkpoint-8/.whole")
    killed.train()
    for name in (CONFIG, WEIGHTS, CARD):
        assert (killed.out / "adapter" / name).read_bytes() == (
            rounds.again.out / "adapter" / name
        ).read_bytes()
    assert (killed.out / "replay.jsonl").read_bytes() == (rounds.again.out / "replay.jsonl").read_bytes()


def test_everything_wrong_is_said_before_training(rounds: Rounds) -> None:
    def copied(name: str, run: Run = rounds.first) -> Path:
        return Path(shutil.copytree(run.out, rounds.folder / f"{name}-parent")) / "adapter"

    changed = copied("changed")
    weights = bytearray((changed / WEIGHTS).read_bytes())
    weights[-4:] = b"\0\0\0\0"
    (changed / WEIGHTS).write_bytes(weights)
    gone = copied("gone")
    (gone / WEIGHTS).unlink()
    tampered = copied("tampered", rounds.again)
    with (tampered.parent / "replay.jsonl").open("ab") as file:
        file.write(b"\n")
    base = rounds.folder / "base"
    shutil.copytree(rounds.model, base)
    (base / "config.json").write_text((base / "config.json").read_text() + "\n")
    foreign = second(rounds.trainer, rounds.folder / "foreign", base, rounds.first.out / "adapter")
    learnt = rounds.next("learnt", rank=16, targets=["q_proj"], earlier=["gone.jsonl"], keys=["key.pem"])
    write_rows(learnt.recipe.parent / "fees.jsonl", list(lost(NEW, 1)))
    empty = rounds.next("empty")
    (empty.recipe.parent / "earlier.jsonl").write_text("")
    cases = {
        rounds.next("changed", changed): ("a file has changed since",),
        rounds.next("gone", gone): (f"holds no {WEIGHTS}",),
        rounds.next("tampered", tampered, earlier=None): ("replay.jsonl is not what the parent's card says",),
        rounds.next("none", earlier=None): ("the parent left no earlier rows; name its training files",),
        rounds.next("signer", keys=[str(make_key(rounds.folder, "other")[1])]): ("no configured key made this",),
        rounds.next("unsigned", rounds.again.out / "adapter", keys=["recipe.yaml"]): ("it has no signature",),
        rounds.next("version", version="bank@0123456789ab"): ("and was bank@0123456789ab",),
        foreign: ("does not fit base", "trained on base"),
        learnt: ("the recipe says 16, the parent has 8", "method.targets: the recipe says ['q_proj']",
                 "gone.jsonl is not there", "key.pem is not there", "fees.jsonl:1: is learnt too"),
        empty: ("earlier.jsonl: no rows",),
    }  # fmt: skip
    for run, says in cases.items():
        said = run.train(expect=REFUSED)
        assert all(part in said for part in says), (says, said)
        assert not run.out.exists()


@pytest.mark.parametrize(
    ("method", "gate", "says"),
    [
        ({"replay": 0}, None, "set strength: 0 too"),
        ({"replay": 0, "strength": 0}, None, "replay is 0, so nothing of earlier is learnt"),
        ({"replay": 1}, None, "less than 1"),
        ({"old_tasks": ["a/fees.jsonl", "b/fees.jsonl"]}, None, "two files are called fees"),
        ({"old_tasks": []}, {"max_old_task_fall": 0.1}, "needs method.old_tasks"),
        ({}, {"min_gain": 0.1}, "the gate needs data.held_out"),
    ],
)
def test_a_wrong_recipe_is_refused(
    tmp_path: Path, tiny_model: Path, method: dict[str, Any], gate: Any, says: str
) -> None:
    run = second(None, tmp_path / "run", tiny_model, tmp_path / "parent", gate=gate, **method)
    with pytest.raises(PolicyProblem, match=says):
        read_recipe(run.recipe)


def test_old_bars_are_for_continual(make_run: Callable[..., Run]) -> None:
    with pytest.raises(PolicyProblem, match=r"is for method\.kind contin"):
        read_recipe(make_run(gate={"max_old_task_rise": 1}).recipe)
