"""Dialogues made by rule from a knowledge base: the answers are the documents' own statements.

A rule decides what is asked (a table's cell, two cells side by side, a clause, a value to confirm, a second question
that leans on the first, something the documents do not say, something of another world), wordings and noise decide
how. A part of the dialogues is written as the gateway asks its engine: a few facts, right and beside the point, and
the question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import accumulate
from random import Random
from typing import Any, TypeVar

from adapters.training.data.askable import CELL, CONDITION, QUESTION, SECTION, Askable, askables
from adapters.training.data.checked_rows import asked_in
from adapters.training.data.minhash import NearTexts
from adapters.training.data.noise import noisy
from adapters.training.data.wordings import Wordings, WordingsFile
from guardrails.answers.grounding import MAX_FACT_CHARACTERS, MAX_FACTS, grounded_messages
from guardrails.knowledge.fact import Fact, Knowledge
from guardrails.message import Message
from guardrails.policy.replies import Replies

Item = TypeVar("Item")

LANGUAGES = ("zh", "en")
ATTEMPTS = 30
"""Draws for a dialogue that is not there yet, before its number is given up."""
BARREN = 3
"""Numbers given up one after the other, after which the documents give no more; one alone may be bad luck."""
TAIL = 0.5
"""The share of questions drawn from all there is to ask in turn; the others ask the popular over and over."""


@dataclass(frozen=True, slots=True)
class Made:
    """One dialogue. `facts`: ids of those the answers rest on; empty where nobody can know the answer."""

    kind: str
    lang: str
    turns: tuple[tuple[str, str], ...]
    facts: tuple[str, ...]
    held_out: bool = False
    mistaken: str = ""
    """The answer with the value of another row: what must not be said. Empty where there is none."""

    @property
    def question(self) -> str:
        """All that is asked, without the facts a prompt shows."""
        return asked_in(self.turns)

    def row(self, number: int, seed: int) -> dict[str, Any]:
        """As a row of messages."""
        return {
            "messages": [{"role": role, "content": text} for role, text in self.turns],
            "id": f"{seed}-{number}",
            "kind": self.kind,
            "lang": self.lang,
            "facts": list(self.facts),
        }

    def pair(self, number: int, seed: int) -> dict[str, Any]:
        """As a row of preferences: the right answer, and the mistaken one."""
        prompt = [{"role": role, "content": text} for role, text in self.turns[:-1]]
        chosen = self.turns[-1][1]
        return {"prompt": prompt, "chosen": chosen, "rejected": self.mistaken, "id": f"{seed}-{number}"}


class Rules:
    """What dialogues are made from; unchangeable, so that a seed and a number always give the same dialogue."""

    def __init__(
        self,
        knowledge: Knowledge,
        wordings: WordingsFile,
        replies: Replies,
        *,
        grounded: float = 0.5,
        held_out: float = 0.0,
    ) -> None:
        """`grounded`: share of the dialogues written as the gateway asks its engine. Raises ValueError.

        `held_out`: share of the facts, and of the questions nobody can answer, that are kept for measuring.
        """
        self.asked = askables(knowledge.facts, wordings)
        if not self.asked:
            raise ValueError("the policy's documents hold no fact that can be asked")
        self.fact_count = len(knowledge.facts)
        self._wordings = wordings
        self._replies = replies
        self._grounded = grounded
        self._tables = _grouped(knowledge.facts, lambda fact: fact.table)
        self._sections = _grouped(knowledge.facts, lambda fact: f"{fact.source.doc_id} {fact.source.section}")
        self._facts = knowledge.facts
        self._held_share = held_out
        self.holds_out = held_out > 0
        self._held = frozenset(fact.id for fact in knowledge.facts if is_held_out(fact.id, held_out))
        self._cells = _grouped(
            [one for one in self.asked if one.kind == CELL], lambda one: one.facts[0].table
        )
        self._of_kind = {
            "cell": [one for one in self.asked if one.kind == CELL],
            "clause": [one for one in self.asked if one.kind != CELL],
            "confirm": [one for one in self.asked if one.value and one.rivals],
            "follow_up": [one for one in self.asked if one.kind == CELL and not one.within],
            "compare": [one for one in self.asked if one.kind == CELL and not one.within],
            "unknown": [one for one in self.asked if one.kind == CELL],
            "out_of_scope": list(self.asked),
        }
        everything = "\n".join(fact.statement + fact.topic for fact in knowledge.facts).lower()
        self._undocumented = {lang: _absent(wordings.of(lang).undocumented, everything) for lang in LANGUAGES}
        self._invented = {lang: _absent(wordings.of(lang).invented, everything) for lang in LANGUAGES}
        subjects = {one.subject.lower() for one in self.asked if len(one.subject) > 1}
        self._foreign = {
            lang: [
                text for text in wordings.of(lang).out_of_scope if not any(one in text for one in subjects)
            ]
            for lang in LANGUAGES
        }
        self._kinds = [kind for kind, one in self._of_kind.items() if one]
        shares = wordings.shares.model_dump()
        self._bounds = list(accumulate(shares[kind] for kind in self._kinds))

    def dialogue(self, seed: int, number: int, attempt: int = 0) -> Made:
        """Dialogue `number` (from 0) of a seed; another `attempt` makes another one."""
        rng = Random(f"{seed}/{number}/{attempt}")
        (kind,) = rng.choices(self._kinds, cum_weights=self._bounds)
        one = self._drawn(self._of_kind[kind], number, rng)
        return self._MAKERS[kind](self, one, rng)

    def _drawn(self, among: Sequence[Askable], number: int, rng: Random) -> Askable:
        if rng.random() < TAIL:
            return among[(number * 7919 + rng.randrange(3)) % len(among)]
        return among[min(int(rng.paretovariate(0.6)) * 31 % len(among), len(among) - 1)]

    def _asked_for(self, one: Askable, rng: Random) -> Made:
        kept = [one.subject, one.attribute, *([one.topic] if one.within else [])]
        question = self._dressed(self._question(one, rng), kept, one.lang, rng)
        made = self._told(one.kind, one, [question], [one.answer], one.facts, rng)
        return replace(made, mistaken=_mistaken(one, question))

    def _confirm(self, one: Askable, rng: Random) -> Made:
        words = self._wordings.of(one.lang)
        right = rng.random() < 0.5
        value = one.value if right else rng.choice(one.rivals)
        asked = self._placed(rng.choice(words.confirm).format(
            subject=one.subject, attribute=one.attribute, value=value
        ), one, rng)  # fmt: skip
        question = self._dressed(asked, [one.subject, one.attribute, value, one.topic], one.lang, rng)
        answer = rng.choice(words.yes if right else words.no).format(answer=one.answer)
        return self._told("confirm", one, [question], [answer], one.facts, rng)

    def _follow_up(self, one: Askable, rng: Random) -> Made:
        words = self._wordings.of(one.lang)
        near = self._cells[one.facts[0].table]
        same = [other for other in near if other.subject == one.subject and other.attribute != one.attribute]
        alike = [other for other in near if other.attribute == one.attribute and other.subject != one.subject]
        if not same and not alike:
            return self._asked_for(one, rng)
        if same and (not alike or rng.random() < 0.5):
            other = rng.choice(same)
            second = rng.choice(words.follow_attribute).format(attribute=other.attribute)
        else:
            other = rng.choice(alike)
            second = rng.choice(words.follow_subject).format(subject=other.subject)
        first = self._dressed(self._question(one, rng), [one.subject, one.attribute], one.lang, rng)
        second = noisy(second, [other.subject, other.attribute], one.lang, rng)
        made = self._told("follow_up", one, [first, second], [one.answer, other.answer], other.facts, rng)
        earlier = tuple(fact.id for fact in one.facts)
        return replace(
            made, facts=earlier + made.facts, held_out=made.held_out or bool(self._held & {*earlier})
        )

    def _compare(self, one: Askable, rng: Random) -> Made:
        """The same attribute of two products or cases."""
        alike = [other for other in self._cells[one.facts[0].table] if self._comparable(one, other)]
        if not alike:
            return self._asked_for(one, rng)
        other = rng.choice(alike)
        form = rng.choice(self._wordings.of(one.lang).compare)
        asked = form.format(subject=one.subject, other=other.subject, attribute=one.attribute)
        question = self._dressed(asked, [one.subject, other.subject, one.attribute], one.lang, rng)
        answer = "\n".join(dict.fromkeys((one.answer, other.answer)))
        facts = tuple(dict.fromkeys(one.facts + other.facts))
        return self._told("compare", one, [question], [answer], facts, rng)

    @staticmethod
    def _comparable(one: Askable, other: Askable) -> bool:
        return other.attribute == one.attribute and one.subject not in {other.subject, one.attribute}

    def _unknown(self, one: Askable, rng: Random) -> Made:
        words = self._wordings.of(one.lang)
        subject, attribute = one.subject, one.attribute
        strange, invented = self._undocumented[one.lang], self._invented[one.lang]
        if not strange and not invented:
            return self._asked_for(one, rng)
        if strange and (not invented or rng.random() < 0.5):
            attribute = rng.choice(strange)
        else:
            subject = rng.choice(invented) + (subject if one.lang == "zh" else f" {subject}")
        asked = rng.choice(words.ask["any"]).format(subject=subject, attribute=attribute)
        question = self._dressed(asked, [subject, attribute], one.lang, rng)
        return self._declined("unknown", "unknown", f"{subject} {attribute}", one, question, rng)

    def _out_of_scope(self, one: Askable, rng: Random) -> Made:
        if not self._foreign[one.lang]:
            return self._asked_for(one, rng)
        frames = self._wordings.of(one.lang).scope_frames
        lead = rng.choice(self._foreign[one.lang])
        question = self._dressed(rng.choice(frames).format(lead=lead), [], one.lang, rng)
        return self._declined("out_of_scope", "out_of_domain", lead, one, question, rng)

    def _declined(self, kind: str, reply: str, matter: str, one: Askable, question: str, rng: Random) -> Made:
        """A question nobody can answer, and the policy's reply. `matter`: what it is about, however it is put."""
        made = self._told(kind, one, [question], [self._replies.text(reply, one.lang)], (), rng)
        return replace(made, held_out=is_held_out(matter, self._held_share))

    _MAKERS: Mapping[str, Callable[[Rules, Askable, Random], Made]] = {
        "cell": _asked_for, "clause": _asked_for, "confirm": _confirm, "follow_up": _follow_up,
        "compare": _compare, "unknown": _unknown, "out_of_scope": _out_of_scope,
    }  # fmt: skip

    def _question(self, one: Askable, rng: Random) -> str:
        words = self._wordings.of(one.lang)
        if one.kind == QUESTION:
            return one.subject
        if one.kind == CELL:
            forms = (*words.ask.get(one.group, ()), *words.ask["any"])
            return self._placed(
                rng.choice(forms).format(subject=one.subject, attribute=one.attribute), one, rng
            )
        if one.kind == SECTION:
            return rng.choice(words.section).format(topic=one.topic)
        forms = words.condition if one.kind == CONDITION else words.clause
        return self._placed(rng.choice(forms).format(lead=one.subject), one, rng)

    def _placed(self, question: str, one: Askable, rng: Random) -> str:
        """With the topic before it, where the question alone could mean several things."""
        words = self._wordings.of(one.lang)
        return rng.choice(words.within).format(topic=one.topic) + question if one.within else question

    def _dressed(self, question: str, kept: Sequence[str], lang: str, rng: Random) -> str:
        words: Wordings = self._wordings.of(lang)
        return noisy(rng.choice(words.before) + question + rng.choice(words.after), kept, lang, rng)

    def _told(
        self,
        kind: str,
        one: Askable,
        questions: list[str],
        answers: list[str],
        facts: Sequence[Fact],
        rng: Random,
    ) -> Made:
        """The turns; grounded ones end in the engine's prompt for the last question, as the gateway writes it."""
        ids = tuple(fact.id for fact in facts)
        held = bool(self._held & {*ids})
        shown = self._shown(one, facts, rng) if rng.random() < self._grounded else ()
        if shown:
            asked = [Message("user", question) for question in questions]
            prompt = [(str(turn.role), turn.content) for turn in grounded_messages(shown, asked, one.lang)]
            return Made(kind, one.lang, (*prompt, ("assistant", answers[-1])), ids, held)
        turns: list[tuple[str, str]] = []
        for question, answer in zip(questions, answers, strict=True):
            turns += [("user", question), ("assistant", answer)]
        return Made(kind, one.lang, tuple(turns), ids, held)

    def _shown(self, one: Askable, facts: Sequence[Fact], rng: Random) -> tuple[Fact, ...]:
        """The right facts among their neighbours; none where the prompt would cut one off."""
        if len(facts) > MAX_FACTS or any(len(fact.statement) > MAX_FACT_CHARACTERS for fact in facts):
            return ()
        base = one.facts[0]
        near = self._tables[base.table] if base.table else []
        near = near + self._sections[f"{base.source.doc_id} {base.source.section}"]
        near = [
            fact
            for fact in near
            if fact not in facts and fact.statement not in one.answer and fact.id not in self._held
        ]
        wanted = rng.randrange(MAX_FACTS - len(facts) + 1) if facts else rng.randrange(1, MAX_FACTS + 1)
        near = near or ([] if facts else [fact for fact in self._facts if fact.id not in self._held])
        beside = list(dict.fromkeys(rng.choice(near) for _ in range(wanted))) if near else []
        shown = [*facts, *beside]
        rng.shuffle(shown)
        return tuple(shown)


