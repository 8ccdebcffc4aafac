"""A training recipe: one YAML file says what is learnt from what, how, and when it is good enough."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import Field, model_validator

from adapters.package import CARD, CONFIG, is_name
from adapters.training.continual import Continual
from adapters.training.distil import Distil
from adapters.training.evaluation.bars import Evaluate
from adapters.training.feedback import Ppo, Reward
from adapters.training.low_rank import LowRank
from adapters.training.schedule import Packable, Schedule, Strict
from guardrails.policy.yaml_source import read_yaml
from guardrails.problem import PolicyProblem


class Data(Strict):
    """What it learns from. Paths are from the recipe's folder."""

    train: Path
    held_out: Path | None = None
    system: str = ""
    """Put before a row without a system message: the assistant's own, so that training sees what serving sends."""
    max_tokens: Annotated[int, Field(ge=16, le=32768)] = 512
    """A longer row stops the run: cutting it would train on half an answer."""


class Lora(LowRank, Packable):
    """Supervised: the answers of the rows."""

    kind: Literal["lora"]


class Private(LowRank):
    """As `lora`, by DP-SGD: what is learnt tells at most ε about whether any one row was there.

    A step draws every row with the same chance, and `batch` × `accumulate` rows on average; `batch` of them are in
    memory at a time.
    """

    kind: Literal["private"]
    delta: Annotated[float, Field(gt=0, lt=1)]
    """The chance with which ε may not hold; below one in the number of rows."""
    epsilon: Annotated[float, Field(gt=0, le=1000)] | None = None
    """What the whole run may spend; the noise is found from it."""
    noise_multiplier: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Instead of `epsilon`: the noise's standard deviation in units of `clip`."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """The longest gradient one row may have."""
    accumulate: Annotated[int, Field(ge=1, le=1024)] = 16
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _accountable(self) -> Self:
        if (self.epsilon is None) == (self.noise_multiplier is None):
            raise ValueError("give either epsilon or noise_multiplier: each follows from the other")
        if self.patience is not None:
            raise ValueError("patience: how many steps a private run takes is fixed before it starts")
        if self.gradient_checkpointing:
            raise ValueError(
                "gradient_checkpointing: gradients of single rows cannot be had with it; lower batch"
            )
        return self


class Dpo(LowRank):
    """Direct preference optimisation: of two answers to one prompt, the chosen one becomes the likelier.

    What it starts from is also the reference it is held near to: the base model, or the adapter `start_from`.
    """

    kind: Literal["dpo"]
    start_from: Path | None = None
    """An adapter's folder; it brings its rank, alpha, rslora and targets."""
    beta: Annotated[float, Field(gt=0, le=10)] = 0.1
    """How closely it is held to the reference; smaller lets it go further."""
    chosen_weight: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Weight of the chosen answers' own loss beside it: preference alone may lower their likelihood too."""
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 5e-5
    dropout: Annotated[float, Field(ge=0, le=0)] = 0.0
    """None: it would blur the comparison with the reference."""

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        brought = {"rank", "alpha", "rslora", "targets"} & self.model_fields_set
        if self.start_from is not None and brought:
            raise ValueError(
                f"{', '.join(sorted(brought))}: comes with the adapter in start_from; leave it out"
            )
        return self


class Full(Schedule, Packable):
    """Every weight of the base model is learnt; the result is a base model of its own, not an adapter."""

    kind: Literal["full"]
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 1e-5


class Quantise(Strict):
    """The base model's linear layers in INT8 (W8A8), for engines; nothing is learnt, adapters of the base fit it."""

    kind: Literal["quantise"]


class Package(Strict):
    """What becomes of what was made."""

    sign_with: Path | None = None
    """An unencrypted PEM key on P-256, P-384 or P-521."""
    push_to: str | None = None
    """A running gateway, e.g. http://127.0.0.1:8080."""
    key_file: Path | None = None
    """Holds the API key for it (scope adapters)."""

    @model_validator(mode="after")
    def _pushable(self) -> Package:
        if self.push_to is not None and self.key_file is None:
            raise ValueError("push_to needs key_file, the file with an API key that has the scope adapters")
        return self


