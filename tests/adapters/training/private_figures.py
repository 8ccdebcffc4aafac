"""Run by the trainer's interpreter: what private training does inside, measured on a model; printed as JSON.

python -m tests.adapters.training.private_figures BASE ROWS
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from opacus import GradSampleModule
from opacus.accountants import PRVAccountant
from peft import get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

from adapters.training.answer_loss import token_losses
from adapters.training.conversation import BadRows, Conversation, read_conversations
from adapters.training.encoding import encode_all
from adapters.training.methods import private, supervised
from adapters.training.privacy import check_unit, promise, spent
from adapters.training.recipe import Private
from adapters.training.secret_noise import SecretNoise

DELTA = 1e-5
KEY = SecretNoise(bytes(range(32)))


def settings(**changed: Any) -> Private:
    parts: dict[str, Any] = {"kind": "private", "rank": 8, "delta": 1e-3, "noise_multiplier": 1.5}
    return Private.model_validate(parts | changed)


def loaded(base: Path) -> Any:
    """A model whose adapters already do something: as they begin, half of the gradients are nought."""
    set_seed(5)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), supervised.lora_config(settings())
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.02)
    return model


def single_gradients(base: Path, rows: Any) -> list[list[Any]]:
    """Each row's gradient as PyTorch has it, one row at a time."""
    model = loaded(base)
    gradients = []
    for row in rows:
        model.zero_grad()
        sums, tokens = token_losses(model, [row])
        (sums / tokens).sum().backward()
        gradients.append([weight.grad.clone() for weight in model.parameters() if weight.requires_grad])
    return gradients


def clipping(base: Path, rows: Any) -> dict[str, float]:
    """How far the clipped sum is from the one made of single gradients; the shortest and longest of those."""
    singles = single_gradients(base, rows)
    norms = [float(torch.cat([part.flatten() for part in single]).norm()) for single in singles]
    clip = sorted(norms)[len(norms) // 2]
    wanted = torch.cat([
        sum(part * min(1.0, clip / norm) for part, norm in zip(parts, norms, strict=True)).flatten()
        for parts in zip(*singles, strict=True)
    ])  # fmt: skip
    model = GradSampleModule(loaded(base), loss_reduction="sum")
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    sums = [torch.zeros_like(weight) for weight in weights]
    private.add_clipped(model, weights, rows, clip, sums)
    one = [torch.zeros_like(weight) for weight in weights]
    private.add_clipped(model, weights, rows[:1], 1e-3, one)
    got = torch.cat([part.flatten() for part in sums])
    return {
        "difference": float((got - wanted).norm() / wanted.norm()),
        "shortest": min(norms) / clip,
        "longest": max(norms) / clip,
        "one_row": float(torch.cat([part.flatten() for part in one]).norm()),
    }


def noise_alone(base: Path, rows: Any) -> dict[str, float]:
    """A step in which no row is drawn still moves by the noise, and is counted."""
    model = GradSampleModule(loaded(base), loss_reduction="sum")
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    before = torch.cat([weight.detach().flatten() for weight in weights])
    promised = promise(settings(clip=0.5, batch=1, accumulate=1), len(rows), 3)
    rare = replace(promised, sampling_rate=1e-9)
    state = private.State()
    optimizer = torch.optim.SGD(weights, lr=1e-9 * len(rows))
    loss = private.step(model, weights, optimizer, settings(), rare, KEY, rows, 0, state)
    moved = torch.cat([weight.detach().flatten() for weight in weights]) - before
    return {"std": float(moved.std()), "steps": state.history[0][2], "rows_seen": 0 if loss is None else 1}


def epsilons() -> dict[str, Any]:
    """Bounds of the accountant, beside another accountant's for the sampled ones."""
    sampled = []
    for noise, rate, steps in ((1.0, 0.01, 1000), (2.0, 0.2, 100), (0.8, 0.005, 500)):
        other = PRVAccountant()
        other.history = [(noise, rate, steps)]
        sampled.append([spent([(noise, rate, steps)], DELTA), float(other.get_epsilon(DELTA))])
    whole = [[noise, spent([(noise, 1.0, 1)], DELTA)] for noise in (1.0, 3.0, 10.0, 40.0)]
    targets = [0.3, 1.0, 8.0]
    parts = {"noise_multiplier": None, "delta": DELTA, "batch": 10, "accumulate": 10}
    found = [promise(settings(epsilon=target, **parts), 10_000, 200) for target in targets]
    return {
        "sampled": sampled,
        "whole": whole,
        "targets": [[target, one.epsilon] for target, one in zip(targets, found, strict=True)],
    }


def refusals() -> dict[str, str]:
    row = Conversation(1, (("user", "q"), ("assistant", "a")))
    again, other = Conversation(3, row.turns), Conversation(2, (("user", "q"), ("assistant", "b")))

    def said(call: Callable[[], object]) -> str:
        try:
            call()
        except (ValueError, BadRows) as error:
            return str(error)
        return ""

    tiny = {"noise_multiplier": None, "epsilon": 1e-3, "delta": 1e-9}
    return {
        "twice": said(lambda: check_unit([row, other, again], "train.jsonl", [], "")),
        "held": said(lambda: check_unit([row, other], "train.jsonl", [again], "held.jsonl")),
        "fine": said(lambda: check_unit([row], "train.jsonl", [other], "held.jsonl")),
        "few_rows": said(lambda: promise(settings(), 10, 5)),
        "delta": said(lambda: promise(settings(delta=0.1), 100, 5)),
        "epsilon": said(lambda: promise(settings(**tiny), 100, 5)),
    }


def main(base: Path, file: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = encode_all(tokenizer, read_conversations(file), 4096, file.name)
    print(json.dumps({
        "clipping": clipping(base, rows), "noise": noise_alone(base, rows), "epsilons": epsilons(),
        "refusals": refusals(),
    }))  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
