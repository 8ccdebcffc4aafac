"""PPO (Schulman et al. 2017, arXiv:1707.06347) or RLOO (Ahmadian et al. 2024, arXiv:2402.14740) of a LoRA adapter.

A step draws answers, has them scored by the reward model (an ensemble's lower bound) and moves the policy towards
the better ones. Every token pays for its distance from the reference: the base model (the adapter switched off), or a
frozen copy of the adapter it starts from. The gold reward model only watches: answers to held-out prompts are scored
by both, and of all evaluations within the bounds the one of the highest gold is kept.

The value head reads the policy's last layer and gives no gradient back to it: its loss would drown the policy's.
RLOO here keeps PPO's clipped ratio of single tokens, with one advantage for all tokens of an answer.

Not supported: a reward model on another base, dropout, gradient checkpointing, several machines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from peft import PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, set_seed

from adapters.training import checkpoint
from adapters.training.advantages import generalised_advantages, leave_one_out, token_rewards, whitened
from adapters.training.answer_loss import held_out_loss
from adapters.training.feedback import Ppo
from adapters.training.method import Job, Progress, Trained
from adapters.training.methods.supervised import lora_config, save
from adapters.training.parting import Evaluation, kept, parted
from adapters.training.penalties import Penalties
from adapters.training.policy_loss import policy_losses, value_losses
from adapters.training.policy_run import PolicyInputs
from adapters.training.reward_model import attach, wearing
from adapters.training.rollouts import Answer, draw, likelihood
from adapters.training.schedule import learning_rate

CHECKPOINT = "policy.pt"
_DRAWN, _HELD_OUT, _ORDER, _PROMPTS = range(4)
"""Purposes of a seed."""
_LONGEST_GRADIENT = 1.0
_KL_STEP, _KL_ERROR = 0.1, 0.2
"""The adaptive weight of Ziegler et al. 2019, arXiv:1909.08593, section 2.2."""


@dataclass(slots=True)
class State:
    """How far it is. `steps`: what each step's answers had; `best`: the weights that are to be kept so far."""

    kl_weight: float
    step: int = 0
    stopped: str = ""
    steps: list[dict[str, float]] = field(default_factory=list)
    history: list[Evaluation] = field(default_factory=list)
    best: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Scored:
    """Answers with rewards (answers,) and, by token (answers, longest), natural log-probabilities and values."""

    answers: Sequence[Answer]
    proxy: Any
    gold: Any
    log_probs: Any
    reference: Any
    values: Any
    mask: Any

    @property
    def kl(self) -> float:
        """Nats an answer, estimated from the answers drawn."""
        return float((self.log_probs - self.reference).sum(dim=1).mean())


def train(job: Job, settings: Ppo, inputs: PolicyInputs, tokenizer: Any, tell: Progress) -> Trained:
    """Train, or go on where an earlier run of the same job was cut off. Blocking, minutes to hours.

    Raises OSError when a checkpoint cannot be written; the last whole one stays.
    """
    policy = _Policy(job, settings, inputs, tokenizer.eos_token_id)
    file = job.out / "checkpoints" / CHECKPOINT
    state = policy.begun(file)
    if not state.history:
        policy.evaluate(state)
    while state.step < inputs.plan.steps and not state.stopped:
        figures = policy.step(state)
        tell.step(state.step, inputs.plan.steps, figures)
        done = state.step == inputs.plan.steps
        if not state.stopped and (done or state.step % settings.checkpoint_every == 0):
            policy.evaluate(state)
            state.stopped = state.stopped or why_stop(settings, state.history)
        if state.stopped or done or state.step % settings.checkpoint_every == 0:
            policy.keep(file, state)
    policy.take(state.best)
    folder = save(policy.model, tokenizer, job, "adapter")
    chosen = kept(state.history, settings.kl_ceiling, settings.max_loss_rise)
    notes = [
        ("stopped", state.stopped or "after its last step"),
        ("kept", f"the policy after step {chosen.step}, of the highest gold reward within the bounds"),
        *(one.line() for one in state.history),
    ]
    return Trained(
        "adapter",
        folder,
        _figures(state, chosen),
        _curves(state),
        loss="reward in standard deviations of what the reward model learnt from (proxy: earned; gold: only watched)",
        notes=notes,
    )


