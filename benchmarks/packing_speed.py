"""What packing brings on this machine: LoRA steps over the same rows, filled up and packed, in turns.

    .venv-trainer/bin/python -m benchmarks.packing_speed ROWS [--model FOLDER] [--batch 4] [--steps 12]

ROWS: JSONL, as `atelier data synthesise` makes it. Times are of the processor, so that what else the machine does
moves them little; tokens are the rows' own, without what fills them up.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.report import ROOT, circumstances


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", type=Path)
    parser.add_argument("--model", type=Path, default=ROOT / "var/models/qwen2.5-0.5b-bf16")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=12)
    options = parser.parse_args()
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
    print(circumstances())
    with tempfile.TemporaryDirectory() as folder:
        measure(options.rows, options.model, options.batch, options.steps, Path(folder))


def measure(file: Path, base: Path, batch: int, steps: int, folder: Path) -> None:
    """Prints a line for each way, and the ratio of the two."""
    import torch  # noqa: PLC0415
    from transformers import AutoTokenizer  # noqa: PLC0415

    from adapters.training.conversation import read_conversations  # noqa: PLC0415
    from adapters.training.encoding import encode_all  # noqa: PLC0415
    from adapters.training.method import Job  # noqa: PLC0415
    from adapters.training.methods.supervised import make_trainer  # noqa: PLC0415
    from adapters.training.recipe import Lora  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = list(encode_all(tokenizer, read_conversations(file), 4096, file.name))
    random.Random(7).shuffle(rows)
    rows = rows[: batch * (steps + 1)]
    trainers = {}
    for name, packing in (("filled up", False), ("packed", True)):
        settings = Lora(kind="lora", batch=batch, packing=packing)
        trainers[name] = make_trainer(
            Job(base, file, None, folder, 7), settings, tokenizer, rows, (), _Silent()
        )
        trainers[name].create_optimizer()
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    read = dict.fromkeys(trainers, 0)
    for number in range(steps + 1):  # the first of each warms up
        chunk = range(number * batch, (number + 1) * batch)
        order = list(trainers) if number % 2 else list(trainers)[::-1]
        for name in order:
            trainer = trainers[name]
            inputs = trainer.data_collator([trainer.train_dataset[place] for place in chunk])
            answers = torch.tensor(sum(rows[place].learnt for place in chunk))
            started = time.process_time()
            trainer.training_step(trainer.model, inputs, answers)
            trainer.optimizer.step()
            trainer.model.zero_grad()
            spent = time.process_time() - started
            if number:
                seconds[name].append(spent)
                read[name] += inputs["input_ids"].numel()
    lengths = [len(row.ids) for row in rows[batch:]]
    print(f"{file.name}: {steps} steps of {batch} rows, {min(lengths)} to {max(lengths)} tokens long, "
          f"mean {statistics.fmean(lengths):.0f}; {torch.get_num_threads()} thread(s), {base.name}")  # fmt: skip
    for name, spent in seconds.items():
        print(f"{name}: {sum(lengths) / sum(spent):.0f} tokens of the rows per second of processor time; "
              f"{read[name]:,} places read for {sum(lengths):,} tokens")  # fmt: skip
    ratios = [one / other for one, other in zip(seconds["filled up"], seconds["packed"], strict=True)]
    whole = sum(seconds["filled up"]) / sum(seconds["packed"])
    print(f"packed is {whole:.2f} times as fast; by step {min(ratios):.2f} to {max(ratios):.2f}, "
          f"median {statistics.median(ratios):.2f}")  # fmt: skip


class _Silent:
    def step(self, done: int, total: int, figures: Mapping[str, Any]) -> None: ...


if __name__ == "__main__":
    main()
