"""`atelier tailor`: from a company's documents to an assistant with an adapter of its own, served and measured.

Every step is another `atelier` command, run in a process of its own and once only; a run that was killed goes on
where it was. docs/bank.md shows one.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import typer
import yaml
from rich.markup import escape
from rich.table import Table

from adapters.training.data.lines import beside
from adapters.training.recipe import Recipe
from app.commands.client import fail, out, read_settings
from app.commands.tailor_plan import Plan, read_plan
from app.commands.tailor_service import running
from app.commands.tailor_steps import Step, Steps
from guardrails.policy.folder import PolicyFolder
from guardrails.policy.settings import PolicyFile
from guardrails.policy.yaml_source import read_yaml
from guardrails.problem import PolicyProblem

UNSEEN, SEEN = "unseen_facts", "seen_facts"
"""The two files of questions, without their ending."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One row of the table: an assistant, and what it has."""

    assistant: str
    title: str
    adapter: bool
    approved: str | None
    """The policy's word on approved answers; None: no policy at all."""


RUNGS = (
    Rung("general-model", "general model", False, None),
    Rung("adapter-alone", "+ LoRA, no documents", True, None),
    Rung("general-grounded", "general model + grounding", False, "off"),
    Rung("adapter-grounded", "+ LoRA + grounding", True, "off"),
    Rung("chain-without-adapter", "full chain, no LoRA", False, ""),
    Rung("chain-with-adapter", "full chain + LoRA", True, ""),
)


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(tailor)


