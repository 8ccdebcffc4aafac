"""LoRA by DP-SGD: each row's gradient is clipped, the sum gets Gaussian noise, rows are drawn by Poisson sampling.

The rows' single gradients come from Opacus' hooks. Not ghost clipping: that saves the memory of single gradients by
a second backward pass, and LoRA's are small (35 MB a row for rank 16 on 0.5 B weights) where the pass is not.
Noise and sampling come from a secret key, see `secret_noise`. Losses on training rows are shown while it runs
and written nowhere: they are not covered by the guarantee.

Not supported: several machines, packing, gradient checkpointing, early stopping.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from opacus import GradSampleModule
from peft import get_peft_model
from transformers import AutoModelForCausalLM, set_seed

from adapters.training.answer_loss import chunks, held_out_loss, token_losses
from adapters.training.encoding import Encoded
from adapters.training.method import Job, Progress, Trained
from adapters.training.methods.supervised import lora_config, save, write_failures_as_os_errors
from adapters.training.privacy import Guarantee, History, kept
from adapters.training.recipe import Private
from adapters.training.schedule import learning_rate
from adapters.training.secret_noise import SecretNoise, keep_key

KEY, CHECKPOINT = "noise.key", "private.pt"


@dataclass(slots=True)
class State:
    """How far it is. `history`: what the accountant counts; `held_out`: (step, nats per answer token)."""

    step: int = 0
    history: History = field(default_factory=list)
    held_out: list[tuple[int, float]] = field(default_factory=list)


def train(
    job: Job,
    settings: Private,
    promised: Guarantee,
    tokenizer: Any,
    rows: Sequence[Encoded],
    held_out: Sequence[Encoded],
    tell: Progress,
) -> Trained:
    """Train, or go on where an earlier run of the same job was cut off. Blocking, minutes to hours.

    Raises OSError when a checkpoint cannot be written; the last whole one stays.
    """
    set_seed(job.seed)
    noise = keep_key(job.out / "checkpoints" / KEY)
    checkpoint = job.out / "checkpoints" / CHECKPOINT
    base = AutoModelForCausalLM.from_pretrained(job.base, dtype=torch.bfloat16)
    base.config.use_cache = False
    model = GradSampleModule(get_peft_model(base, lora_config(settings)), loss_reduction="sum")
    if torch.cuda.is_available():
        model.to("cuda")
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    state = _load(checkpoint, weights, optimizer)
    if held_out and not state.held_out:
        state.held_out.append((0, held_out_loss(model, held_out, settings.batch)))
    while state.step < promised.steps:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, state.step, promised.steps)
        loss = step(model, weights, optimizer, settings, promised, noise, rows, job.seed, state)
        tell.step(state.step, promised.steps, {} if loss is None else {"loss": loss})
        if state.step % settings.checkpoint_every == 0 or state.step == promised.steps:
            if held_out:
                state.held_out.append((state.step, held_out_loss(model, held_out, settings.batch)))
            _keep(checkpoint, weights, optimizer, state)
    figures = {"steps": float(state.step)}
    if held_out:
        figures |= {"held_out_loss": state.held_out[-1][1], "base_held_out_loss": state.held_out[0][1]}
    folder = save(model._module, tokenizer, job, "adapter")
    curves = {"held out": state.held_out} if held_out else {}
    return Trained("adapter", folder, figures, curves, kept(promised, state.history).card())


def step(
    model: Any,
    weights: Sequence[Any],
    optimizer: Any,
    settings: Private,
    promised: Guarantee,
    noise: SecretNoise,
    rows: Sequence[Encoded],
    seed: int,
    state: State,
) -> float | None:
    """One step, counted; returns the mean loss of the drawn rows, None where none was drawn (noise alone)."""
    drawn = noise.drawn(state.step, len(rows), promised.sampling_rate)
    torch.manual_seed(seed * 1_000_003 + state.step)  # dropout
    sums = [torch.zeros_like(weight) for weight in weights]
    losses: list[float] = []
    model.train()
    for chunk in chunks([rows[row] for row in drawn], settings.batch):
        losses += add_clipped(model, weights, chunk, promised.clip, sums)
    deviation = promised.noise_multiplier * promised.clip
    for part, (weight, whole) in enumerate(zip(weights, sums, strict=True)):
        added = torch.from_numpy(noise.gaussian(state.step, part, weight.numel()) * deviation)
        noisy = whole + added.view(weight.shape).to(device=whole.device, dtype=whole.dtype)
        # Divided by the expected number of rows: the number drawn would tell of them.
        weight.grad = noisy / (promised.sampling_rate * len(rows))
    optimizer.step()
    optimizer.zero_grad()
    state.step += 1
    _count(state.history, promised)
    return sum(losses) / len(losses) if losses else None


def add_clipped(
    model: Any, weights: Sequence[Any], chunk: Sequence[Encoded], clip: float, sums: Sequence[Any]
) -> list[float]:
    """Add each row's gradient, no longer than `clip`, to `sums` (one a weight); returns the rows' losses.

    A gradient that is not finite counts as none: a row may never move the sum by more than `clip`.
    """
    sums_of_row, tokens = token_losses(model, chunk)
    losses = sums_of_row / tokens
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the first layer's input needs no gradient
        losses.sum().backward()
    single = [weight.grad_sample for weight in weights]
    norms = torch.stack([one.flatten(1).norm(dim=1) for one in single]).norm(dim=0)
    factors = torch.where(norms.isfinite(), clip / norms.clamp(min=clip), 0.0)
    for whole, one in zip(sums, single, strict=True):
        whole.add_(torch.einsum("n,n...->...", factors, torch.nan_to_num(one, posinf=0.0, neginf=0.0)))
    for weight in weights:
        weight.grad = weight.grad_sample = None
    return [float(loss) for loss in losses.detach()]


def _count(history: History, promised: Guarantee) -> None:
    noise, rate = promised.noise_multiplier, promised.sampling_rate
    same = bool(history) and tuple(history[-1][:2]) == (noise, rate)
    history.append((noise, rate, history.pop()[2] + 1 if same else 1))


def _load(file: Path, weights: Sequence[Any], optimizer: Any) -> State:
    if not file.exists():
        return State()
    saved = torch.load(file, weights_only=True)
    with torch.no_grad():
        for weight, value in zip(weights, saved["weights"], strict=True):
            weight.copy_(value)
    optimizer.load_state_dict(saved["optimizer"])
    return State(saved["step"], saved["history"], saved["held_out"])


def _keep(file: Path, weights: Sequence[Any], optimizer: Any, state: State) -> None:
    """Written aside and renamed: the last whole checkpoint stays until the next one is."""
    whole = {
        "weights": [weight.detach() for weight in weights],
        "optimizer": optimizer.state_dict(),
        "step": state.step,
        "history": state.history,
        "held_out": state.held_out,
    }
    aside = file.with_suffix(".partial")
    with write_failures_as_os_errors():
        torch.save(whole, aside)
    aside.replace(file)
