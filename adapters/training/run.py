"""One training run, from recipe to package: check everything first, train, hold the result to its bars, pack it.

A run can be killed at any point and started again: what it had finished is not done twice.
"""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from transformers import AutoTokenizer

from adapters.training.bars_reached import gate_problems
from adapters.training.behaviour_record import record
from adapters.training.card_writer import write_model_card, write_package
from adapters.training.continual import Continual
from adapters.training.continual_run import Continued, prepare_continual
from adapters.training.conversation import Conversation, digest_of, read_conversations
from adapters.training.distil import Distil
from adapters.training.encoding import Encoded, encode_all
from adapters.training.evaluation import trained as evaluation
from adapters.training.feedback import Ppo, Reward
from adapters.training.judged_run import Judged, prepare_judgements, write_reward_card
from adapters.training.method import Job, Progress, Trained
from adapters.training.methods import (
    continual,
    distillation,
    policy,
    preference,
    private,
    quantised,
    reward,
    supervised,
)
from adapters.training.plan import Plan, make_plan, require
from adapters.training.policy_run import PolicyInputs, prepare_policy
from adapters.training.preferences import EncodedPair, encode_pairs, pairs_digest, read_pairs
from adapters.training.privacy import Guarantee, check_unit, promise
from adapters.training.quantisable import inspect, plan_of
from adapters.training.recipe import Dpo, Private, Quantise, Recipe
from adapters.training.report import write_report
from adapters.training.start import Start, read_start
from adapters.training.teacher import Teacher, read_teacher
from adapters.vllm_plugin.base_model import fingerprint

RESULT = "result.json"
_IDENTITY = "run.json"


class RunRefused(RuntimeError):
    """The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """What a method learns preferences from, instead of rows."""

    train: tuple[EncodedPair, ...]
    held_out: tuple[EncodedPair, ...]


@dataclass(frozen=True, slots=True)
class Taught:
    """What is learnt from another model: `said`, the rows as they are written."""

    teacher: Teacher
    said: tuple[Conversation, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything read and checked, nothing trained yet."""

    recipe: Recipe
    tokenizer: Any
    rows: tuple[Encoded, ...]
    held_out: tuple[Encoded, ...]
    data_digest: str
    plan: Plan
    promised: Guarantee | None = None
    """What a private run will have spent."""
    pairs: Pairs | None = None
    start: Start | None = None
    judged: Judged | None = None
    taught: Taught | None = None
    asked: evaluation.Asked | None = None
    policy: PolicyInputs | None = None
    continued: Continued | None = None

    def made_from(self) -> dict[str, str]:
        """Digests of what it starts from and learns by, beside its data."""
        started = {} if self.start is None else {"start_digest": self.start.digest}
        if self.taught is not None:
            started["teacher_fingerprint"] = self.taught.teacher.fingerprint
        return started | ({} if self.policy is None else self.policy.digests())


def prepare(recipe: Recipe) -> Prepared:
    """Read and check the data against the model. Raises BadRows, TooLittle, NotServable, ValueError, OSError."""
    prepared = _prepare(recipe)
    asked = evaluation.read_asked(recipe, prepared.tokenizer)
    if asked is None:
        return prepared
    plan = replace(prepared.plan, more=(*prepared.plan.more, *asked.lines()))
    return replace(prepared, plan=plan, asked=asked)


def _prepare(recipe: Recipe) -> Prepared:
    tokenizer = AutoTokenizer.from_pretrained(recipe.base)
    if isinstance(recipe.method, Dpo):
        return _prepare_pairs(recipe, recipe.method, tokenizer)
    if isinstance(recipe.method, Reward):
        judged = prepare_judgements(recipe, recipe.method, tokenizer)
        return Prepared(recipe, tokenizer, (), (), judged.digest, judged.plan, judged=judged)
    if isinstance(recipe.method, Quantise):
        return _prepare_quantising(recipe, tokenizer)
    if isinstance(recipe.method, Ppo):
        inputs = prepare_policy(recipe, recipe.method, tokenizer)
        return Prepared(
            recipe, tokenizer, (), (), inputs.digest, inputs.plan, start=inputs.start, policy=inputs
        )
    if isinstance(recipe.method, Continual):
        going = prepare_continual(recipe, recipe.method, tokenizer)
        return Prepared(
            recipe, tokenizer, going.rows, going.held_out, going.digest, going.plan,
            start=going.parent.start, continued=going,
        )  # fmt: skip
    data = recipe.data
    train = read_conversations(data.train, data.system)
    kept = read_conversations(data.held_out, data.system) if data.held_out is not None else ()
    rows = encode_all(tokenizer, train, data.max_tokens, data.train.name)
    held_out = (
        encode_all(tokenizer, kept, data.max_tokens, data.held_out.name) if data.held_out is not None else ()
    )
    plan = make_plan(recipe, rows, held_out)
    promised = None
    if isinstance(recipe.method, Private):
        check_unit(train, data.train.name, kept, data.held_out.name if data.held_out is not None else "")
        promised = promise(recipe.method, len(rows), plan.steps)
        plan = replace(plan, more=promised.lines())
    taught = None
    if isinstance(recipe.method, Distil):
        taught = Taught(read_teacher(recipe.method.teacher, tokenizer), train)
        lines = taught.teacher.lines(recipe.method.answer_tokens)
        plan = replace(plan, memory=plan.memory + taught.teacher.size, more=lines)
    require(plan, recipe.out)
    digest = digest_of(train + kept)
    return Prepared(recipe, tokenizer, rows, held_out, digest, plan, promised, taught=taught)


