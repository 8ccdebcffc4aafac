"""What a question asks for, cut into units that are looked for one by one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

import rjieba
import yaml

from guardrails.answers.folding import fold, stem
from guardrails.answers.lexicon import ALIKE, SAME, SYNONYM, UNHEARD, Lexicon
from guardrails.answers.period import PERIOD, english_periods, is_period, period_ways
from guardrails.answers.sound import repair, sounds_like, spell_out
from guardrails.language import detect
from guardrails.message import Message

NAME, KNOWN, NOUN, VERB, OTHER = "name", "known", "noun", "verb", "other"
_NOUNS = ("n", "eng", "l", "j", "i", "s", "q", "z")
"""Tags of the segmenter that a topic may have; v and a are verbs, the rest is neither."""
_CLAUSES = re.compile(r"[，。？！；,?!;\n]+|\.(?=\s|$)")
_ASKS = re.compile(
    r"多少|什么|怎么|怎样|如何|吗|几|哪|多久|能不能|可不可以|是否|能否|要不要|收不收|算不算|[？?]|呢|多长|多大|多高|不$|没有$|没$|么$|行不行"
    r"|\b(?:what|how|which|when|where|who|can|do|does|is|are|will)\b"
)
_FUNCTION = re.compile(
    r"请问一下|请问|我想问一下|我想问|想问一下|想问|帮我|麻烦|告诉我|的话|能不能|可不可以|要不要|收不收|算不算|是不是|有没有|会不会|行不行"
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
"""What neither glossary nor dictionary knows: half of it is small talk."""
CLOSE = 0.8
"""What the closest word of the documents counts, times its cosine."""
MAX_STRANGE = 6
"""Unknown words that are looked up by their meaning: each takes some milliseconds."""
SHORT = 12
"""Characters of a question too short to stand alone, if another went before."""
EARLIER = 0.7
"""What a word of the question before counts where the last one leans on it."""
_FOLLOW_UP = re.compile(
    r"^(?:那|那么|如果是|换成|改|and\b|what about|how about)|呢[？?]?$|也(?:是|这么|一样|要)|(?:that|it|one)\?*$"
)
_TOKEN = re.compile(r"[\u3400-\u9fff]+|[a-z]+(?:'[a-z]+)?|\d+(?:\.\d+)?%?(?:个月|天|年|期|类|张|元|万)?")


@dataclass(frozen=True, slots=True)
class Unit:
    """A word that is looked for. `ways` to write it, each with what it counts, the customer's own first."""

    ways: tuple[tuple[str, float], ...]
    weight: float
    is_name: bool
    rarity: float
    sort: str = KNOWN
    """KNOWN, or for a word no document has what it is: NOUN, VERB, OTHER."""
    near: float = 1.0
    """How close the documents' closest word comes to one they do not have."""

    @property
    def word(self) -> str:
        """As the customer wrote it."""
        return self.ways[0][0]


@dataclass(frozen=True, slots=True)
class Question:
    """The last question of a conversation. `names` are those of the knowledge base that it mentions."""

    text: str
    folded: str
    lang: str
    units: tuple[Unit, ...]
    names: tuple[str, ...]
    follows_up: bool = False


Nearest = Callable[[Sequence[str]], Mapping[str, tuple[tuple[str, float], ...]]]
"""The documents' words closest to words they do not have."""


def understand(messages: Sequence[Message], lexicon: Lexicon, nearest: Nearest) -> Question:
    """Read the last user message, and what it leaves unsaid from the user's messages before it."""
    asked = [message.content for message in messages if message.role == "user"]
    question = _settled(_read(asked[-1] if asked else "", lexicon), lexicon, nearest)
    if len(asked) < 2:
        return question
    before = _read(asked[-2], lexicon)
    if not (_FOLLOW_UP.search(question.folded) or len(question.folded) <= SHORT):
        return _with_earlier(question, before.units, 0.3, lexicon)
    substituted = substitute(before, question, lexicon)
    if substituted == before.folded:
        return replace(_with_earlier(question, before.units, EARLIER, lexicon), follows_up=True)
    meant = _settled(_read(substituted, lexicon), lexicon, nearest)
    meant = replace(
        meant, text=substituted, lang=question.lang, names=tuple(dict.fromkeys(meant.names + question.names))
    )
    own = [unit for unit in question.units if unit.sort == KNOWN]
    return _with_earlier(meant, own, EARLIER, lexicon)


def substitute(before: Question, later: Question, lexicon: Lexicon) -> str:
    """The earlier question with the later one's product or period in the place of its own; itself if there is none."""
    text = before.folded
    for name in later.names:
        beside = lexicon.siblings.get(name, frozenset())
        for old in sorted(before.names, key=len, reverse=True):
            if old in beside and old not in later.names:
                written = next((unit.word for unit in before.units if old in _names_in(unit, lexicon)), old)
                text = text.replace(written if written in text else old, name)
    period = next((unit.word for unit in later.units if is_period(unit.word)), "")
    return PERIOD.sub(period, text, count=1) if period else text