class Gate(Strict):
    """Bars below which nothing is packaged."""

    max_held_out_loss: Annotated[float, Field(gt=0)] | None = None
    """Nats per answer token on the held-out rows."""
    min_gain: Annotated[float, Field(ge=0)] = 0.0
    """By how much the held-out loss has to fall from the base model's."""
    max_loss_rise: Annotated[float, Field(ge=0)] | None = None
    """By how much the held-out loss may rise from the base model's; for quantise."""
    min_preference_accuracy: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the held-out pairs whose chosen answer gained on the rejected one; for dpo. For reward: has more."""
    min_reward_margin: float | None = None
    """Mean over the held-out pairs, see docs/training.md; for dpo."""
    min_rank_correlation: Annotated[float, Field(ge=-1, le=1)] | None = None
    """Spearman's, of rewards and held-out scores; for reward."""
    min_gold_gain: float | None = None
    """By how much the gold reward of held-out prompts has to rise; for ppo."""
    max_old_task_rise: Annotated[float, Field(ge=0)] | None = None
    """By how much the loss of an old task may rise from the parent's; for continual."""
    max_old_task_fall: Annotated[float, Field(ge=0, le=1)] | None = None
    """By how much the share of an old task's right answers may fall; for continual."""

    @property
    def held_out(self) -> bool:
        """Whether it has any bar for held-out rows."""
        return self != Gate(
            max_old_task_rise=self.max_old_task_rise, max_old_task_fall=self.max_old_task_fall
        )


_BARS = {
    "min_preference_accuracy": ("dpo", "reward"),
    "min_reward_margin": ("dpo",),
    "min_rank_correlation": ("reward",),
    "max_loss_rise": ("quantise", "ppo"),
    "min_gold_gain": ("ppo",),
    "max_old_task_rise": ("continual",),
    "max_old_task_fall": ("continual",),
}
"""Which methods have the figure."""


class Recipe(Strict):
    """One run, whole."""

    name: str
    base: Path
    out: Path
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    data: Data
    method: Annotated[
        Lora | Private | Dpo | Reward | Ppo | Full | Distil | Continual | Quantise,
        Field(discriminator="kind"),
    ]
    gate: Gate = Gate()
    evaluate: Evaluate | None = None
    package: Package = Package()

    @model_validator(mode="before")
    @classmethod
    def _nothing_learnt(cls, raw: Any) -> Any:
        """A quantisation has rows to measure and none to learn: `data.train` names the held-out ones too."""
        match raw:
            case {"method": {"kind": "quantise"}, "data": {"train": _}}:
                raise ValueError(
                    "data.train: quantise learns nothing; give data.held_out, rows it is measured on"
                )
            case {"method": {"kind": "quantise"}, "data": {"held_out": held_out, **rest}}:
                return {**raw, "data": {"train": held_out, "held_out": held_out, **rest}}
        return raw

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if not is_name(self.name):
            raise ValueError(
                f"name {self.name!r}: lower-case letters, digits and hyphens, as in an adapter's name"
            )
        if self.data.held_out is None:
            if isinstance(self.method, Schedule) and self.method.patience is not None:
                raise ValueError("method.patience needs data.held_out to measure on")
            if self.gate.held_out:
                raise ValueError("the gate needs data.held_out to measure on")
            if self.method.kind == "ppo":
                raise ValueError("ppo needs data.held_out: prompts on which the gold reward is measured")
        for bar, kinds in _BARS.items():
            if getattr(self.gate, bar) is not None and self.method.kind not in kinds:
                raise ValueError(f"gate: {bar} is for method.kind {' and '.join(kinds)}")
        old_bars = {"max_old_task_rise", "max_old_task_fall"} & self.gate.model_fields_set
        if isinstance(self.method, Continual) and old_bars and not self.method.old_tasks:
            raise ValueError(f"gate.{min(old_bars)} needs method.old_tasks to measure on")
        if self.method.kind == "reward" and self.package != Package():
            raise ValueError("package: a reward model is not an assistant's adapter; nothing serves it")
        if self.package.push_to is not None and self.method.kind in {"full", "quantise"}:
            raise ValueError("push_to: a whole model is no adapter; serve its folder with ATELIER_MODEL")
        return self

    @model_validator(mode="after")
    def _answers(self) -> Recipe:
        if self.evaluate is not None and self.method.kind in {"quantise", "reward"}:
            raise ValueError(f"evaluate: what {self.method.kind} makes is not asked questions")
        return self

    def digest(self) -> str:
        """sha256 (hex) of what shapes the result; not of where it is written, nor of the data's content."""
        shaping = self.model_dump(
            mode="json", exclude={"out": True, "base": True, "package": True, "gate": True, "evaluate": True}
        )
        for path in (
            "start_from",
            "reward",
            "gold",
            "teacher",
            "version",
            "keys",
            "earlier",
            "old_tasks",
        ):  # the card names what they hold by its content
            shaping["method"].pop(path, None)
        shaping["data"] = {key: shaping["data"][key] for key in ("system", "max_tokens")}
        return sha256(orjson.dumps(shaping, option=orjson.OPT_SORT_KEYS)).hexdigest()