def _prepare_pairs(recipe: Recipe, method: Dpo, tokenizer: Any) -> Prepared:
    data = recipe.data
    start = read_start(method.start_from, recipe.base) if method.start_from is not None else None
    train = read_pairs(data.train, data.system)
    kept = read_pairs(data.held_out, data.system) if data.held_out is not None else ()
    rows = encode_pairs(tokenizer, train, data.max_tokens, data.train.name)
    held_out = (
        encode_pairs(tokenizer, kept, data.max_tokens, data.held_out.name)
        if data.held_out is not None
        else ()
    )
    plan = make_plan(recipe, rows, held_out, start)
    require(plan, recipe.out)
    digest = pairs_digest(train + kept)
    return Prepared(recipe, tokenizer, (), (), digest, plan, pairs=Pairs(rows, held_out), start=start)


def _prepare_quantising(recipe: Recipe, tokenizer: Any) -> Prepared:
    data = recipe.data
    assert data.held_out is not None  # the recipe asks for it
    kept = read_conversations(data.held_out, data.system)
    held_out = encode_all(tokenizer, kept, data.max_tokens, data.held_out.name)
    plan = plan_of(inspect(recipe.base), held_out, len(tokenizer))
    require(plan, recipe.out)
    return Prepared(recipe, tokenizer, (), held_out, digest_of(kept), plan)


def run(prepared: Prepared, recipe_text: str, tell: Progress) -> Mapping[str, Any]:
    """Train, gate, pack; returns what `result.json` holds. Raises RunRefused, NotServable, OSError."""
    recipe = prepared.recipe
    with _alone(recipe.out):
        _same_run(prepared)
        finished = recipe.out / RESULT
        if finished.exists():
            shutil.rmtree(recipe.out / "checkpoints", ignore_errors=True)
            return dict(orjson.loads(finished.read_bytes()))
        started = time.monotonic()
        trained = _train(prepared, tell)
        below = gate_problems(recipe, trained.figures)
        evaluated = None
        if prepared.asked is not None:
            evaluated = evaluation.evaluate(prepared.asked, recipe, trained, prepared.tokenizer, tell)
            trained = replace(trained, figures={**trained.figures, **evaluated.figures})
            below += evaluated.below
        result: dict[str, Any] = {
            "name": recipe.name,
            "kind": trained.kind,
            "folder": str(trained.folder),
            "figures": dict(trained.figures),
            "seconds": round(time.monotonic() - started, 1),
            "passed": not below,
            "below": below,
        }
        if evaluated is not None:
            result["bars"] = [asdict(one) for one in evaluated.bars]
        if trained.privacy is not None:
            result["privacy"] = dict(trained.privacy)
        if not below and trained.kind == "adapter":
            result["version"] = _package(prepared, trained)
        if not below and trained.kind == "reward":
            write_reward_card(trained.folder, recipe, prepared.data_digest, trained.figures)
        if not below and trained.kind == "model":
            _describe_model(prepared, trained)
        _report(prepared, trained, result, recipe_text)
        _write(finished, result)
        shutil.rmtree(recipe.out / "checkpoints", ignore_errors=True)
        return result


def _train(prepared: Prepared, tell: Progress) -> Trained:
    recipe = prepared.recipe
    start = prepared.start.folder if prepared.start is not None else None
    job = Job(recipe.base, recipe.data.train, recipe.data.held_out, recipe.out, recipe.seed, start)
    if isinstance(recipe.method, Dpo):
        assert prepared.pairs is not None
        train, held_out = prepared.pairs.train, prepared.pairs.held_out
        return preference.train(job, recipe.method, prepared.tokenizer, train, held_out, tell)
    if isinstance(recipe.method, Reward):
        judged = prepared.judged
        assert judged is not None
        return reward.train(job, recipe.method, judged.plan.steps, judged.train, judged.held_out, tell)
    if isinstance(recipe.method, Quantise):
        return quantised.quantise(job, prepared.held_out, tell)
    if isinstance(recipe.method, Ppo):
        assert prepared.policy is not None
        return policy.train(job, recipe.method, prepared.policy, prepared.tokenizer, tell)
    if isinstance(recipe.method, Continual):
        going = prepared.continued
        assert going is not None
        return continual.train(
            job, recipe.method, prepared.tokenizer, going.rows, going.replayed, going.held_out, going.old_tasks, tell
        )  # fmt: skip
    if isinstance(recipe.method, Distil):
        assert prepared.taught is not None
        teacher, said = prepared.taught.teacher, prepared.taught.said
        return distillation.train(
            job,
            recipe.method,
            teacher,
            prepared.tokenizer,
            said,
            prepared.rows,
            prepared.held_out,
            recipe.data.max_tokens,
            tell,
        )
    if isinstance(recipe.method, Private):
        assert prepared.promised is not None
        return private.train(
            job,
            recipe.method,
            prepared.promised,
            prepared.tokenizer,
            prepared.rows,
            prepared.held_out,
            tell,
        )
    return supervised.train(job, recipe.method, prepared.tokenizer, prepared.rows, prepared.held_out, tell)


