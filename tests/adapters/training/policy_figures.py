"""Run by the trainer's interpreter: PPO's clipped losses beside plain loops, and what adapters answer; as JSON.

python -m tests.adapters.training.policy_figures BASE '["QUESTION", …]' ADAPTER…
"""

import json
import math
import sys
from contextlib import redirect_stdout
from io import StringIO
from random import Random

import torch

from adapters.training.policy_loss import policy_losses, value_losses
from tests.adapters.training import greedy_answers


def by_hand(new: float, old: float, advantage: float, clip: float) -> tuple[float, float]:
    """The loss of one token and its gradient: nothing is gained, and nothing moved, beyond the clip."""
    ratio = math.exp(new - old)
    held = min(max(ratio, 1 - clip), 1 + clip)
    plain, bounded = -advantage * ratio, -advantage * held
    moves = plain > bounded or held == ratio
    return max(plain, bounded), plain if moves else 0.0


def value_by_hand(new: float, old: float, wanted: float, clip: float) -> tuple[float, float]:
    held = old + min(max(new - old, -clip), clip)
    plain, bounded = (new - wanted) ** 2, (held - wanted) ** 2
    moves = plain > bounded or abs(new - old) <= clip
    return 0.5 * max(plain, bounded), new - wanted if moves else 0.0


def losses() -> dict[str, object]:
    """200 random cases, of which many are clipped and many are not."""
    random = Random(5)
    clipped = free = 0
    for case in range(200):
        clip = random.uniform(0.05, 0.5)
        rows = [[random.gauss(0, 1) for _ in range(3)] for _ in range(6)]
        for function, plain in ((policy_losses, by_hand), (value_losses, value_by_hand)):
            new, old, third = (torch.tensor(part, dtype=torch.float64) for part in zip(*rows, strict=True))
            new.requires_grad_()
            found = function(new, old, third, clip)
            found.sum().backward()
            for place, row in enumerate(rows):
                loss, gradient = plain(*row, clip)
                assert abs(found[place].item() - loss) < 1e-9, (case, row)
                assert abs(new.grad[place].item() - gradient) < 1e-9, (case, row, function.__name__)
                clipped, free = clipped + (gradient == 0), free + (gradient != 0)
    return {"cases": 200, "clipped": clipped > 100, "free": free > 100}


def answered(base: str, adapter: str, questions: list[str]) -> list[str]:
    """Greedily."""
    printed = StringIO()
    with redirect_stdout(printed):
        greedy_answers.main(base, adapter, questions)
    return list(json.loads(printed.getvalue()))


if __name__ == "__main__":
    base, questions, *adapters = sys.argv[1:]
    answers = [answered(base, adapter, json.loads(questions)) for adapter in adapters]
    print(json.dumps({"losses": losses(), "answers": answers}))
