"""What a text speaks of, word by word with its place: character pairs, stems, notions. Numbers are left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from guardrails.fact_check.lexicon import (
    Vocabulary,
    affirmations,
    all_words,
    chinese_words,
    notions,
    opposites,
    stem,
)

_RUN = re.compile(r"[\u3400-\u9fffⅠ-Ⅻ]+|[a-z][a-z']*(?:-[a-z]+)*\d*")
_FILLER = re.compile(
    r"可以|需要|必须|应当|应该|如果|的话|一般|通常|目前|现在|我们|您|你|我行|我司|大约|以及|或者|而且|并且|同时|其中|就是|则是|即为|均为|都是"
    r"|分别|进行|相关|有关|对于|关于|按照|根据|标准|规定|情况|什么|多少|这个|那个|上述|下列|以下简称|收取|是否|之日|以便|予以"
    r"|[的了和与及或且但呢吗吧啊哦也还又就才只仅是为在将被把均都约则该此其须需应请可能会得不未无没已并着过]"
)
_KEPT = re.compile(
    r"会员|会议|能力|功能|可用|可选|过期|过户|超过|经过|通过|可靠|认可|得分|获得|所得|应用|需求|在校|在线|在途|在职|仅限|只限"
)
_AROUND = re.compile(r"([\u3400-\u9fff])[（(][^（）()]{0,40}[）)]([\u3400-\u9fff])")
STOP = frozenset(
    "a an the of to in on for and or is are be been was were it its this that these those with at by from as your "
    "you our we i will would can may must shall should could has have had do does did not no nor if when than then "
    "there their they them which who whom what each per any also only just about into within up so such "
    "least most more less fewer under over cost take get make apply applies after before during between via "
    "one's need require required needs per either both other upon".split()
)


@dataclass(frozen=True, slots=True)
class Token:
    """A feature and where in the folded text it begins and ends."""

    start: int
    end: int
    feature: str


def tokens(plain: str) -> tuple[Token, ...]:
    """The features of a folded text whose values are blanked, in order."""
    found: list[Token] = []
    english: list[tuple[str, int, int]] = []
    for run in _RUN.finditer(plain):
        word = run[0]
        if word[0].isascii():
            english.append((stem(word), run.start(), run.end()))
            if word not in STOP:
                found.append(Token(run.start(), run.end(), stem(word)))
            if "-" in word:
                at = run.start()
                for part in word.split("-"):
                    english.append((stem(part), at, at + len(part)))
                    if part not in STOP and len(part) > 1:
                        found.append(Token(at, at + len(part), stem(part)))
                    at += len(part) + 1
            continue
        found.extend(_pairs(word, run.start()))
        for vocabulary in (notions(), opposites(), affirmations()):
            found.extend(_named(word, run.start(), vocabulary))
    for vocabulary in (notions(), opposites(), affirmations()):
        found.extend(_english(english, vocabulary))
    # 犹豫期（15日）内 speaks of 期内.
    found.extend(Token(one.start(), one.start() + 1, one[1] + one[2]) for one in _AROUND.finditer(plain))
    found.sort(key=lambda one: one.start)
    return tuple(found)


def _pairs(run: str, offset: int) -> Iterator[Token]:
    """Character pairs between words that carry no meaning of their own."""
    start = 0
    kept = {at for word in _KEPT.finditer(run) for at in range(*word.span())}
    for filler in [*_FILLER.finditer(run), None]:
        end = len(run) if filler is None else filler.start()
        if filler is not None and filler.start() in kept:
            continue
        piece = run[start:end]
        if len(piece) == 1:
            yield Token(offset + start, offset + end, piece)
        for at in range(len(piece) - 1):
            yield Token(offset + start + at, offset + start + at + 2, piece[at : at + 2])
        start = len(run) if filler is None else filler.end()


def _named(run: str, offset: int, vocabulary: Vocabulary) -> Iterator[Token]:
    for at, length, names in chinese_words(run, vocabulary):
        for name in names:
            yield Token(offset + at, offset + at + length, name)


def _english(words: list[tuple[str, int, int]], vocabulary: Vocabulary) -> Iterator[Token]:
    for index, (word, start, end) in enumerate(words):
        following = words[index + 1] if index + 1 < len(words) else None
        if following is not None and following[1] - end <= 1:
            for name in vocabulary.phrases.get((word, following[0]), ()):
                yield Token(start, following[2], name)
        for name in vocabulary.english.get(word, ()):
            yield Token(start, end, name)


def features(plain: str) -> frozenset[str]:
    """The features of a folded text whose values have been blanked."""
    return frozenset(token.feature for token in tokens(plain))


def shared_by_languages(found: Iterable[str]) -> frozenset[str]:
    """What of it can be compared across languages: notions, opposites and values."""
    return frozenset(one for one in found if one[0] in "@~&#")


@cache
def opposite_features() -> dict[str, frozenset[str]]:
    """By group of opposites: every feature of its words."""
    found: dict[str, set[str]] = {}
    for words, names in all_words(opposites()):
        for name in names:
            group = found.setdefault(name.partition(":")[0], set())
            group.update(token.feature for token in tokens(words))
    return {group: frozenset(names) for group, names in found.items()}
