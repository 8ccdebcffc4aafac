"""What a question asks for, cut into units that are looked for one by one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from guardrails.answers.folding import fold
from guardrails.answers.lexicon import UNHEARD, Lexicon, repair, sounds_like, spell_out
from guardrails.language import detect
from guardrails.message import Message

_CLAUSES = re.compile(r"[，。？！；,?!;\n]+|\.(?=\s|$)")
_ASKS = re.compile(
    r"多少|什么|怎么|怎样|如何|吗|几|哪|多久|能不能|可不可以|是否|能否|要不要|收不收|算不算|[？?]|呢|多长|多大|不$|没有$"
    r"|\b(?:what|how|which|when|where|who|can|do|does|is|are|will)\b"
)
_FUNCTION = re.compile(
    r"请问一下|请问|我想问一下|我想问|想问一下|想问|帮我|麻烦|告诉我|的话|能不能|可不可以|要不要|收不收|算不算|是不是|有没有|会不会"
    r"|可以|能否|是否|多少|什么|怎么|怎样|如何|哪里|哪儿|哪些|哪个|哪种|几个|应该|需要|现在|目前|你们|我们|咱们|您|你|我|他|她"
    r"|这个|那个|这|那|请|吗|呢|吧|啊|呀|么|嘛|哦|的|了|着|是|分别|另外|如果|因为|所以|啥|咋|几|一下|大概|到底|究竟|直接"
)
_PARTICLES = frozenset(
    "过得地有会能要想让给把被对从到在就也都还又再才只和跟与或各并而但去来说看算用下上里外不没个一很太最多少好点"
)
"""Characters that join words: a pair with one of them that no fact has says nothing of what is asked."""
MAX_UNHEARD = 2
ASKING = 0.3
UNHEARD_ENGLISH = 2.5
"""What the glossary has no Chinese for: half of it is small talk."""
_FOLLOW_UP = re.compile(r"^(?:那|那么|如果是|换成|and |what about|how about)|呢[？?]?$|也(?:是|这么|一样|要)")


@dataclass(frozen=True, slots=True)
class Unit:
    """A word that is looked for. `words` are the ways it may be written, the customer's own first."""

    words: tuple[str, ...]
    weight: float
    is_name: bool
    rarity: float


@dataclass(frozen=True, slots=True)
class Question:
    """The last question of a conversation. `names` are those of the knowledge base that it mentions."""

    text: str
    folded: str
    lang: str
    units: tuple[Unit, ...]
    names: tuple[str, ...]
    follows_up: bool = False
    unheard: int = 0
    """1 for words in the asking clause that no fact has, 2 where they are what is asked for."""


def understand(
    messages: Sequence[Message], lexicon: Lexicon, english: Sequence[tuple[str, str]] = ()
) -> Question:
    """Read the last user message, and what it leaves unsaid from the user's messages before it."""
    asked = [message.content for message in messages if message.role == "user"]
    text = asked[-1] if asked else ""
    lang = detect(text)
    folded = repair(spell_out(fold(text), lexicon), lexicon)
    names = mentions(folded, lexicon)
    units = _units(_translated(folded, english) if lang == "en" else folded, lexicon, lang)
    follows_up = False
    if len(asked) > 1:
        earlier = repair(spell_out(fold(asked[-2]), lexicon), lexicon)
        before = _units(_translated(earlier, english) if lang == "en" else earlier, lexicon, lang)
        follows_up = bool(_FOLLOW_UP.search(folded)) or len(folded) <= 12
        share = 0.7 if follows_up else 0.3
        said = {word for unit in units for word in unit.words}
        units += tuple(
            Unit(unit.words, unit.weight * share, unit.is_name, unit.rarity)
            for unit in before
            if not said.intersection(unit.words)
            and not (unit.is_name and names)
            and unit.rarity not in {UNHEARD, UNHEARD_ENGLISH}
        )
    unheard = unheard_words(folded, lexicon) if lang == "zh" else 0
    return Question(text, folded, lang, units, names, follows_up, unheard)


_QUESTION_WORD = re.compile(r"多少|什么|怎么|怎样|如何|吗|几|哪|多久|[？?]|呢|多长|多大|不$|没有$|$")


def unheard_words(folded: str, lexicon: Lexicon) -> int:
    """2 if the words before the question word are of none of the facts, 1 if others of its clause are, else 0."""
    clauses = [clause for clause in _CLAUSES.split(folded) if clause.strip()]
    asking = next(
        (clause for clause in reversed(clauses) if _ASKS.search(clause)), clauses[-1] if clauses else ""
    )
    for word in sorted((*mentions(asking, lexicon), *lexicon.asking), key=len, reverse=True):
        asking = asking.replace(word, "|" if word in lexicon.asking else "_")
    asked = _QUESTION_WORD.search(asking.replace("|", "几"))
    focus_end = asked.start() if asked else len(asking)
    worst = 0
    for run in re.finditer(r"[\u3400-\u9fff]{2,}", _FUNCTION.sub(lambda part: " " * len(part[0]), asking)):
        pairs = [run[0][at : at + 2] for at in range(len(run[0]) - 1)]
        unheard = [
            pair
            for pair in pairs
            if pair not in lexicon.grams
            and not sounds_like(pair, lexicon)
            and not any(pair in word for word in lexicon.synonyms)
            and not _PARTICLES.intersection(pair)
        ]
        if len(unheard) >= 2 or (unheard and len(pairs) == 1):
            worst = max(worst, 2 if 0 <= focus_end - run.end() <= 2 else 1)
    return worst


