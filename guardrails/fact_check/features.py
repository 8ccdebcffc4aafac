"""What a stretch of text is about: character pairs, word stems and everyday notions, numbers left out."""

from __future__ import annotations

import re

from guardrails.fact_check.lexicon import en_concepts, stem, zh_concepts

_RUN = re.compile(r"[\u3400-\u9fffⅠ-Ⅻ]+|[a-z][a-z']*(?:\d+)?")
_FILLER = re.compile(
    r"可以|可|需要|需|必须|须|应当|应该|如果|的话|一般|通常|目前|现在|我们|您|你|我行|本行|我司|本公司|大约|约|以及|或者|而且|并且|同时|其中"
    r"|就是|则是|即为|均为|都是|都|均|分别|进行|相关|有关|对于|关于|按照|根据|目前|标准|规定|情况|什么|多少|这个|那个|该|此|其|也|还|又|就|才|只|仅"
    r"|收取|收|为|是|的|了|在|有|和|与|及|或|而|并|且|但|将|会|能|要|被|把|由|从|向|到|至|对|以|按|每|各|个|元|第|起|内|后|前|满|达|不|未|无|没|免|算|用|给|让|呢|吗|啊|吧|哦|，|。"
)
_STOP = frozenset(
    "a an the of to in on for and or is are be been was were it its this that these those with at by from as your "
    "you our we i will would can may must should has have had do does did not no if when than then there their they "
    "which who whom what each per any all so also only just about into within after before up least most more less "
    "under over costs cost".split()
)


def features(folded: str) -> frozenset[str]:
    """The features of a folded text whose values have been blanked."""
    found: set[str] = set()
    chinese = False
    for run in _RUN.finditer(folded):
        word = run[0]
        if word[0].isascii():
            if word in _STOP:
                found.update(en_concepts(stem(word)))
                continue
            stemmed = stem(word)
            found.add(stemmed)
            found.update(en_concepts(stemmed))
            continue
        chinese = True
        for piece in _FILLER.split(word):
            if len(piece) == 1:
                found.add(piece)
            found.update(piece[i : i + 2] for i in range(len(piece) - 1))
    if chinese:
        found.update(zh_concepts(folded))
    return frozenset(found)


def notions(found: frozenset[str]) -> frozenset[str]:
    """What of it can be compared across languages."""
    return frozenset(one for one in found if one[0] == "@")
