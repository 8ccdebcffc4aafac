"""Supervised fine-tuning on conversations: LoRA, or every weight. The loss counts the answers' tokens alone.

Packed, the rows of a batch lie in one sequence with positions that begin again, which is where transformers ends what
a token may look back at (`find_packed_sequence_indices`; by a block-diagonal mask where the attention is no kernel of
variable length). Every step learns what it would learn from the same rows filled up.

Not supported: QLoRA, and several machines.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import orjson
import torch
from datasets import Dataset
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    EarlyStoppingCallback,
    PrinterCallback,
    TrainerCallback,
    set_seed,
)
from trl import SFTConfig, SFTTrainer

from adapters.training.encoding import Encoded
from adapters.training.low_rank import LowRank
from adapters.training.method import Job, Progress, Trained
from adapters.training.recipe import Full
from adapters.training.schedule import Packable, Schedule

LAST_STEPS = 10
"""Whose mean is the training loss that is reported."""
WHOLE = ".whole"
"""Written into a checkpoint after everything else: one without it was cut off and is not resumed from."""


def train(
    job: Job,
    settings: LowRank | Full,
    tokenizer: Any,
    rows: Sequence[Encoded],
    held_out: Sequence[Encoded],
    tell: Progress,
    trainer_of: Callable[..., SFTTrainer] = SFTTrainer,
) -> Trained:
    """Train, or go on where an earlier run of the same job was cut off. Blocking, minutes to hours.

    `trainer_of`: what makes the trainer, where the loss is another.
    Raises OSError when a checkpoint cannot be written; the last whole one stays.
    """
    checkpoints = job.out / "checkpoints"
    resume = last_whole_checkpoint(checkpoints)
    trainer = make_trainer(job, settings, tokenizer, rows, held_out, tell, trainer_of)
    before = _held_out_loss(trainer) if held_out and resume is None else _recorded_loss(checkpoints)
    if before is not None and resume is None:
        checkpoints.mkdir(parents=True, exist_ok=True)
        (checkpoints / "base_loss").write_text(repr(before), encoding="ascii")
    with write_failures_as_os_errors():
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    curves = curves_of(trainer.state.log_history)
    figures = {"steps": float(trainer.state.global_step), "train_loss": last_loss(curves["train"])}
    if held_out:
        figures["held_out_loss"] = _held_out_loss(trainer)
        if before is not None:
            figures["base_held_out_loss"] = before
    kind: Literal["adapter", "model"] = "adapter" if isinstance(settings, LowRank) else "model"
    folder = save(trainer.model, tokenizer, job, kind)
    return Trained(kind, folder, figures, curves)


def make_trainer(
    job: Job,
    settings: LowRank | Full,
    tokenizer: Any,
    rows: Sequence[Encoded],
    held_out: Sequence[Encoded],
    tell: Progress,
    trainer_of: Callable[..., SFTTrainer] = SFTTrainer,
) -> SFTTrainer:
    """The model and all it learns with, at its first step."""
    set_seed(job.seed)
    trainer = trainer_of(
        model=_model(job, settings),
        args=SFTConfig(
            **schedule(job, settings, job.out / "checkpoints", measured=bool(held_out)),
            activation_checkpointing=settings.gradient_checkpointing,
            padding_free=isinstance(settings, Packable) and settings.packing,
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        train_dataset=_dataset(rows),
        eval_dataset=_dataset(held_out) if held_out else None,
        processing_class=tokenizer,
        callbacks=callbacks(settings, tell),
    )
    trainer.remove_callback(PrinterCallback)  # `tell` shows the steps
    return trainer


def _model(job: Job, settings: LowRank | Full) -> Any:
    # Small steps vanish when they are added to bfloat16 weights, so what is learnt is kept in single precision:
    # all of a full model, and by PEFT itself the adapter.
    if not isinstance(settings, LowRank):
        return AutoModelForCausalLM.from_pretrained(job.base, dtype=torch.float32)
    base = AutoModelForCausalLM.from_pretrained(job.base, dtype=torch.bfloat16)
    if job.start_from is None:
        return get_peft_model(base, lora_config(settings))
    config = PeftConfig.from_pretrained(job.start_from)
    # It has the base's name alone, and PEFT looks there for the vocabulary when it saves.
    config.base_model_name_or_path = str(job.base)
    config.lora_dropout, config.inference_mode = settings.dropout, False
    return PeftModel.from_pretrained(base, job.start_from, is_trainable=True, config=config)


@contextmanager
def write_failures_as_os_errors() -> Iterator[None]:
    """safetensors and torch say in errors of their own that a file could not be written."""
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        if re.search(r"I/O error|writing file|No space left", str(error)):
            raise OSError(f"a checkpoint could not be written ({error})") from error
        raise


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; what was cut off is removed."""
    whole: dict[int, Path] = {}
    for path in folder.glob("checkpoint-*"):
        if (path / WHOLE).exists():
            whole[int(path.name.rsplit("-", 1)[1])] = path
        else:
            shutil.rmtree(path, ignore_errors=True)
    return whole[max(whole)] if whole else None


