"""A reward model: low-rank adapters of the base model, each with a scalar head on the answer's last token.

A folder of one: `card.json`, and for every member `member-N/` with the adapter and `head.safetensors`. A member's
rewards are on the scale of the answers it learnt from: mean 0, standard deviation 1 (Ziegler et al. 2019,
arXiv:1909.08593, section 2.2), so that members can be compared and a KL weight means the same for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from adapters.package import CARD, CONFIG, WEIGHTS, file_digest
from adapters.vllm_plugin.base_model import fingerprint

HEAD = "head.safetensors"
_FILES = (CONFIG, WEIGHTS, HEAD)


class NotAReward(ValueError):
    """The message says what is wrong with the folder."""


@dataclass(frozen=True, slots=True)
class RewardFolder:
    """A reward model on the disk, checked. `digest`: sha256 (hex) of its members' files."""

    folder: Path
    members: int
    digest: str

    @property
    def member_folders(self) -> tuple[Path, ...]:
        """One a member."""
        return tuple(self.folder / f"member-{number}" for number in range(self.members))


@dataclass(frozen=True, slots=True)
class Head:
    """`weight`: shape (hidden,), float32. `mean`, `deviation`: of its rewards of the answers it learnt from."""

    weight: Any
    mean: float = 0.0
    deviation: float = 1.0

    def save(self, folder: Path) -> None:
        """Raises OSError."""
        scale = torch.tensor([self.mean, self.deviation], dtype=torch.float64)
        save_file({"weight": self.weight.detach().cpu().contiguous(), "scale": scale}, folder / HEAD)

    @classmethod
    def load(cls, folder: Path) -> Head:
        """Raises OSError."""
        saved = load_file(folder / HEAD)
        mean, deviation = saved["scale"].tolist()
        return cls(saved["weight"], mean, deviation)


def read_reward(folder: Path, base: Path, field: str) -> RewardFolder:
    """Raises NotAReward, naming the recipe's `field`, when it is none, is damaged or is of another base; OSError."""
    card = folder / CARD
    if not card.is_file():
        raise NotAReward(f"{field}: {folder} holds no {CARD}; a recipe of kind reward makes such a folder")
    try:
        said = orjson.loads(card.read_bytes())
        digests, members, trained_on = said["files"], int(said["members"]), said["base"]["fingerprint"]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise NotAReward(f"{field}: {card} is not a reward model's card") from None
    if trained_on != fingerprint(base):
        raise NotAReward(
            f"{field}: {folder} was trained on {said['base'].get('name')}, not on {base.name}; "
            "a reward model reads the policy's tokens and needs the same base"
        )
    expected = {f"member-{number}/{name}" for number in range(members) for name in _FILES}
    if not members or set(digests) != expected:
        raise NotAReward(f"{field}: {card} does not name the files of its {members} members")
    for name, digest in digests.items():
        if not (folder / name).is_file() or file_digest(folder / name) != digest:
            raise NotAReward(f"{field}: {folder / name} is not what the card says; train it again")
    return RewardFolder(folder, members, _digest_of(digests))


def member_digests(folder: Path, members: int) -> dict[str, str]:
    """sha256 (hex) of every file by its name in the folder."""
    names = [f"member-{number}/{name}" for number in range(members) for name in _FILES]
    return {name: file_digest(folder / name) for name in names}


def _digest_of(digests: Mapping[str, str]) -> str:
    return sha256(orjson.dumps(digests, option=orjson.OPT_SORT_KEYS)).hexdigest()


def last_states(model: Any, sequences: Sequence[Sequence[int]]) -> Any:
    """What the model makes of each sequence's last token: its last layer, normed. Shape (rows, hidden), float32.

    `model`: a PEFT model. Nothing after a token moves its state, so padding goes to the right.
    """
    device = next(model.parameters()).device
    longest = max(len(ids) for ids in sequences)
    ids = torch.tensor([[*one, *[0] * (longest - len(one))] for one in sequences], device=device)
    lengths = torch.tensor([len(one) for one in sequences], device=device)
    mask = (torch.arange(longest, device=device) < lengths[:, None]).long()
    read = model.get_base_model().get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False)
    states = read.last_hidden_state
    return states[torch.arange(len(sequences), device=device), lengths - 1].float()


def raw_rewards(model: Any, head: Any, sequences: Sequence[Sequence[int]], batch: int) -> list[float]:
    """Rewards by the adapter that is active and this head, not brought to scale. Blocking, no gradients."""
    with torch.no_grad():
        return [
            float(reward)
            for start in range(0, len(sequences), batch)
            for reward in last_states(model, sequences[start : start + batch]) @ head.to(model.device)
        ]


@dataclass(frozen=True, slots=True)
class Attached:
    """A reward model whose members are adapters of a policy's model. `heads`: by adapter name."""

    heads: Mapping[str, Head]

    def lower_bound(
        self, model: Any, sequences: Sequence[Sequence[int]], batch: int, uncertainty: float
    ) -> NDArray[np.float64]:
        """Shape (rows,): the members' mean less `uncertainty` times the standard deviation between them.

        What members do not agree on is not worth earning (Coste et al. 2023, arXiv:2310.02743).
        """
        rewards = []
        for name, head in self.heads.items():
            with wearing(model, name):
                raw = np.array(raw_rewards(model, head.weight, sequences, batch))
            rewards.append((raw - head.mean) / head.deviation)
        whole = np.stack(rewards)
        return np.asarray(whole.mean(axis=0) - uncertainty * whole.std(axis=0))


def attach(model: Any, reward: RewardFolder, name: str) -> Attached:
    """Load the members beside the adapter that is trained, frozen. Blocking."""
    heads = {}
    for number, folder in enumerate(reward.member_folders):
        model.load_adapter(folder, f"{name}-{number}")
        heads[f"{name}-{number}"] = Head.load(folder)
    return Attached(heads)


@contextmanager
def wearing(model: Any, adapter: str) -> Iterator[None]:
    """With another adapter of `model` than the one that is trained, which is active again afterwards."""
    model.set_adapter(adapter, inference_mode=True)
    try:
        yield
    finally:
        model.set_adapter("default")
