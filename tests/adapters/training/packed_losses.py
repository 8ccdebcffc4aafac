"""Run by the trainer's interpreter: one batch's loss and gradients, rows filled up, packed, and one by one, as JSON.

python -m tests.adapters.training.packed_losses BASE ROWS FOLDER; single precision, no dropout.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from adapters.training.conversation import read_conversations
from adapters.training.encoding import Encoded, encode_all
from adapters.training.method import Job
from adapters.training.methods.supervised import make_trainer
from adapters.training.recipe import Full, Lora


class _Silent:
    def step(self, done: int, total: int, figures: Any) -> None: ...


def learnt_from(trainer: Any, batch: dict[str, Any], answers: int) -> tuple[float, torch.Tensor]:
    """Loss and all gradients in a row."""
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=torch.tensor(answers))
    loss.backward()
    gradients = [weight.grad.flatten() for weight in trainer.model.parameters() if weight.requires_grad]
    return float(loss.detach()), torch.cat(gradients)


def compare(job: Job, rows: list[Encoded], kind: str) -> dict[str, float]:
    """How far packed rows are from padded ones and from single ones, and how far a mere concatenation is."""
    tokenizer = AutoTokenizer.from_pretrained(job.base)
    answers = sum(row.learnt for row in rows)
    found = {}
    for packing in (False, True):
        settings = (
            Full(kind="full", batch=len(rows), packing=packing)
            if kind == "full"
            else Lora(kind="lora", rank=8, dropout=0, batch=len(rows), packing=packing)
        )
        trainer = make_trainer(job, settings, tokenizer, rows, (), _Silent())
        trainer.model.float().train()
        for name, weight in trainer.model.named_parameters():
            if "lora_B" in name:  # else the gradients of A are nothing
                torch.nn.init.normal_(weight, std=0.05, generator=torch.Generator().manual_seed(1))
        data = [trainer.train_dataset[place] for place in range(len(rows))]
        batch = trainer.data_collator(data)
        found[packing] = learnt_from(trainer, batch, answers)
        if packing:
            shape = list(batch["input_ids"].shape)
            straight = torch.arange(shape[1])[None]
            seeing_each_other = learnt_from(trainer, batch | {"position_ids": straight}, answers)
            singles = [learnt_from(trainer, trainer.data_collator([one]), answers) for one in data]
            alone = sum(one[0] for one in singles), sum(one[1] for one in singles)
    padded, packed = found[False], found[True]
    scale = float(padded[1].norm())
    return {
        "tokens": shape[1], "sequences": shape[0], "loss": padded[0],
        "loss_apart": abs(packed[0] - padded[0]), "gradients_apart": float((packed[1] - padded[1]).norm()) / scale,
        "single_loss_apart": abs(packed[0] - alone[0]),
        "single_gradients_apart": float((packed[1] - alone[1]).norm()) / scale,
        "seeing_each_other": float((seeing_each_other[1] - padded[1]).norm()) / scale,
    }  # fmt: skip


if __name__ == "__main__":
    base, file, folder = (Path(argument) for argument in sys.argv[1:4])
    rows = list(encode_all(AutoTokenizer.from_pretrained(base), read_conversations(file), 4096, file.name))
    job = Job(base, file, None, folder, 3)
    print(json.dumps({kind: compare(job, rows, kind) for kind in ("lora", "full")}))
