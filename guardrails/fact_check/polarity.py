"""What a clause denies: 不予退票, 禁止施工, cannot be returned, is closed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

from guardrails.fact_check.features import features, tokens
from guardrails.fact_check.lexicon import chinese_words, stem
from guardrails.fact_check.lexicon import denials as denying_words

# Words with a negation in them that denies nothing: bounds, set phrases, terms.
_HARMLESS = re.compile(
    r"不(?:得)?(?:低于|少于|超过|高于|多于|大于|小于|晚于|早于|足|满)|未满|不限(?:于)?|不(?:同|仅|论|只|管|过|便|断|良|一定|变|动产|锈钢|含税)"
    r"|无(?:论|障碍|限|人|息|理由|线|忧|卡|纸)|未(?:来|成年|还|出账|支取|付|婚|使用|入账|到期|按|及时|能)|免(?:疫|息|密|签|赔|税|提)|除(?:外|非)|没收|非(?:常|现场)|没有的|不动户|若不|如不|不然"
    r"|(?<![a-z])no-[a-z]+|no (?:more|less|fewer|later|earlier|longer) than|not (?:more|less|fewer|later|exceed\w*|over)|not only"
    r"|no matter|whether or not|notice|unpaid|no later|if not|not yet"
)
_ASIDE = re.compile(r"[（(][^（）()]{0,40}[）)]")
_NEGATOR = re.compile(
    r"(?P<zh>不可以|不能够|不需要|不会再|不可|不能|不得|不会|不需|不须|不用|不必|不予|不再|不是|不支持|不允许|不享受|不适用|不提供|不接受|不准"
    r"|无需|无须|无法|无权|没有|并非|禁止|严禁|谢绝|拒绝|绝不|从不|未|没|不|无|免(?=于)|勿)"
    r"|(?<![a-z])(?P<en>cannot|can't|won't|don't|doesn't|didn't|isn't|aren't|wasn't|weren't|mustn't|shouldn't|needn't|hasn't|haven't"
    r"|avoids?|avoiding|no longer|not|never|no|without|neither|nor|unable|ineligible|exempt from|free from)(?![a-z])"
    r"|(?<![a-z])(?P<ban>(?:is|are|be|strictly)? ?(?:prohibited|forbidden|banned|refused|excluded|disallowed|non-[a-z]+able))(?![a-z])"
    r"|(?<![a-z])(?P<less>[a-z]{4,})-free(?![a-z])"
)
_MODAL = re.compile(
    r"^(?:了|到|成|产生|收取|发生|造成|构成|累计|累积|积累|办理|可以|能够?|需要?|须|必|得|予以?|再|会|用|是|要|支持|允许|享受|适用|提供|接受|有|被|单独|另行|另|于|进行|计(?!入|算|息|收)|在|任何|其他|给予|承担|参与|作为)+"
)
_WEAK = frozenset(
    word
    for one in "be been any the a an to of for by in on at is are have has that this it you your will can may need require allow permit "
    "possible available support necessary make use get there and or from with".split()
    for word in (one, stem(one), stem(one + "d"), stem(one + "ed"))
)
_PASSIVE = re.compile(r"(?:is|are|was|were|be) not|isn't|aren't|wasn't|weren't|cannot|can't|can not|may not")
_IS = re.compile(r"(?<!在)(?:在|属于?|算|列入)(?!线|途|职|校|乎)")
_MOST = 12  # denials of one clause that are looked at
_BLANK = re.compile(r"\s{3,}")
_BARRED = frozenset(
    "不能 不可 不可以 不得 不予 不支持 不允许 不准 无法 禁止 严禁 不能够 无权 不受理 不提供".split()
)
_EN_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")
_HAN = re.compile(r"[\u3400-\u9fff]{1,4}")
_HAN_LIST = re.compile(r"[\u3400-\u9fff]{1,8}(?:[、和及或][\u3400-\u9fff]{2,12})+")
_IN_LIST = re.compile(r"[、和及与或]")
_ABLE = re.compile(r"(?:non-|in|un|im)?([a-z]{3,})(?:able|ible)$")


@dataclass(frozen=True, slots=True)
class Denial:
    """`denied`: the features of the denied word; of the whole clause where that word is a `weak` one.

    `passive`: what is denied is said of the clause's subject: damage is not covered.
    """

    at: int
    denied: frozenset[str]
    weak: bool = False
    passive: bool = False


def denials(plain: str, offset: int = 0) -> tuple[Denial, ...]:
    """What a clause denies; bounds such as 不超过 deny nothing. `plain` has its values blanked."""
    text = _ASIDE.sub(lambda match: " " * len(match[0]), plain)
    text = _HARMLESS.sub(lambda match: " " * len(match[0]), text)
    found = []
    for match in islice(_NEGATOR.finditer(text), _MOST):
        if match["zh"] and _IS.match(text, match.end()):
            denied: frozenset[str] = frozenset()
        elif match["zh"]:
            denied = _chinese_object(text[match.end() : match.end() + 40])
        elif match["less"]:
            denied = _word_features(match["less"])
        elif match["en"]:
            denied = _english_object(text[match.end() : match.end() + 60])
        else:
            denied, subject = _banned(match[0], text, match.start(), match.end())
            if subject:
                found.append(Denial(offset + match.start(), denied, weak=True))
                continue
        at = offset + match.start()
        passive = (
            match[0] in _BARRED or _PASSIVE.search(text, max(0, match.start() - 6), match.end()) is not None
        )
        found.append(Denial(at, denied, passive=passive) if denied else Denial(at, features(text), weak=True))
    found += _by_word(text, offset)
    return tuple(found)


def _chinese_object(tail: str) -> frozenset[str]:
    rest = _MODAL.sub("", tail.lstrip()).lstrip()
    listed = _HAN_LIST.match(rest)
    if listed is not None:
        return frozenset().union(*(_denied_word(word) for word in _IN_LIST.split(listed[0]) if word))
    run = _HAN.match(rest)
    return _denied_word(run[0]) if run is not None else frozenset()


def _denied_word(word: str) -> frozenset[str]:
    found = {word[at : at + 2] for at in range(min(2, len(word) - 1))} or {word}
    return frozenset(
        found | {token.feature for token in tokens(word) if token.feature[0] in "@&" and token.start == 0}
    )


def _english_object(tail: str) -> frozenset[str]:
    for word in _EN_WORD.finditer(tail):
        if stem(word[0]) in _WEAK or word[0] in _WEAK:
            continue
        return _word_features(word[0])
    return frozenset()


def _word_features(word: str) -> frozenset[str]:
    able = _ABLE.match(word)
    return frozenset(token.feature for token in tokens(able[1] if able else word)) | {stem(word)}


def _banned(words: str, text: str, start: int, end: int) -> tuple[frozenset[str], bool]:
    """Smoking is prohibited; it is prohibited to smoke; non-refundable. Whether it is the subject that is denied."""
    if "non-" in words:
        return _word_features(words[words.index("non-") + 4 :]), False
    before = [word[0] for word in _EN_WORD.finditer(text[:start]) if stem(word[0]) not in _WEAK]
    if before:
        return frozenset().union(*(_word_features(word) for word in before[-3:])), True
    return _english_object(text[end : end + 60]), False


def _by_word(text: str, offset: int) -> list[Denial]:
    """关闭 denies 开放, closed denies open."""
    found: list[Denial] = []
    if _BLANK.search(text):
        return found  # 22:00 关门, closes at 11 p.m.: hours, which are values
    words = denying_words()
    for run in re.finditer(r"[\u3400-\u9fff]+", text):
        for at, _, names in chinese_words(run[0], words):
            found.append(Denial(offset + run.start() + at, frozenset(names)))
    for word in _EN_WORD.finditer(text):
        names = words.english.get(stem(word[0]), ())
        if names:
            found.append(Denial(offset + word.start(), frozenset(names)))
    return found