def read_recipe(path: Path) -> Recipe:
    """The recipe, its paths made absolute. Raises PolicyProblem with file, line and field."""
    source = read_yaml(path)
    recipe = source.parse(Recipe)
    folder = path.resolve().parent

    def whole(part: Path | None) -> Path | None:
        return None if part is None else (folder / part.expanduser()).resolve()

    data = recipe.data.model_copy(
        update={"train": whole(recipe.data.train), "held_out": whole(recipe.data.held_out)}
    )
    package = recipe.package.model_copy(
        update={"sign_with": whole(recipe.package.sign_with), "key_file": whole(recipe.package.key_file)}
    )
    method = recipe.method
    if isinstance(method, Dpo | Ppo):
        method = method.model_copy(update={"start_from": whole(method.start_from)})
    if isinstance(method, Ppo):
        method = method.model_copy(update={"reward": whole(method.reward), "gold": whole(method.gold)})
    if isinstance(method, Distil):
        method = method.model_copy(update={"teacher": whole(method.teacher)})
    if isinstance(method, Continual):
        method = method.moved(lambda part: (folder / part.expanduser()).resolve())
    recipe = recipe.model_copy(
        update={
            "base": whole(recipe.base),
            "out": whole(recipe.out),
            "data": data,
            "method": method,
            "package": package,
        }
    )
    files = {"data.train": data.train, "data.held_out": data.held_out, "package.sign_with": package.sign_with}
    if recipe.evaluate is not None:
        moved = recipe.evaluate.moved(whole)
        recipe = recipe.model_copy(update={"evaluate": moved})
        files |= {"evaluate.questions": moved.questions, "evaluate.general": moved.general}
    if isinstance(method, Dpo | Ppo) and method.start_from is not None:
        files["method.start_from"] = method.start_from / CONFIG
    if isinstance(method, Ppo):
        files |= {"method.reward": method.reward / CARD, "method.gold": method.gold / CARD}
    if isinstance(method, Distil):
        files["method.teacher"] = method.teacher / "config.json"
    for field, file in files.items():
        if file is not None and not file.is_file():
            raise PolicyProblem(path, f"{file} is not there", source.line(field.split(".")), field)
    if not (recipe.base / "config.json").is_file():
        message = (
            f"{recipe.base} holds no config.json; `make model` prepares the default one under var/models"
        )
        raise PolicyProblem(path, message, source.line(["base"]), "base")
    for field, message in _unfit_models(recipe):
        raise PolicyProblem(path, message, source.line(field.split(".")), field)
    return recipe


def _unfit_models(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """(field, message)."""
    models = {"base": recipe.base}
    if isinstance(recipe.method, Distil):
        models["method.teacher"] = recipe.method.teacher
        if recipe.method.teacher == recipe.base:
            yield "method.teacher", "the base has nothing to teach itself"
    for field, model in models.items():
        if b'"quantization_config"' in (model / "config.json").read_bytes():
            origin = "the bfloat16 or single-precision model it came from"
            yield field, f"{model.name} is quantised already; name {origin}"
