"""Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290) of a LoRA adapter on pairs of answers.

The reference is what the run starts from: the base model (the new adapter switched off), or a frozen copy of the
adapter it goes on with. Reward: beta times the log-ratio of policy to reference, over the whole answer.

Not supported: every weight (a reference model beside it), other losses than the paper's, several machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, PrinterCallback, set_seed
from trl import DPOConfig, DPOTrainer

from adapters.training.figures import preference_figures
from adapters.training.likelihood import answer_log_likelihoods
from adapters.training.method import Job, Progress, Trained
from adapters.training.methods.supervised import (
    callbacks,
    curves_of,
    last_loss,
    last_whole_checkpoint,
    lora_config,
    save,
    schedule,
    write_failures_as_os_errors,
)
from adapters.training.preferences import EncodedPair
from adapters.training.recipe import Dpo


def train(
    job: Job,
    settings: Dpo,
    tokenizer: Any,
    pairs: Sequence[EncodedPair],
    held_out: Sequence[EncodedPair],
    tell: Progress,
) -> Trained:
    """Train, or go on where an earlier run of the same job was cut off. Blocking, minutes to hours.

    Raises OSError when a checkpoint cannot be written; the last whole one stays.
    """
    set_seed(job.seed)
    checkpoints = job.out / "checkpoints"
    resume = last_whole_checkpoint(checkpoints)
    trainer = _Trainer(
        model=_model(job, settings),
        args=DPOConfig(
            **schedule(job, settings, checkpoints, measured=bool(held_out)),
            gradient_checkpointing=settings.gradient_checkpointing,
            beta=settings.beta,
            loss_type=["sigmoid", "sft"] if settings.chosen_weight else ["sigmoid"],
            loss_weights=[1.0, settings.chosen_weight] if settings.chosen_weight else None,
            disable_dropout=True,
        ),
        train_dataset=_dataset(pairs),
        eval_dataset=_dataset(held_out) if held_out else None,
        processing_class=tokenizer,
        callbacks=callbacks(settings, tell),
    )
    trainer.remove_callback(PrinterCallback)  # `tell` shows the steps
    # Before a checkpoint is read the model is what the run starts from, and that is the reference.
    before = _log_likelihoods(trainer.model, held_out)
    with write_failures_as_os_errors():
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    curves = curves_of(trainer.state.log_history)
    figures = {"steps": float(trainer.state.global_step), "train_loss": last_loss(curves["train"])}
    if held_out:
        figures |= preference_figures(
            held_out, before, _log_likelihoods(trainer.model, held_out), settings.beta
        )
    folder = save(trainer.model, tokenizer, job, "adapter")
    return Trained("adapter", folder, figures, curves, loss="preference loss (0.693 where it starts)")


class _Trainer(DPOTrainer):  # type: ignore[misc]
    """Takes pairs that are token ids already, the engine's own."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset


def _model(job: Job, settings: Dpo) -> Any:
    base = AutoModelForCausalLM.from_pretrained(job.base, dtype=torch.bfloat16)
    if job.start_from is None:
        return get_peft_model(base, lora_config(settings))
    model = PeftModel.from_pretrained(base, job.start_from, is_trainable=True)
    # Its configuration has the base's name alone, and PEFT looks there for the vocabulary when it saves.
    model.peft_config["default"].base_model_name_or_path = str(job.base)
    return model


def _log_likelihoods(model: Any, pairs: Sequence[EncodedPair]) -> list[tuple[float, float]]:
    chosen = answer_log_likelihoods(model, [pair.chosen for pair in pairs])
    return list(zip(chosen, answer_log_likelihoods(model, [pair.rejected for pair in pairs]), strict=True))


def _dataset(pairs: Sequence[EncodedPair]) -> Dataset:
    return Dataset.from_dict(
        {
            "prompt_ids": [list(pair.chosen.ids[: pair.prompt]) for pair in pairs],
            "chosen_ids": [list(pair.chosen.ids[pair.prompt :]) for pair in pairs],
            "rejected_ids": [list(pair.rejected.ids[pair.prompt :]) for pair in pairs],
        }
    )