def tailor(plan: Path = typer.Argument(..., help="A plan, see docs/bank.md.")) -> None:
    """Make dialogues from documents, check them, train, push, release, measure. Goes on where it was stopped."""
    # So that a service started here is stopped again.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        read = read_plan(plan)
        recipe = _recipe(read)
        read.work.mkdir(parents=True, exist_ok=True)
        _write_assistants(read, recipe)
    except (PolicyProblem, ValueError, OSError) as error:
        fail(escape(str(error)), 2)
    steps = Steps(read.work / "steps")
    # Threads that wait spin unless they are told otherwise, which costs most where the machine does other work too.
    environment = {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    for step in _before_serving(read, recipe):
        steps.run(step, environment)
    version = orjson.loads((recipe.out / "result.json").read_bytes())["version"]
    settings = read_settings()
    url = os.environ.get("ATELIER_URL") or f"http://{settings.host}:{settings.port}"
    serving = {**os.environ, "ATELIER_ASSISTANTS_DIR": str(read.work / "assistants")}
    if read.model is not None:
        serving |= {"ATELIER_MODEL": str(read.model)}
    served = list(_served(read, recipe, version))
    if not all(map(steps.finished, served)):
        with running(url, read.work, serving):
            for step in served:
                steps.run(step, environment)
    _show(read, version)


def _recipe(plan: Plan) -> Recipe:
    """The plan's recipe; its rows need not be there yet. Raises PolicyProblem, ValueError."""
    recipe, folder = read_yaml(plan.recipe).parse(Recipe), plan.recipe.parent
    for path, name in ((recipe.data.train, "train.jsonl"), (recipe.data.held_out, "held_out.jsonl")):
        if path is None or (folder / path).resolve() != plan.work / name:
            raise ValueError(f"{plan.recipe}: data.{name[:-6]} must be {plan.work / name}")
    return recipe.model_copy(update={"out": (folder / recipe.out).resolve()})


def _before_serving(plan: Plan, recipe: Recipe) -> Iterator[Step]:
    """Dialogues, their check, the rows to train on, the questions, the training."""
    work, data = plan.work, plan.data
    policy = ("--policy", str(plan.policy), *(("--today", str(plan.today)) if plan.today else ()))
    dialogues, train, held_out = work / "dialogues.jsonl", work / "train.jsonl", work / "held_out.jsonl"
    # Facts are looked up for the rows that are chosen, as the gateway does it: the rules show none.
    yield Step(
        "synthesise",
        ("data", "synthesise", *policy, "--count", str(data.dialogues), "--seed", str(data.seed), "--grounded", "0",
         "--out", str(dialogues), "--held-out", str(work / "unseen.jsonl")),
        (plan.policy,),
        (dialogues,),
    )  # fmt: skip
    bars = ("--bars", str(data.bars)) if data.bars else ()
    reports = ("--html", str(work / "check.html"), "--json", str(work / "check.json"), "--review",
               str(work / "review.jsonl"))  # fmt: skip
    yield Step(
        "check",
        ("data", "check", str(dialogues), *policy, *bars, *reports),
        (dialogues, *map(Path, bars[1:])),
    )
    yield Step(
        "ground",
        ("data", "ground", str(dialogues), *policy, "--rows", str(data.rows), "--seed", str(data.seed), "--one-fact",
         str(data.one_fact), "--unanswered", str(data.unanswered), "--held-out", str(held_out), "--held-out-rows",
         str(data.held_out_rows), "--held-out-share", str(data.held_out_share), "--out", str(train)),
        (plan.policy, dialogues),
        (train, held_out),
    )  # fmt: skip
    yield Step(
        "split",
        ("data", "split", str(plan.evaluate.questions), *policy, "--train", str(train), "--unseen",
         str(work / f"{UNSEEN}.jsonl"), "--seen", str(work / f"{SEEN}.jsonl")),
        (plan.policy, plan.evaluate.questions, train),
        (work / f"{UNSEEN}.jsonl", work / f"{SEEN}.jsonl"),
    )  # fmt: skip
    result = recipe.out / "result.json"
    yield Step("train", ("train", str(plan.recipe), "--no-push"), (plan.recipe, train, held_out), (result,))


def _served(plan: Plan, recipe: Recipe, version: str) -> Iterator[Step]:
    """Push and release, which change nothing when they are repeated, and the questions to each assistant."""
    yield Step("push", ("adapters", "push", str(recipe.out / "adapter"), "--name", recipe.name,
                                   "--timeout", "600"), once=False)  # fmt: skip
    yield Step("release", ("release", "set", recipe.name, version), once=False)
    asked = plan.evaluate
    # Those without documents last: their answers are the longest, and say the least.
    for rung in sorted(RUNGS, key=lambda rung: (rung.approved is None, not rung.adapter)):
        for part in _parts(plan):
            questions, answers = _part(plan, part), _answers(plan, rung, part)
            yield Step(
                f"ask-{rung.assistant}-{part}-{version.partition('@')[2] if rung.adapter else 'base'}",
                ("evaluate", str(questions), rung.assistant, "--policy", str(plan.policy), "--max-tokens",
                 str(asked.max_tokens), "--seconds", str(asked.seconds), "--concurrency", str(asked.concurrency),
                 "--json", str(answers)),
                (questions, plan.policy),
                (answers,),
            )  # fmt: skip


def _parts(plan: Plan) -> list[str]:
    """Those that have questions."""
    return [part for part in (UNSEEN, SEEN) if (plan.work / f"{part}.jsonl").stat().st_size]


def _part(plan: Plan, part: str) -> Path:
    """A part's questions; only the first so many, where the plan says so."""
    whole = plan.work / f"{part}.jsonl"
    if plan.evaluate.count is None:
        return whole
    some = plan.work / f"{part}-{plan.evaluate.count}.jsonl"
    lines = whole.read_bytes().splitlines(keepends=True)[: plan.evaluate.count]
    with beside(some) as draft:
        draft.write_bytes(b"".join(lines))
    return some


def _answers(plan: Plan, rung: Rung, part: str) -> Path:
    return plan.work / f"{rung.assistant}-{part}.json"


def _write_assistants(plan: Plan, recipe: Recipe) -> None:
    """The assistants of the table, beside those of the tailored assistant's folder as they are."""
    folder = plan.work / "assistants"
    folder.mkdir(exist_ok=True)
    given: dict[str, Any] = read_yaml(plan.assistant).data
    for path in plan.assistant.parent.glob("*.yaml"):
        one = read_yaml(path).data
        if one.get("policy"):
            one["policy"] = str((path.parent / one["policy"]).resolve())
        _write(folder / path.name, one)
    writing = _policy_that_writes(plan)
    for rung in RUNGS:
        policy = {None: None, "off": writing, "": plan.policy}[rung.approved]
        one = {
            "name": rung.assistant,
            "description": f"{given.get('description', given['name'])}: {rung.title}",
            "defaults": given.get("defaults", {}),
            "required": False,
        }
        if rung.adapter:
            one["adapter"] = recipe.name
        if policy is not None:
            # No system prompt of its own: the engine reads what the rows to train on show, and nothing else.
            one["policy"] = str(policy)
        _write(folder / f"{rung.assistant}.yaml", one)


def _policy_that_writes(plan: Plan) -> Path:
    """A copy of the policy by which the engine writes every answer, from the facts it is shown."""
    copy = plan.work / f"policy-that-writes-{PolicyFolder(plan.policy).digest()[:12]}"
    if not copy.exists():
        aside = plan.work / ".policy-that-writes.partial"
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(plan.policy, aside)
        file = aside / "policy.yaml"
        settings = read_yaml(file).data if file.exists() else {}
        settings["answers"] = {**(settings.get("answers") or {}), "approved": "off"}
        PolicyFile.model_validate(settings)
        _write(file, settings)
        aside.rename(copy)
    return copy


def _write(path: Path, content: dict[str, Any]) -> None:
    with beside(path) as draft:
        draft.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")


def _show(plan: Plan, version: str) -> None:
    """The table, printed and written."""
    lines = [f"{version}, {plan.evaluate.questions.name}", ""]
    for part in _parts(plan):
        title = {UNSEEN: "facts not trained on", SEEN: "other questions"}[part]
        rows = [(rung.title, _scores(plan, rung, part)) for rung in RUNGS]
        table = Table(
            "", "right", "95 %", "handed over", "wrong", "p50", title=f"{title}, {rows[0][1]['of']} questions"
        )
        lines += [f"**{title}**, {rows[0][1]['of']} questions", ""]
        lines += ["| | right | 95 % | handed over | wrong | p50 |", "|---|---|---|---|---|---|"]
        for name, cells in rows:
            words = [cells[key] for key in ("right", "interval", "handed over", "wrong", "p50")]
            table.add_row(name, *words)
            lines.append(f"| {name} | {' | '.join(words)} |")
        lines.append("")
        out.print(table)
    with beside(plan.work / "table.md") as draft:
        draft.write_text("\n".join(lines), encoding="utf-8")
    out.print(f"{plan.work / 'table.md'}", highlight=False, soft_wrap=True)


def _scores(plan: Plan, rung: Rung, part: str) -> dict[str, str]:
    """`wrong`: neither right nor handed over nor refused."""
    record = orjson.loads(_answers(plan, rung, part).read_bytes())["parts"][0]
    (scores,) = record["scores"].values()
    right, handed = scores["accuracy"], scores["handed_over"]["count"] + scores["refused"]["count"]
    p50 = scores["seconds"]["p50"]
    return {
        "of": str(right["of"]),
        "right": f"{right['count']} ({right['count'] / max(1, right['of']):.0%})",
        "interval": f"{right['low']:.0%}–{right['high']:.0%}",
        "handed over": str(handed),
        "wrong": str(right["of"] - right["count"] - handed),
        "p50": "–" if p50 is None else f"{p50['value']:.2f} s",
    }