def dialogues(rules: Rules, count: int, seed: int) -> Iterator[Made]:
    """Up to `count` dialogues, no two alike and no question asked twice with different answers.

    With facts held out, no question on either side is nearly one of the other. Fewer than `count`, where the
    documents are too small for so many: it ends after `BARREN` numbers for which `ATTEMPTS` draws gave nothing new.
    """
    seen: set[bytes] = set()
    sides = (NearTexts(), NearTexts()) if rules.holds_out else None
    barren = 0
    for number in range(count):
        for attempt in range(ATTEMPTS):
            made = rules.dialogue(seed, number, attempt)
            asked = _mark(made.turns[:-1])
            if asked in seen or (sides and sides[not made.held_out].find(made.question) is not None):
                continue
            seen.add(asked)
            if sides:
                sides[made.held_out].add(made.question)
            barren = 0
            yield made
            break
        else:
            barren += 1
            if barren == BARREN:
                return


def _mistaken(one: Askable, question: str) -> str:
    """Empty where the value does not stand in the answer once, as a whole, or has no rival."""
    before, value, after = one.answer.partition(one.value) if one.value else ("", "", "")
    if not value or not one.rivals or value in after or before[-1:].isdigit() or after[:1].isdigit():
        return ""
    return before + one.rivals[len(question) % len(one.rivals)] + after


def _absent(words: Sequence[str], text: str) -> list[str]:
    return [word for word in words if word.lower() not in text]


def is_held_out(text: str, share: float) -> bool:
    """Whether a fact's id, or a question, is among the share kept for measuring; it depends on the text only."""
    mark = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(mark, "big") / 2**32 < share


def _mark(turns: Sequence[tuple[str, str]]) -> bytes:
    text = "\x1e".join("".join(text.split()).lower() for _, text in turns)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()


def _grouped(items: Sequence[Item], key: Callable[[Item], str]) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found
