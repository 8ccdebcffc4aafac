"""Operators that turn messages into dialogues worth training on, and the funnel: a count after each of them."""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TypeVar

import re2
import yaml

from adapters.training.data.messages import ASSISTANT, SourceDialogue, SourceMessage, dialogue_of, threads
from adapters.training.data.minhash import NearTexts, folded
from guardrails.fact_check.sentences import full_sentences
from guardrails.policy.ports import MaskingCheck
from guardrails.verdict import Decision

LONGEST = 20_000
"""Characters of a message; a longer one is no message of a customer or an agent."""
REPEATED, REPEATED_SHARE = 5, 0.1
"""A sentence in so many answers to different questions, and in this share of all, is boilerplate."""
_LEAST_SENTENCE = 6
_BREAK = re.compile(r"<br\s{0,3}/?>|</(?:p|div|li|tr)>", re.I)
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,500}>")
_BLANKS = re.compile(r"[ \t\u00a0\u3000]+")
_EXAMPLES = 5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """What one operator did. `examples`: the first of what it dropped, or changed, short."""

    name: str
    unit: str
    before: int
    after: int
    changed: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Patterns:
    advertisement: tuple[re.Pattern[str], ...]
    idle: tuple[re.Pattern[str], ...]
    boilerplate: tuple[re.Pattern[str], ...]


@cache
def _patterns() -> _Patterns:
    told = yaml.safe_load(Path(__file__).with_name("cleaning.yaml").read_text(encoding="utf-8"))

    def compiled(name: str) -> tuple[re.Pattern[str], ...]:
        return tuple(re2.compile(f"(?i){pattern}") for pattern in told[name])

    return _Patterns(compiled("advertisement"), compiled("idle"), compiled("boilerplate"))


def clean_messages(messages: Sequence[SourceMessage]) -> tuple[list[SourceMessage], list[Step]]:
    """Marks undone, then what is nobody's, empty, too long, an advertisement or idle dropped."""
    steps: list[Step] = [Step("read", "messages", len(messages), len(messages))]
    kept = _changed("tidied", messages, tidy, steps)
    kept = _changed("boilerplate taken out", kept, without_boilerplate, steps)
    for name, drops in (
        ("notices", lambda one: one.sides and not one.role),
        ("empty", lambda one: not one.text),
        ("too long", lambda one: len(one.text) > LONGEST),
        ("advertisements", lambda one: is_advertisement(one.text)),
        ("idle replies", lambda one: is_idle(one.text)),
    ):
        kept = _dropped(name, "messages", kept, drops, lambda one: one.text, steps)
    return kept, steps


def make_dialogues(
    messages: Sequence[SourceMessage], privacy: MaskingCheck
) -> tuple[list[SourceDialogue], list[Step]]:
    """Dialogues of the messages, without repeated sentences, contacts and duplicates."""
    every = threads(messages)
    made = [dialogue for thread in every if (dialogue := dialogue_of(thread)) is not None]
    steps = [
        Step("put together", "dialogues", len(every), len(made), examples=_examples(
            [thread[0].text for thread in every if dialogue_of(thread) is None]
        ))
    ]  # fmt: skip
    made = _without_repeated(made, steps)
    made = _masked(made, privacy, steps)
    seen: set[str] = set()
    made = _dropped("exact duplicates", "dialogues", made, lambda one: not _first(seen, one), _shown, steps)
    near = NearTexts()
    made = _dropped(
        "near duplicates",
        "dialogues",
        made,
        lambda one: not near.is_new("\n".join(text for _, text in one.turns)),
        _shown,
        steps,
    )
    return made, steps