def _with_earlier(question: Question, units: Sequence[Unit], share: float, lexicon: Lexicon) -> Question:
    """With words of another message of the conversation that the question does not have."""
    said = {word for unit in question.units for word, _ in unit.ways}
    kept = tuple(
        replace(unit, weight=unit.weight * share)
        for unit in units
        if unit.rarity not in {UNHEARD, UNHEARD_ENGLISH}
        and not said.intersection(word for word, _ in unit.ways)
        and not _replaced(unit, question, lexicon)
    )
    return replace(question, units=question.units + kept)


def _replaced(unit: Unit, question: Question, lexicon: Lexicon) -> bool:
    """Whether the later question names another of the same kind: another period, another product."""
    own = _names_in(unit, lexicon)
    if own:
        beside = frozenset().union(*(lexicon.siblings.get(name, frozenset()) for name in own))
        return bool(beside.intersection(question.names))
    return is_period(unit.word) and any(is_period(one.word) for one in question.units)


def _read(text: str, lexicon: Lexicon) -> Question:
    lang = detect(text)
    folded = repair(spell_out(fold(text), lexicon), lexicon)
    if lang == "en":
        folded = english_periods(folded)
    units = _units(folded, lexicon, lang)
    named = [name for unit in units for name in _names_in(unit, lexicon)]
    names = tuple(dict.fromkeys((*mentions(folded, lexicon), *named)))
    return Question(text, folded, lang, units, names)


def _names_in(unit: Unit, lexicon: Lexicon) -> Sequence[str]:
    """The documents' names for a word: its own, or the only one the glossary puts in its place."""
    own = [word for word, share in unit.ways if share == SAME and word in lexicon.names]
    others = [word for word, share in unit.ways if share == SYNONYM and word in lexicon.names]
    return own or (others if len(others) == 1 else [])


def _settled(question: Question, lexicon: Lexicon, nearest: Nearest) -> Question:
    """With the documents' closest words for those they do not have."""
    strange = [unit.word.strip() for unit in question.units if unit.sort != KNOWN][:MAX_STRANGE]
    if not strange:
        return question
    close = nearest(strange)
    units = []
    for unit in question.units:
        if unit.sort == KNOWN:
            units.append(unit)
            continue
        found = close.get(unit.word.strip(), ())
        likest = max((share for word, share in unit.ways[1:] if lexicon.count(word)), default=0.0)
        ways = tuple((f" {word} " if word.isascii() else word, CLOSE * near) for word, near in found)
        rarity = min((unit.rarity, *(lexicon.rarity(word) for word, _ in ways)))
        near = max((likest, *(near for _, near in found)))
        units.append(replace(unit, ways=unit.ways + ways, rarity=rarity, near=near))
    return replace(question, units=tuple(units))


def mentions(folded: str, lexicon: Lexicon) -> tuple[str, ...]:
    """The names in a text; of overlapping ones the longest, so that 白金卡 is not also 金卡."""
    found: list[str] = []
    at = 0
    while at < len(folded):
        size = _known_size(folded, at, lexicon, names_only=True)
        if size:
            found.append(folded[at : at + size])
        at += size or 1
    return tuple(dict.fromkeys(found))


def _known_size(text: str, at: int, lexicon: Lexicon, *, names_only: bool = False) -> int:
    """Length of the longest known word that begins at `at`, else 0."""
    words = lexicon.names if names_only else lexicon.words
    for size in range(min(lexicon.longest, len(text) - at), 1, -1):
        if text[at : at + size] in words and not _splits_word(text, at, at + size):
            return size
    return 0


def _splits_word(clause: str, start: int, end: int) -> bool:
    """Whether the stretch would cut a word written in letters: `app` in `applies`."""
    return (start > 0 and _is_letter(clause[start]) and _is_letter(clause[start - 1])) or (
        end < len(clause) and _is_letter(clause[end - 1]) and _is_letter(clause[end])
    )


def _is_letter(char: str) -> bool:
    return char.isascii() and char.isalpha()


def _units(folded: str, lexicon: Lexicon, lang: str) -> tuple[Unit, ...]:
    clauses = [clause for clause in _CLAUSES.split(folded) if clause.strip()]
    asking = [at for at, clause in enumerate(clauses) if _ASKS.search(clause)]
    last = asking[-1] if asking else len(clauses) - 1
    found: dict[str, Unit] = {}
    for at, clause in enumerate(clauses):
        weight = 1.0 if at == last or len(folded) <= 16 else 0.5 if at in asking else 0.3
        for ways, sort in _clause_words(clause, lexicon, lang):
            unit = found.get(ways[0][0])
            if unit is None or unit.weight < weight:
                is_name = sort == NAME
                rarity = _rarity(ways, is_name, lexicon, lang)
                found[ways[0][0]] = Unit(ways, weight, is_name, rarity, KNOWN if is_name else sort)
    return tuple(found.values())


def _rarity(ways: Sequence[tuple[str, float]], is_name: bool, lexicon: Lexicon, lang: str) -> float:
    rarity = min(lexicon.rarity(word) for word, _ in ways)
    if ways[0][0] in lexicon.asking and not is_name:
        return rarity * ASKING
    return UNHEARD_ENGLISH if lang == "en" and rarity == UNHEARD else rarity