def _package(prepared: Prepared, trained: Trained) -> str:
    recipe = prepared.recipe
    # A digest would confirm a guess at the data, against what a private run promises.
    about = (
        {"dataset_digest": prepared.data_digest} if trained.privacy is None else {"privacy": trained.privacy}
    )
    card = {
        **about,
        **prepared.made_from(),
        "recipe_digest": recipe.digest(),
        "method": recipe.method.kind,
        "seed": recipe.seed,
        "evaluation": {name: round(value, 6) for name, value in sorted(trained.figures.items())},
        "behaviour": record(recipe.base, trained.folder),
    }
    if prepared.continued is not None:
        card["lineage"] = prepared.continued.card()
        prepared.continued.left.write(recipe.out)
    return write_package(trained.folder, recipe.name, recipe.base, card, recipe.package.sign_with)


def _describe_model(prepared: Prepared, trained: Trained) -> None:
    recipe = prepared.recipe
    quantised_here = isinstance(recipe.method, Quantise)
    card = {
        "dataset_digest": prepared.data_digest,
        "recipe_digest": recipe.digest(),
        "method": recipe.method.kind,
        "seed": recipe.seed,
        "evaluation": {name: round(value, 6) for name, value in sorted(trained.figures.items())},
    }
    # Rounded weights are still the base that adapters were made for; tuned ones are another.
    write_model_card(trained.folder, recipe.base, card, recipe.package.sign_with, same_base=quantised_here)


def _report(prepared: Prepared, trained: Trained, result: Mapping[str, Any], recipe_text: str) -> None:
    outcome = (
        "Not packaged: " + "; ".join(result["below"])
        if result["below"]
        else f"Packaged as {result['version']}"
        if "version" in result
        else f"A model of its own in {trained.folder.name}"
    )
    facts: Sequence[tuple[str, str]] = [
        *prepared.plan.lines(),
        *trained.notes,
        *((f"privacy: {name}", str(value)) for name, value in (trained.privacy or {}).items()),
        *(("bar", one["text"]) for one in result.get("bars", ())),
        *((("evaluation", f"{evaluation.PAGE}, {evaluation.RECORD}"),) if prepared.asked is not None else ()),
        ("base", prepared.recipe.base.name),
        ("data digest", prepared.data_digest),
        ("recipe digest", prepared.recipe.digest()),
        ("time", f"{result['seconds']:.0f} s since this start"),
    ]
    write_report(
        prepared.recipe.out / "report.html",
        title=f"Training of {prepared.recipe.name}",
        facts=facts,
        figures=trained.figures,
        curves=trained.curves,
        outcome=outcome,
        recipe=recipe_text,
        loss=trained.loss,
    )


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Prevents two runs writing checkpoints into one folder; the kernel drops the lock with its process."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunRefused(
                f"another run writes to {out}; wait for it, or name another folder in out"
            ) from None
        yield


def _same_run(prepared: Prepared) -> None:
    """What lies in the folder must come from the same recipe, data, base and questions, else two runs would mix."""
    recipe = prepared.recipe
    identity = {
        "recipe": recipe.digest(),
        "data": prepared.data_digest,
        "base": fingerprint(recipe.base),
        "plan": asdict(prepared.plan)["steps"],
        **({} if prepared.asked is None else {"evaluate": prepared.asked.identity()}),
        **prepared.made_from(),
    }
    file = recipe.out / _IDENTITY
    if file.exists() and orjson.loads(file.read_bytes()) != identity:
        raise RunRefused(
            f"{recipe.out} holds a run of another recipe, other data or questions, or another base or start; name "
            "another folder in out, or remove this one"
        )
    _write(file, identity)


def _write(path: Path, value: Mapping[str, Any]) -> None:
    aside = path.with_name(f".{path.name}.partial")
    aside.write_bytes(orjson.dumps(value, option=orjson.OPT_INDENT_2))
    aside.replace(path)