def mentions(folded: str, lexicon: Lexicon) -> tuple[str, ...]:
    """The names in a text; of overlapping ones the longest, so that 白金卡 is not also 金卡."""
    found: list[str] = []
    at = 0
    while at < len(folded):
        size = next(
            (
                n
                for n in range(min(lexicon.longest, len(folded) - at), 1, -1)
                if folded[at : at + n] in lexicon.names
            ),
            0,
        )
        if size:
            found.append(folded[at : at + size])
        at += size or 1
    return tuple(dict.fromkeys(found))


_ENGLISH_PERIODS = (
    (re.compile(r"(\d+)[- ]?years?\b"), r" \1年 "),
    (re.compile(r"(\d+)[- ]?months?\b"), r" \1个月 "),
    (re.compile(r"(\d+)[- ]?days?\b"), r" \1天 "),
    (re.compile(r"(\d+)[- ]?(?:periods?|instal\w+)\b"), r" \1期 "),
    (re.compile(r"(?:rmb|cny)\s*(\d)"), r"\1"),
)


def _translated(folded: str, english: Sequence[tuple[str, str]]) -> str:
    """An English question with the terms of the glossary in the documents' words, the longest term first."""
    for pattern, written in _ENGLISH_PERIODS:
        folded = pattern.sub(written, folded)
    for term, word in english:
        folded = re.sub(rf"(?<![a-z]){re.escape(term)}(?:s|es)?(?![a-z])", f" {word} ", folded)
    return folded


def _units(folded: str, lexicon: Lexicon, lang: str) -> tuple[Unit, ...]:
    clauses = [clause for clause in _CLAUSES.split(folded) if clause.strip()]
    asking = [at for at, clause in enumerate(clauses) if _ASKS.search(clause)]
    last = asking[-1] if asking else len(clauses) - 1
    found: dict[tuple[str, ...], Unit] = {}
    for at, clause in enumerate(clauses):
        weight = 1.0 if at == last or len(folded) <= 16 else 0.5 if at in asking else 0.3
        for words, is_name in _clause_words(clause, lexicon, lang):
            unit = found.get(words)
            if unit is None or unit.weight < weight:
                rarity = min(lexicon.rarity(word) for word in words)
                if words[0] in lexicon.asking and not is_name:
                    rarity *= ASKING
                elif lang == "en" and rarity == UNHEARD:
                    rarity = UNHEARD_ENGLISH
                found[words] = Unit(words, weight, is_name, rarity)
    return tuple(found.values())


def _clause_words(clause: str, lexicon: Lexicon, lang: str) -> list[tuple[tuple[str, ...], bool]]:
    words: list[tuple[tuple[str, ...], bool]] = []
    rest: list[str] = []
    at = 0
    while at < len(clause):
        size = next(
            (
                n
                for n in range(min(lexicon.longest, len(clause) - at), 1, -1)
                if (clause[at : at + n] in lexicon.names or clause[at : at + n] in lexicon.synonyms)
                and not _splits_word(clause, at, at + n)
            ),
            0,
        )
        if size:
            word = clause[at : at + size]
            words.append(((word, *lexicon.synonyms.get(word, ())), word in lexicon.names))
            rest.append(" ")
        else:
            rest.append(clause[at])
        at += size or 1
    for run in re.findall(
        r"[\u3400-\u9fff]+|[a-z]+|\d+(?:\.\d+)?%?(?:个月|天|年|期|类|张|元|万)?",
        _without_function("".join(rest)),
    ):
        if "\u3400" <= run[0] <= "\u9fff":
            unheard = 0
            for pair in (run[i : i + 2] for i in range(len(run) - 1)):
                meant = sounds_like(pair, lexicon)
                known = meant or pair in lexicon.grams
                if not known and (pair[0] in _PARTICLES or pair[1] in _PARTICLES):
                    continue
                unheard += not known
                # A long aside in words of another field weighs as much as a short one.
                if known or unheard <= MAX_UNHEARD:
                    words.append(((pair, meant) if meant else (pair,), False))
        elif len(run) > 1 and (lang == "zh" or run not in _ENGLISH_FUNCTION):
            words.append(((run,), False))
    return words


def _splits_word(clause: str, start: int, end: int) -> bool:
    """Whether the stretch would cut a word written in letters: `app` in `applies`."""
    return (
        start > 0
        and clause[start].isascii()
        and clause[start].isalpha()
        and clause[start - 1].isascii()
        and clause[start - 1].isalpha()
    ) or (
        end < len(clause)
        and clause[end - 1].isascii()
        and clause[end - 1].isalpha()
        and clause[end].isascii()
        and clause[end].isalpha()
    )


def _without_function(text: str) -> str:
    return _FUNCTION.sub(" ", text)


_ENGLISH_FUNCTION = frozenset(
    "a an the of for to in on at is are am was be do does did can could may might will would should shall i you he she it we they my "
    "your our their his her its me us them this that these those what which who whom whose when where why how much many long "
    "and or but if then so with without from by as about into than there here have has had get gets got any some please tell "
    "give want need like just know does don't s re ve ll t not no yes per each one up out off over under after before during "
    "day days month months year years quick quickly pay paid through apply applies send sending sent make made go going come coming "
    "now new still really ever only most more less than other another own kind sort way work works working happen happens last "
    "using used use take takes took charge charges still also say says".split()
)
