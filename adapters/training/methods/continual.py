"""Continual learning of an adapter: new rows beside earlier ones, on which it stays near to what it started from.

Loss, per answer token of a step: cross entropy of all rows + strength · KL(parent ‖ learner) on the earlier rows. It
is learning without forgetting (Li and Hoiem 2016, arXiv:1606.09282) with the parent's outputs taken on replayed rows,
as dark experience replay does (Buzzega et al. 2020, arXiv:2004.07211). Elastic weight consolidation (Kirkpatrick et
al. 2017, arXiv:1612.00796) was not chosen: it weighs each factor of a low-rank product for itself, though many pairs
of factors are one adapter, and its Fisher estimate vanishes on rows that the parent already knows; the distance of
outputs needs no estimate to be kept, and its strength has a unit.

Not supported: every weight, several machines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from trl import SFTTrainer

from adapters.training.continual import Continual
from adapters.training.encoding import IGNORED, Encoded
from adapters.training.method import Job, Progress, Trained
from adapters.training.methods import supervised
from adapters.training.methods.distillation import divergence
from adapters.training.old_tasks import measure

_MARK = "replayed"


def train(
    job: Job,
    settings: Continual,
    tokenizer: Any,
    rows: Sequence[Encoded],
    replayed: int,
    held_out: Sequence[Encoded],
    old_tasks: Mapping[str, Sequence[Encoded]],
    tell: Progress,
) -> Trained:
    """Train, or go on where an earlier run of the same job was cut off. Blocking, minutes to hours.

    The last `replayed` of `rows` are earlier ones. Raises OSError when a checkpoint cannot be written.
    """
    marks = [place >= len(rows) - replayed for place in range(len(rows))]
    trainer = partial(_Trainer, strength=settings.strength, marks=marks)
    trained = supervised.train(job, settings, tokenizer, rows, held_out, tell, trainer)
    assert job.start_from is not None
    figures = measure(job.base, job.start_from, trained.folder, old_tasks) if old_tasks else {}
    named = "nats per answer token, and strength × distance from the parent on earlier rows"
    loss = named if settings.strength else trained.loss
    return replace(trained, figures={**trained.figures, **figures}, loss=loss)


class _Trainer(SFTTrainer):  # type: ignore[misc]
    """Stays near to the weights it began with; what is measured on held-out rows is the rows' own loss."""

    def __init__(self, *arguments: Any, strength: float, marks: Sequence[bool], **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._strength = strength
        self.train_dataset: Any
        self.data_collator: Any
        # Before a checkpoint is read the model is its parent.
        self._parent = [weight.detach().clone() for weight in self._learnt()]
        if strength and any(marks):
            self.train_dataset = self.train_dataset.add_column(_MARK, list(marks))
            self.data_collator = partial(_collated, self.data_collator)

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        self._signature_columns: list[str]
        if _MARK not in self._signature_columns:
            self._signature_columns = [*self._signature_columns, _MARK]

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """See the module's text."""
        marks = inputs.pop(_MARK, None)
        if marks is None or not model.training or not bool(marks.any()):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs["labels"][:, 1:]
        read = {name: value for name, value in inputs.items() if name != "labels"}
        places = labels != IGNORED
        near = places & marks[:, 1:]
        with self._as_parent(model):
            taught = model(**read, use_cache=False).logits[:, :-1][near]
        outputs = model(**read, use_cache=False)
        logits = outputs.logits[:, :-1]
        own = torch.nn.functional.cross_entropy(logits[places].float(), labels[places], reduction="sum")
        count = places.sum() if num_items_in_batch is None else num_items_in_batch
        loss = (own + self._strength * divergence(taught, logits[near])) / count
        return (loss, outputs) if return_outputs else loss

    def _learnt(self) -> list[Any]:
        return [weight for weight in self.model.parameters() if weight.requires_grad]

    @contextmanager
    def _as_parent(self, model: Any) -> Iterator[None]:
        """The parent's weights in place of the learner's, without dropout or gradients."""
        weights = self._learnt()
        own = [weight.data for weight in weights]
        model.eval()
        try:
            for weight, value in zip(weights, self._parent, strict=True):
                weight.data = value.to(weight.device)
            with torch.no_grad():
                yield
        finally:
            for weight, value in zip(weights, own, strict=True):
                weight.data = value
            model.train()


def _collated(inner: Any, examples: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch, with a mark at every token of an earlier row."""
    marks = [example.get(_MARK, False) for example in examples]
    batch: dict[str, Any] = inner(
        [{name: value for name, value in example.items() if name != _MARK} for example in examples]
    )
    labels = batch["labels"]
    if len(labels) == len(marks):
        marked = torch.tensor(marks)[:, None].expand_as(labels)
    else:  # packed: all rows in one
        lengths = torch.tensor([len(example["input_ids"]) for example in examples])
        marked = torch.tensor(marks).repeat_interleave(lengths)[None]
    return {**batch, _MARK: marked}
