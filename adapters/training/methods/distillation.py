"""Distillation of a larger model into an adapter of a smaller one (Hinton et al. 2015, arXiv:1503.02531).

One vocabulary: (1 - w) · the answers' own loss + w · T² · KL(teacher ‖ learner), both softened by the temperature T,
over the answers' tokens. Another vocabulary: supervised on the teacher's own answers (Kim and Rush 2016,
arXiv:1606.07947), which are generated first.

Not supported: every weight, on-policy answers (GKD), several machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
from trl import SFTTrainer

from adapters.training.conversation import Conversation
from adapters.training.distil import Distil
from adapters.training.encoding import IGNORED, Encoded, encode, within
from adapters.training.figures import nats_per_token
from adapters.training.likelihood import answer_log_likelihoods
from adapters.training.method import Job, Progress, Trained
from adapters.training.methods import supervised
from adapters.training.teacher import Teacher, answers, load_teacher

ANSWERS = "answers.jsonl"


def train(
    job: Job,
    settings: Distil,
    teacher: Teacher,
    tokenizer: Any,
    said: Sequence[Conversation],
    rows: Sequence[Encoded],
    held_out: Sequence[Encoded],
    max_tokens: int,
    tell: Progress,
) -> Trained:
    """Train, or go on where an earlier run of the same job was cut off. Blocking, minutes to hours.

    `said`: the rows before they were encoded. Raises ValueError when the teacher gives no answer that can be learnt,
    OSError when something cannot be written.
    """
    if not teacher.shared:
        own = _answered(job, settings, teacher, tokenizer, said, max_tokens, tell)
        trained = supervised.train(job, settings, tokenizer, own, held_out, tell)
        more = {"teacher_answers": float(len(own)), "answers_left_out": float(len(rows) - len(own))}
        return replace(trained, figures={**trained.figures, **more})
    model = load_teacher(teacher)
    trainer = partial(_Trainer, teacher=model, settings=settings)
    trained = supervised.train(job, settings, tokenizer, rows, held_out, tell, trainer)
    if not held_out:
        return trained
    return replace(trained, figures={**trained.figures, **_figures(job, trained, model, held_out)})


class _Trainer(SFTTrainer):  # type: ignore[misc]
    """Learns the teacher's probabilities; what is measured on held-out rows is the rows' own loss."""

    def __init__(self, *arguments: Any, teacher: Any, settings: Distil, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._teacher, self._settings = teacher, settings

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """See the module's text; summed over tokens, divided by their number in the whole step."""
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs["labels"][:, 1:]
        read = {name: value for name, value in inputs.items() if name != "labels"}
        places = labels != IGNORED
        outputs = model(**read, use_cache=False)
        with torch.no_grad():
            taught = self._teacher(**read, use_cache=False).logits[:, :-1][places]
        learnt = outputs.logits[:, :-1][places]
        own = torch.nn.functional.cross_entropy(learnt.float(), labels[places], reduction="sum")
        share, temperature = self._settings.teacher_weight, self._settings.temperature
        far = divergence(taught, learnt, temperature) * temperature**2
        count = places.sum() if num_items_in_batch is None else num_items_in_batch
        loss = ((1 - share) * own + share * far) / count
        return (loss, outputs) if return_outputs else loss


def divergence(taught: Any, learnt: Any, temperature: float = 1.0) -> Any:
    """KL(teacher ‖ learner) in nats, summed over the places; both are logits of shape (places, vocabulary).

    Vocabularies are padded to sizes of their own: only the tokens both have count.
    """
    size = min(taught.shape[-1], learnt.shape[-1])
    one = torch.log_softmax(taught[:, :size].float() / temperature, dim=-1)
    other = torch.log_softmax(learnt[:, :size].float() / temperature, dim=-1)
    return (one.exp() * (one - other)).sum()


def _answered(
    job: Job,
    settings: Distil,
    teacher: Teacher,
    tokenizer: Any,
    said: Sequence[Conversation],
    max_tokens: int,
    tell: Progress,
) -> list[Encoded]:
    kept = job.out / "checkpoints" / ANSWERS
    rows = []
    for row, answer in zip(said, answers(teacher, said, settings.answer_tokens, kept, tell), strict=True):
        if answer is None:
            continue
        try:
            taught = replace(row, turns=(*row.turns[:-1], ("assistant", answer)))
            rows.append(within(max_tokens, encode(tokenizer, taught)))
        except ValueError:  # too long, or it holds a token of the template: counted as left out
            continue
    if not rows:
        raise ValueError(
            f"{teacher.folder.name} gave no answer that ends within {settings.answer_tokens} tokens"
        )
    return rows


def _figures(job: Job, trained: Trained, teacher: Any, held_out: Sequence[Encoded]) -> dict[str, float]:
    """How far the learner is from the teacher, nats per answer token, and what the teacher itself reaches."""
    base = AutoModelForCausalLM.from_pretrained(job.base, dtype=torch.bfloat16).to(teacher.device)
    before = _divergence(teacher, base, held_out)
    learner = PeftModel.from_pretrained(base, trained.folder)
    return {
        "teacher_divergence": _divergence(teacher, learner, held_out),
        "base_teacher_divergence": before,
        "teacher_held_out_loss": nats_per_token(answer_log_likelihoods(teacher, held_out), held_out),
    }


def _divergence(teacher: Any, learner: Any, rows: Sequence[Encoded]) -> float:
    learner.eval()
    total = 0.0
    for row in rows:
        ids = torch.tensor([row.ids], device=teacher.device)
        places = torch.tensor(row.labels[1:]) != IGNORED
        with torch.inference_mode():
            taught, learnt = (model(input_ids=ids).logits[0, :-1][places] for model in (teacher, learner))
            total += float(divergence(taught, learnt))
    return total / sum(row.learnt for row in rows)