def lora_config(settings: LowRank) -> LoraConfig:
    """As PEFT takes it."""
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        use_rslora=settings.rslora,
        lora_dropout=settings.dropout,
        target_modules=list(settings.targets),
        bias="none",
        task_type="CAUSAL_LM",
    )


def schedule(job: Job, settings: Schedule, checkpoints: Path, *, measured: bool) -> dict[str, Any]:
    """What TRL's trainers take alike, as their configurations' fields."""
    return {
        "output_dir": str(checkpoints),
        "seed": job.seed,
        "data_seed": job.seed,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": settings.warmup,
        "weight_decay": settings.weight_decay,
        "num_train_epochs": settings.epochs,
        "max_steps": settings.max_steps or -1,
        "per_device_train_batch_size": settings.batch,
        "per_device_eval_batch_size": settings.batch,
        "gradient_accumulation_steps": settings.accumulate,
        "bf16": torch.cuda.is_available(),
        "use_cpu": not torch.cuda.is_available(),
        "save_steps": settings.checkpoint_every,
        "save_total_limit": 2,
        "eval_strategy": "steps" if measured else "no",
        "eval_steps": settings.checkpoint_every,
        "load_best_model_at_end": measured and settings.patience is not None,
        "metric_for_best_model": "eval_loss" if measured else None,
        "greater_is_better": False if measured else None,
        "logging_steps": 1,
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "max_length": None,  # what is too long was refused: nothing is cut
    }


def _dataset(rows: Sequence[Encoded]) -> Dataset:
    return Dataset.from_dict(
        {"input_ids": [list(row.ids) for row in rows], "labels": [list(row.labels) for row in rows]}
    )


def callbacks(settings: Schedule, tell: Progress) -> list[TrainerCallback]:
    """They show the steps, mark whole checkpoints, and stop early where the recipe says so."""
    called: list[TrainerCallback] = [_Teller(tell), _MarkWhole()]
    if settings.patience is not None:
        called.append(EarlyStoppingCallback(settings.patience))
    return called


class _Teller(TrainerCallback):  # type: ignore[misc]
    """Hands every step's figures to whoever shows them."""

    def __init__(self, tell: Progress) -> None:
        self._tell = tell

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        figures = {
            name: float(value) for name, value in (logs or {}).items() if isinstance(value, int | float)
        }
        self._tell.step(state.global_step, state.max_steps, figures)


class _MarkWhole(TrainerCallback):  # type: ignore[misc]
    """Marks a checkpoint once all of it is written."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / WHOLE).touch()


def _held_out_loss(trainer: SFTTrainer) -> float:
    """Nats per answer token."""
    loss = float(trainer.evaluate()["eval_loss"])
    if not math.isfinite(loss):
        raise ValueError(f"the held-out loss is {loss}: lower method.learning_rate")
    return loss


def _recorded_loss(checkpoints: Path) -> float | None:
    file = checkpoints / "base_loss"
    return float(file.read_text(encoding="ascii")) if file.exists() else None


def save(model: Any, tokenizer: Any, job: Job, kind: str) -> Path:
    """Written aside and renamed, so that what carries the name is whole."""
    folder = job.out / kind
    aside = job.out / f".{kind}.partial"
    shutil.rmtree(aside, ignore_errors=True)
    # A frozen copy may lie beside what was learnt.
    model.save_pretrained(aside, **({"selected_adapters": ["default"]} if kind == "adapter" else {}))
    if kind == "model":
        tokenizer.save_pretrained(aside)
    else:
        (aside / "README.md").unlink(missing_ok=True)
        settle_config(aside / "adapter_config.json", job.base.name)
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    return folder


def settle_config(file: Path, base: str) -> None:
    """The same bytes every time (PEFT keeps the modules in a set), and no path of this machine."""
    config = orjson.loads(file.read_bytes())
    config["base_model_name_or_path"] = base
    config["target_modules"] = sorted(config["target_modules"])
    file.write_bytes(orjson.dumps(config, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))


def last_loss(curve: Sequence[tuple[int, float]]) -> float:
    """Mean over the last steps."""
    last = [loss for _, loss in curve[-LAST_STEPS:]]
    return sum(last) / len(last)


def curves_of(history: Sequence[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Name → (step, loss), from a trainer's log."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for entry in history:
        for shown, key in (("train", "loss"), ("held out", "eval_loss")):
            if key in entry:
                curves.setdefault(shown, []).append((int(entry["step"]), float(entry[key])))
    return curves