def why_stop(settings: Ppo, history: Sequence[Evaluation]) -> str:
    """What the last evaluation says against going on; empty when nothing."""
    last = history[-1]
    if last.kl > settings.kl_ceiling:
        return _ceiling(last.kl, settings, f"held-out answers after step {last.step}")
    if parted(history, settings.part_after, settings.part_tolerance):
        best = max(history, key=lambda one: one.gold)
        return (
            f"proxy and gold parted: since step {best.step} the proxy rose from {best.proxy:.3f} to "
            f"{last.proxy:.3f}, "
            f"gold fell from {best.gold:.3f} to {last.gold:.3f} ({settings.part_after} evaluations)"
        )
    return ""


def _ceiling(kl: float, settings: Ppo, where: str) -> str:
    return f"KL ceiling: {kl:.2f} nats an answer, method.kl_ceiling is {settings.kl_ceiling:g} ({where})"


class _Policy:
    """The model with all its adapters, and what changes it."""

    def __init__(self, job: Job, settings: Ppo, inputs: PolicyInputs, end: int) -> None:
        set_seed(job.seed)
        self._job, self._settings, self._inputs, self._end = job, settings, inputs, end
        self._penalties = Penalties(
            settings.length_penalty,
            settings.free_tokens,
            settings.repetition_penalty,
            settings.unfinished_penalty,
        )
        base = AutoModelForCausalLM.from_pretrained(job.base, dtype=torch.bfloat16)
        if torch.cuda.is_available():
            base.to("cuda")
        self.model = self._with_adapter(base)
        self._reward = attach(self.model, inputs.reward, "reward")
        self._gold = attach(self.model, inputs.gold, "gold")
        self.model.set_adapter("default")
        self.model.eval()  # there is no dropout, and generation needs its cache
        self._weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        self._value = torch.zeros(base.config.hidden_size + 1, device=base.device, requires_grad=True)
        self._optimizer = torch.optim.AdamW(
            [
                {"params": self._weights, "share": 1.0},
                {
                    "params": [self._value],
                    "share": settings.value_learning_rate / settings.learning_rate,
                    "weight_decay": 0.0,
                },
            ],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )

    def _with_adapter(self, base: Any) -> Any:
        start = self._job.start_from
        if start is None:
            return get_peft_model(base, lora_config(self._settings))
        model = PeftModel.from_pretrained(base, start, is_trainable=True)
        # Its configuration has the base's name alone, and PEFT looks there for the vocabulary when it saves.
        model.peft_config["default"].base_model_name_or_path = str(self._job.base)
        model.load_adapter(start, "reference")
        return model

    def _reference(self) -> AbstractContextManager[Any]:
        if self._job.start_from is None:
            disabled: AbstractContextManager[Any] = self.model.disable_adapter()
            return disabled
        return wearing(self.model, "reference")

    def _seed(self, purpose: int, step: int) -> int:
        return (self._job.seed * 4 + purpose) * 10**9 + step

    def begun(self, file: Any) -> State:
        """As a checkpoint has it, or at the start."""
        saved = checkpoint.restore(file, [*self._weights, self._value], self._optimizer)
        if saved is None:
            return State(self._settings.kl_weight)
        history = [Evaluation(**one) for one in saved["history"]]
        return State(**{**saved, "history": history})

    def keep(self, file: Any, state: State) -> None:
        """A checkpoint; see `checkpoint.keep`."""
        whole = {name: getattr(state, name) for name in State.__slots__}
        whole["history"] = [asdict(one) for one in state.history]
        checkpoint.keep(file, [*self._weights, self._value], self._optimizer, whole)

    def take(self, weights: Sequence[Any]) -> None:
        """Make these the policy's."""
        with torch.no_grad():
            for weight, value in zip(self._weights, weights, strict=True):
                weight.copy_(value)

    def evaluate(self, state: State) -> None:
        """Answer the held-out prompts, always from the same seed; note it, and its weights if they are to be kept."""
        scored = self._scored([one.ids for one in self._inputs.held_out], self._seed(_HELD_OUT, 0))
        answers = scored.answers
        state.history.append(
            Evaluation(
                step=state.step,
                proxy=float(scored.proxy.mean()),
                gold=float(scored.gold.mean()),
                kl=scored.kl,
                tokens=sum(len(one.ids) for one in answers) / len(answers),
                unfinished=sum(not one.finished for one in answers) / len(answers),
                loss=held_out_loss(self.model, self._inputs.ordinary, self._settings.batch),
            )
        )
        settings = self._settings
        if kept(state.history, settings.kl_ceiling, settings.max_loss_rise) is state.history[-1]:
            state.best = [weight.detach().clone() for weight in self._weights]

    def step(self, state: State) -> Mapping[str, float]:
        """Draw, score, move; or stop before moving where it has come too far."""
        prompts = [ids for ids in self._drawn(state.step) for _ in range(self._settings.samples)]
        scored = self._scored(prompts, self._seed(_DRAWN, state.step))
        figures = {
            "proxy": float(scored.proxy.mean()),
            "gold": float(scored.gold.mean()),
            "kl": scored.kl,
            "tokens": float(scored.mask.sum()) / len(scored.answers),
        }
        state.steps.append(figures)
        if scored.kl > self._settings.kl_ceiling:
            state.stopped = _ceiling(scored.kl, self._settings, f"answers of step {state.step + 1}")
            return figures
        for group in self._optimizer.param_groups:
            group["lr"] = group["share"] * learning_rate(self._settings, state.step, self._inputs.plan.steps)
        self._move(scored, state)
        if self._settings.kl_target is not None:
            error = min(max(scored.kl / self._settings.kl_target - 1, -_KL_ERROR), _KL_ERROR)
            state.kl_weight *= 1 + _KL_STEP * error
        state.step += 1
        return figures

    def _drawn(self, step: int) -> list[tuple[int, ...]]:
        """The step's prompts: each epoch in an order of its own, so that a step is known by its number."""
        prompts, size = self._inputs.prompts, self._settings.prompts
        epoch, place = divmod(step, -(-len(prompts) // size))
        order = self._shuffled(len(prompts), self._seed(_PROMPTS, epoch))
        return [prompts[row].ids for row in order[place * size : (place + 1) * size]]

    def _shuffled(self, count: int, seed: int) -> list[int]:
        return [int(one) for one in torch.randperm(count, generator=torch.Generator().manual_seed(seed))]

    def _scored(self, prompts: Sequence[tuple[int, ...]], seed: int) -> Scored:
        """An answer to each prompt, with all that is to be known of it."""
        settings, batch = self._settings, self._settings.batch
        answers = draw(
            self.model,
            prompts,
            end=self._end,
            room=settings.max_new_tokens,
            temperature=settings.temperature,
            seed=seed,
            together=max(batch, settings.prompts * settings.samples // 2),
        )
        whole = [answer.whole(self._end) for answer in answers]
        lost = np.array([self._penalties.of(one.ids, finished=one.finished) for one in answers])
        cut_off = np.array([0.0 if one.finished else settings.unfinished_penalty for one in answers])
        proxy = self._reward.lower_bound(self.model, whole, batch, settings.uncertainty) - lost
        gold = self._gold.lower_bound(self.model, whole, batch, 0.0) - cut_off
        with torch.no_grad():
            log_probs, mask, values = self._likelihoods(answers)
            with self._reference():
                reference, _, _ = self._likelihoods(answers)
        return Scored(answers, proxy, gold, log_probs, reference, values, mask)

    def _likelihoods(self, answers: Sequence[Answer]) -> tuple[Any, Any, Any]:
        """Log-probabilities, mask and values of all the answers, (answers, longest)."""
        width = max(len(answer.ids) for answer in answers)
        parts: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
        for chunk in _chunks(range(len(answers)), self._settings.batch):
            one = likelihood(self.model, [answers[row] for row in chunk], self._settings.temperature)
            wider = (0, width - one.mask.shape[1])
            for part, value in zip(
                parts, (one.log_probs, one.mask, self._values(one.states) * one.mask), strict=True
            ):
                part.append(torch.nn.functional.pad(value, wider))
        log_probs, mask, values = (torch.cat(part) for part in parts)
        return log_probs, mask, values

    def _values(self, states: Any) -> Any:
        return states @ self._value[:-1] + self._value[-1]

    def _move(self, scored: Scored, state: State) -> None:
        settings = self._settings
        advantages, returns = self._advantages(scored, state.kl_weight)
        for turn in range(settings.passes):
            order = self._shuffled(
                len(scored.answers), self._seed(_ORDER, state.step * settings.passes + turn)
            )
            for rows in _chunks(order, settings.batch * settings.accumulate):
                tokens = scored.mask[rows].sum()
                self._optimizer.zero_grad()
                for chunk in _chunks(rows, settings.batch):
                    (self._loss(scored, chunk, advantages, returns) / tokens).backward()
                torch.nn.utils.clip_grad_norm_(self._weights, _LONGEST_GRADIENT)
                self._optimizer.step()

    def _advantages(self, scored: Scored, kl_weight: float) -> tuple[Any, Any]:
        """Whitened advantages, and what the values are to become; (answers, longest)."""
        settings, mask = self._settings, scored.mask.cpu().numpy()
        ratios = (scored.log_probs - scored.reference).double().cpu().numpy()
        rewards = token_rewards(scored.proxy, ratios, mask, kl_weight)
        values = scored.values.double().cpu().numpy()
        if settings.algorithm == "rloo":
            of_answer = leave_one_out(rewards.sum(axis=1), settings.samples)
            advantages = np.where(mask, of_answer[:, None], 0.0)
        else:
            advantages = generalised_advantages(rewards, values, mask, settings.discount, settings.gae_lambda)

        def tensor(array: Any) -> Any:
            return torch.tensor(array, dtype=torch.float32, device=scored.mask.device)

        return tensor(whitened(advantages, mask)), tensor(advantages + values)

    def _loss(self, scored: Scored, chunk: Sequence[int], advantages: Any, returns: Any) -> Any:
        """Summed over the chunk's tokens."""
        settings = self._settings
        now = likelihood(self.model, [scored.answers[row] for row in chunk], settings.temperature)
        width = now.mask.shape[1]

        def of_chunk(whole: Any) -> Any:
            return whole[chunk, :width]

        old = of_chunk(scored.log_probs)
        losses = policy_losses(now.log_probs, old, of_chunk(advantages), settings.clip)
        if settings.algorithm == "ppo":
            values = self._values(now.states)
            losses = losses + value_losses(
                values, of_chunk(scored.values), of_chunk(returns), settings.value_clip
            )
        return losses[now.mask].sum()


def _chunks(rows: Sequence[int], size: int) -> Iterator[list[int]]:
    return (list(rows[start : start + size]) for start in range(0, len(rows), size))


def _figures(state: State, chosen: Evaluation) -> dict[str, float]:
    first, last = state.history[0], state.history[-1]
    return {
        "steps": float(state.step),
        "kept_step": float(chosen.step),
        "proxy_reward": chosen.proxy,
        "base_proxy_reward": first.proxy,
        "last_proxy_reward": last.proxy,
        "gold_reward": chosen.gold,
        "base_gold_reward": first.gold,
        "last_gold_reward": last.gold,
        "gold_gain": chosen.gold - first.gold,
        "kl": chosen.kl,
        "answer_tokens": chosen.tokens,
        "unfinished": chosen.unfinished,
        "held_out_loss": chosen.loss,
        "base_held_out_loss": first.loss,
    }


def _curves(state: State) -> dict[str, list[tuple[int, float]]]:
    return {
        **{
            f"{name} of each step": [(at, one[name]) for at, one in enumerate(state.steps, 1)]
            for name in ("proxy", "gold")
            if state.steps
        },
        "proxy held out": [(one.step, one.proxy) for one in state.history],
        "gold held out": [(one.step, one.gold) for one in state.history],
    }