_Ways = tuple[tuple[str, float], ...]


def _is_heard(ways: _Ways, lexicon: Lexicon) -> bool:
    """Whether the documents have the word or one the glossary puts in its place; the dictionary alone is no proof."""
    return any(share > ALIKE and lexicon.count(word) for word, share in ways)


def _clause_words(clause: str, lexicon: Lexicon, lang: str) -> Iterator[tuple[_Ways, str]]:
    rest: list[str] = []
    at = 0
    while at < len(clause):
        size = _known_size(clause, at, lexicon)
        if size:
            word = clause[at : at + size]
            ways = lexicon.ways(word)
            if word.isascii():
                ways = ((" ".join(("", *map(stem, word.split()), "")), SAME), *ways)
            yield ways, NAME if word in lexicon.names else KNOWN if _is_heard(ways, lexicon) else NOUN
            rest.append("|")
        else:
            rest.append(clause[at])
        at += size or 1
    tokens = _TOKEN.findall(_FUNCTION.sub("|", "".join(rest)))
    latin: list[str] = []
    for token in tokens:
        if "a" <= token[0] <= "z":
            latin.append(token)
            continue
        yield from _latin_words(latin, lexicon, lang)
        latin = []
        if "\u3400" <= token[0] <= "\u9fff":
            yield from _chinese_words(token, lexicon)
        elif len(token) > 1:
            yield period_ways(token), KNOWN
    yield from _latin_words(latin, lexicon, lang)


def _chinese_words(run: str, lexicon: Lexicon) -> Iterator[tuple[_Ways, str]]:
    """Chinese that is no known word: the segmenter's words, or their pairs of characters where those are heard."""
    singles = ""
    unheard = 0
    for word, tag in (*rjieba.tag(run), ("", "")):
        if len(word) == 1:
            singles += word
            continue
        yield from _heard_pairs(singles, lexicon)
        singles = ""
        if not word:
            continue
        pairs = [word[at : at + 2] for at in range(len(word) - 1)]
        if lexicon.count(word):
            yield lexicon.ways(word), KNOWN
        elif len(word) > 2 and all(pair in lexicon.grams for pair in pairs):
            yield from _heard_pairs(word, lexicon)
        elif meant := sounds_like(word, lexicon) if len(word) == 2 else "":
            yield ((word, SAME), (meant, SYNONYM)), KNOWN
        elif _PARTICLES.isdisjoint(word) or tag in {"l", "nz"}:
            unheard += 1
            # A long aside in words of another field weighs as much as a short one.
            if unheard <= MAX_UNHEARD:
                yield ((word, SAME),), _sort(tag)
            yield from _heard_pairs(word, lexicon)


def _heard_pairs(run: str, lexicon: Lexicon) -> Iterator[tuple[_Ways, str]]:
    for pair in (run[at : at + 2] for at in range(len(run) - 1)):
        if pair in lexicon.grams:
            yield ((pair, SAME),), KNOWN
        elif meant := sounds_like(pair, lexicon):
            yield ((pair, SAME), (meant, SYNONYM)), KNOWN


def _sort(tag: str) -> str:
    return NOUN if tag.startswith(_NOUNS) or tag == "vn" else VERB if tag.startswith(("v", "a")) else OTHER


def _latin_words(words: Sequence[str], lexicon: Lexicon, lang: str) -> Iterator[tuple[_Ways, str]]:
    """English words, the longest known terms of up to four first."""
    stems = [stem(word) for word in words]
    at = 0
    while at < len(words):
        for size in range(min(4, len(words) - at), 0, -1):
            term = " ".join(stems[at : at + size])
            chinese = lexicon.english.get(term, ())
            others = (
                ()
                if size == 1 and words[at] in function_words()
                else lexicon.dictionary.chinese.get(term, ())
            )
            if not chinese and not others:
                continue
            ways = {f" {term} ": SAME} | dict.fromkeys(chinese, SAME)
            for word in others:
                ways.setdefault(word, SYNONYM)
            for word in (*chinese, *others):
                for other in lexicon.synonyms.get(word, ()):
                    ways.setdefault(other, ALIKE)
            heard = any(lexicon.count(word) for word in ways)
            sort = NAME if any(word in lexicon.names for word in chinese) else KNOWN if heard else NOUN
            yield tuple(ways.items())[:24], sort
            break
        else:
            size = 1
            if len(words[at]) > 1 and (lang == "zh" or words[at] not in function_words()):
                term = f" {stems[at]} "
                yield ((term, SAME),), KNOWN if lexicon.count(term) else NOUN
        at += size


def function_words() -> frozenset[str]:
    """English words that say nothing of what is asked."""
    return _ENGLISH_FUNCTION


_ENGLISH_FUNCTION = frozenset(
    yaml.safe_load(files("guardrails.answers").joinpath("synonyms.yaml").read_text(encoding="utf-8"))[
        "function"
    ].split()
)