def tidy(text: str) -> str:
    """Entities and tags undone, invisible characters gone, blanks and empty lines made single."""
    text = html.unescape(_TAG.sub(" ", _BREAK.sub("\n", text)))
    text = "".join(
        char for char in text if char in "\n\t" or unicodedata.category(char) not in {"Cc", "Cf", "Cs"}
    )
    lines = (_BLANKS.sub(" ", line).strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def is_advertisement(text: str) -> bool:
    """Whether somebody sells something here."""
    return any(pattern.search(text) for pattern in _patterns().advertisement)


def is_idle(text: str) -> bool:
    """Whether it says nothing to the matter: thanks, a vote, a picture's placeholder, marks alone."""
    bare = text.strip().strip("!！。.~～…,，?？、 \n")
    return not any(char.isalnum() for char in text) or any(
        pattern.fullmatch(bare) for pattern in _patterns().idle
    )


def without_boilerplate(text: str) -> str:
    """`text` without the sentences that every conversation has."""
    kept = []
    for line in text.split("\n"):
        sentences = [
            sentence
            for sentence in full_sentences(line)
            if not any(pattern.search(sentence.strip()) for pattern in _patterns().boilerplate)
        ]
        if whole := "".join(sentences).strip():
            kept.append(whole)
    return "\n".join(kept)


def _changed(
    name: str, messages: Sequence[SourceMessage], change: Callable[[str], str], steps: list[Step]
) -> list[SourceMessage]:
    done = [replace(one, text=change(one.text)) for one in messages]
    texts = [one.text for one, new in zip(messages, done, strict=True) if one.text != new.text]
    steps.append(Step(name, "messages", len(messages), len(done), len(texts), _examples(texts)))
    return done


def _dropped(
    name: str,
    unit: str,
    items: Sequence[T],
    drops: Callable[[T], bool],
    text: Callable[[T], str],
    steps: list[Step],
) -> list[T]:
    kept: list[T] = []
    gone: list[T] = []
    for item in items:
        (gone if drops(item) else kept).append(item)
    steps.append(Step(name, unit, len(items), len(kept), examples=_examples(map(text, gone))))
    return kept


def _examples(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(text[:120] for text in islice(texts, _EXAMPLES))


def _shown(one: SourceDialogue) -> str:
    return one.question[:120]


def _first(seen: set[str], one: SourceDialogue) -> bool:
    key = "\x1e".join(folded(text) for _, text in one.turns)
    if key in seen:
        return False
    seen.add(key)
    return True


def _without_repeated(made: Sequence[SourceDialogue], steps: list[Step]) -> list[SourceDialogue]:
    """Sentences that many answers share, whatever was asked, taken out; answers of nothing else dropped."""
    asked: dict[str, set[str]] = {}
    for one in made:
        for sentence in {part.strip() for part in full_sentences(one.answers)}:
            if len(sentence) >= _LEAST_SENTENCE:
                asked.setdefault(sentence, set()).add(folded(one.question))
    bar = max(REPEATED, REPEATED_SHARE * len(made))
    common = Counter(
        {sentence: len(questions) for sentence, questions in asked.items() if len(questions) >= bar}
    )
    kept: list[SourceDialogue] = []
    changed = 0
    for one in made:
        turns = tuple(
            (role, _lines_without(text, common) if role == ASSISTANT else text) for role, text in one.turns
        )
        changed += turns != one.turns
        if all(text for _, text in turns):
            kept.append(replace(one, turns=turns))
    examples = _examples(sentence for sentence, _ in common.most_common(_EXAMPLES))
    steps.append(Step("repeated sentences", "dialogues", len(made), len(kept), changed, examples))
    return kept


def _lines_without(text: str, common: Counter[str]) -> str:
    kept = []
    for line in text.split("\n"):
        rest = "".join(part for part in full_sentences(line) if part.strip() not in common).strip()
        if rest:
            kept.append(rest)
    return "\n".join(kept)


def _masked(made: Sequence[SourceDialogue], privacy: MaskingCheck, steps: list[Step]) -> list[SourceDialogue]:
    changed = 0
    found = []
    for one in made:
        hidden = [privacy.mask(text) for _, text in one.turns]
        changed += any(verdict.decision is not Decision.ALLOW for _, verdict in hidden)
        turns = tuple((role, text) for (role, _), (text, _) in zip(one.turns, hidden, strict=True))
        found.append(replace(one, turns=turns))
    steps.append(Step("contacts masked", "dialogues", len(made), len(found), changed))
    return found
