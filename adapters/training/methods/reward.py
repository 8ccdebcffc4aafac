"""A reward model from people's judgements: low-rank adapters and a scalar head on the answer's last token.

Pairs: Bradley and Terry (1952) as in Ouyang et al. 2022 (arXiv:2203.02155, equation 1), the chosen answer is the
better with the chance σ(r_chosen - r_rejected), loss -log σ(…). Scores: squared distance to the score on its rater's
scale. An ensemble's members differ by seed: how the adapter begins, and the order of the rows.

Not supported: early stopping, gradient checkpointing, a base model of its own, several machines.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import torch
from peft import get_peft_model
from transformers import AutoModelForCausalLM, set_seed

from adapters.training import checkpoint
from adapters.training.feedback import Reward
from adapters.training.figures import reward_figures
from adapters.training.judgements import EncodedJudgement
from adapters.training.method import Job, Progress, Trained
from adapters.training.methods.supervised import last_loss, lora_config, settle_config
from adapters.training.reward_model import Head, last_states, raw_rewards
from adapters.training.schedule import learning_rate

CHECKPOINT, HELD_OUT = "reward.pt", "held_out.json"
Curve = list[tuple[int, float]]


def train(
    job: Job,
    settings: Reward,
    steps: int,
    rows: Sequence[EncodedJudgement],
    held_out: Sequence[EncodedJudgement],
    tell: Progress,
) -> Trained:
    """Train, or go on where an earlier run of the same job was cut off. Blocking, minutes to hours.

    `steps`: of all members together. Raises OSError when a checkpoint cannot be written; the last whole one stays.
    """
    base = AutoModelForCausalLM.from_pretrained(job.base, dtype=torch.bfloat16)
    base.config.use_cache = False
    if torch.cuda.is_available():
        base.to("cuda")
    made = []
    for number in range(settings.members):
        folder = job.out / "checkpoints" / f"member-{number}"
        if not folder.exists():
            base = _Member(job, settings, number, steps // settings.members, base).train(
                rows, held_out, folder, tell
            )
        made.append(orjson.loads((folder / HELD_OUT).read_bytes()))
    curves: dict[str, Curve] = {}
    for number, one in enumerate(made, 1):
        for name, curve in one["curves"].items():
            curves[f"{name}, member {number}" if len(made) > 1 else name] = [(at, loss) for at, loss in curve]
    figures = {
        "steps": float(steps),
        "train_loss": statistics.fmean(last_loss(one["curves"]["train"]) for one in made),
    }
    if held_out:
        figures |= reward_figures(held_out, [one["rewards"] for one in made])
        figures |= {
            "held_out_loss": statistics.fmean(one["curves"]["held out"][-1][1] for one in made),
            "base_held_out_loss": made[0]["curves"]["held out"][0][1],
        }
    folder = _put_together(job.out, settings.members)
    return Trained("reward", folder, figures, curves, loss="loss (pairs: 0.693 where nothing is known)")


class _Member:
    """One member while it is trained."""

    def __init__(self, job: Job, settings: Reward, number: int, steps: int, base: Any) -> None:
        self._job, self._settings, self._number, self._steps = job, settings, number, steps
        self._seed = job.seed + number * 1_000_003
        set_seed(self._seed % 2**31)
        self._model = get_peft_model(base, lora_config(settings))
        self._head = torch.zeros(base.config.hidden_size, device=base.device, requires_grad=True)
        self._adapter = [weight for weight in self._model.parameters() if weight.requires_grad]
        self._optimizer = torch.optim.AdamW(
            [
                {"params": self._adapter, "share": 1.0},
                {"params": [self._head], "share": settings.head_learning_rate / settings.learning_rate},
            ],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )

    def train(
        self,
        rows: Sequence[EncodedJudgement],
        held_out: Sequence[EncodedJudgement],
        folder: Path,
        tell: Progress,
    ) -> Any:
        """Train it into `folder`; returns the base model without it."""
        settings, weights = self._settings, [*self._adapter, self._head]
        file = self._job.out / "checkpoints" / f"{self._number}-{CHECKPOINT}"
        kept = checkpoint.restore(file, weights, self._optimizer) or {"step": 0, "train": [], "held out": []}
        step, losses, measured = kept["step"], list(kept["train"]), list(kept["held out"])
        if held_out and not measured:
            measured.append((0, self._loss(held_out)))
        while step < self._steps:
            for group in self._optimizer.param_groups:
                group["lr"] = group["share"] * learning_rate(settings, step, self._steps)
            loss = self._step(self._drawn(rows, step), step)
            step += 1
            losses.append((step, loss))
            tell.step(self._number * self._steps + step, settings.members * self._steps, {"loss": loss})
            if step % settings.checkpoint_every == 0 or step == self._steps:
                if held_out:
                    measured.append((step, self._loss(held_out)))
                state = {"step": step, "train": losses, "held out": measured}
                checkpoint.keep(file, weights, self._optimizer, state)
        curves = {"train": losses, **({"held out": measured} if held_out else {})}
        self._save(rows, held_out, folder, curves)
        file.unlink(missing_ok=True)
        return self._model.unload()

    def _drawn(self, rows: Sequence[EncodedJudgement], step: int) -> list[EncodedJudgement]:
        """The step's rows: each epoch in an order of its own, so that a step is known by its number."""
        size = self._settings.batch * self._settings.accumulate
        per_epoch = -(-len(rows) // size)
        epoch, place = divmod(step, per_epoch)
        generator = torch.Generator().manual_seed(self._seed * 1_009 + epoch)
        order = torch.randperm(len(rows), generator=generator).tolist()
        return [rows[row] for row in order[place * size : (place + 1) * size]]

    def _step(self, drawn: Sequence[EncodedJudgement], step: int) -> float:
        torch.manual_seed(self._seed * 1_000_003 + step)  # dropout
        self._model.train()
        self._optimizer.zero_grad()
        total = 0.0
        for start in range(0, len(drawn), self._settings.batch):
            loss = self._losses(drawn[start : start + self._settings.batch]).sum() / len(drawn)
            loss.backward()
            total += float(loss.detach())
        self._optimizer.step()
        return total

    def _losses(self, chunk: Sequence[EncodedJudgement]) -> Any:
        """Each row's loss, shape (rows,)."""
        sequences = [ids for row in chunk for ids in row.sequences]
        rewards = iter(last_states(self._model, sequences) @ self._head)
        losses = []
        for row in chunk:
            if row.target is None:
                chosen, rejected = next(rewards), next(rewards)
                losses.append(-torch.nn.functional.logsigmoid(chosen - rejected))
            else:
                losses.append((next(rewards) - row.target) ** 2)
        return torch.stack(losses)

    def _loss(self, rows: Sequence[EncodedJudgement]) -> float:
        self._model.eval()
        size = self._settings.batch
        with torch.no_grad():
            sums = [float(self._losses(rows[at : at + size]).sum()) for at in range(0, len(rows), size)]
        return sum(sums) / len(rows)

    def _save(
        self,
        rows: Sequence[EncodedJudgement],
        held_out: Sequence[EncodedJudgement],
        folder: Path,
        curves: dict[str, Curve],
    ) -> None:
        """Written aside and renamed."""
        self._model.eval()

        def rewards(judged: Sequence[EncodedJudgement]) -> list[float]:
            sequences = [ids for row in judged for ids in row.sequences]
            return raw_rewards(self._model, self._head.detach(), sequences, self._settings.batch)

        learnt = rewards(rows)
        mean, deviation = statistics.fmean(learnt), statistics.pstdev(learnt)
        if not deviation > 0:
            raise ValueError("the reward is the same for every answer: raise method.learning_rate or epochs")
        aside = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(aside, ignore_errors=True)
        self._model.save_pretrained(aside)
        (aside / "README.md").unlink(missing_ok=True)
        settle_config(aside / "adapter_config.json", self._job.base.name)
        Head(self._head, mean, deviation).save(aside)
        scaled = [(reward - mean) / deviation for reward in rewards(held_out)] if held_out else []
        (aside / HELD_OUT).write_bytes(orjson.dumps({"curves": curves, "rewards": scaled}))
        aside.rename(folder)


def _put_together(out: Path, members: int) -> Path:
    """The members as one folder; written aside and renamed."""
    aside, folder = out / ".reward.partial", out / "reward"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    for number in range(members):
        name = f"member-{number}"
        shutil.copytree(out / "checkpoints" / name, aside / name)
        (aside / name / HELD_OUT).unlink()
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    return folder
