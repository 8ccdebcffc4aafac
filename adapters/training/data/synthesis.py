"""A file of synthetic dialogues and its card: from a policy folder, a count and a seed, always the same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import orjson

from adapters.training.data.lines import Writer, beside, writing
from adapters.training.data.policy_source import read_policy
from adapters.training.data.synthetic import Rules, dialogues
from adapters.training.data.wordings import SHIPPED, read_wordings
from guardrails.fact_check.check import check_sentence
from guardrails.fact_check.judgement import Label
from guardrails.knowledge.fact import Fact
from guardrails.policy.folder import PolicyFolder

POPULAR = 0.2
"""The most asked fifth of the facts; the others are the long tail."""


@dataclass(frozen=True, slots=True)
class Card:
    """What was made, from what. Shares are from 0 to 1."""

    rows: int
    sha256: str
    held_out_rows: int
    held_out_sha256: str
    seed: int
    today: str
    """The day whose documents were in force."""
    policy: str
    """Digest of the policy folder."""
    kinds: dict[str, int]
    languages: dict[str, int]
    facts: int
    facts_covered: float
    long_tail: float
    """Share of the rows with facts whose rarest fact is not among the popular."""


def synthesise(
    policy: Path,
    target: Path,
    *,
    count: int,
    seed: int,
    today: date,
    grounded: float = 0.5,
    held_out: Path | None = None,
    held_out_share: float = 0.1,
    wordings: Path = SHIPPED,
    pairs: Path | None = None,
    pairs_held_out: Path | None = None,
) -> Card:
    """Write up to `count` rows of messages, and a card `<name>.card.json` beside them.

    Rows whose facts are held out go to the file `held_out`. `pairs`, `pairs_held_out`: files of preferences, for each
    such row whose answer has a value that another row of its table could be taken for.
    Raises PolicyProblem, ValueError, OSError.
    """
    source = read_policy(policy, today)
    rules = Rules(
        source.knowledge,
        read_wordings(wordings),
        source.replies,
        grounded=grounded,
        held_out=held_out_share if held_out else 0.0,
    )
    facts = {fact.id: fact for fact in source.knowledge.facts}
    kinds: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    rows: list[tuple[str, ...]] = []
    with ExitStack() as files:
        train: Writer = files.enter_context(writing(target))
        kept = files.enter_context(writing(held_out)) if held_out else train
        preferences = [
            files.enter_context(writing(path)) if path else None for path in (pairs, pairs_held_out)
        ]
        for number, made in enumerate(dialogues(rules, count, seed)):
            (kept if made.held_out else train).write(made.row(number, seed))
            beside_it = preferences[made.held_out]
            if (
                beside_it
                and made.mistaken
                and not borne_out(made.mistaken, [facts[one] for one in made.facts])
            ):
                beside_it.write(made.pair(number, seed))
            kinds[made.kind] += 1
            languages[made.lang] += 1
            asked.update(made.facts)
            rows.append(made.facts)
    card = Card(
        rows=train.rows,
        sha256=train.digest,
        held_out_rows=kept.rows if held_out else 0,
        held_out_sha256=kept.digest if held_out else "",
        seed=seed,
        today=today.isoformat(),
        policy=PolicyFolder(policy).digest(),
        kinds=dict(sorted(kinds.items())),
        languages=dict(sorted(languages.items())),
        facts=rules.fact_count,
        facts_covered=round(len(asked) / rules.fact_count, 4),
        long_tail=_long_tail(asked, rows),
    )
    with beside(card_path(target)) as draft:
        draft.write_bytes(orjson.dumps(asdict(card), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return card


def borne_out(sentence: str, facts: Sequence[Fact]) -> bool:
    """Whether the fact check finds nothing wrong: once a year is within what twice a year allows."""
    return check_sentence(sentence, facts).label is Label.SUPPORTED


def card_path(target: Path) -> Path:
    """Where the card of a data file lies."""
    return target.with_suffix(".card.json")


def _long_tail(asked: Counter[str], rows: list[tuple[str, ...]]) -> float:
    popular = {fact for fact, _ in asked.most_common(max(1, int(len(asked) * POPULAR)))}
    answered = [facts for facts in rows if facts]
    return (
        round(sum(not popular.issuperset(facts) for facts in answered) / len(answered), 4)
        if answered
        else 0.0
    )
