"""What a claim speaks of that the evidence never does: another product, another fee."""

from __future__ import annotations

import re
from collections.abc import Iterator

from guardrails.fact_check.features import STOP, tokens
from guardrails.fact_check.ground import Ground
from guardrails.fact_check.lexicon import chinese_words, notions, stem

_HAN = re.compile(r"[\u4e00-\u9fff]+")
_GENERAL = re.compile(
    r"可以|选择|即使|哪怕|照样|照常|算出来|总额|能够|需要|必须|应当|应该|无需|无须|如果|只要|只有|才能|就能|便可|即可|一般|通常|目前|现在|我们|您的|您|你们|你|我行|本行|贵行|本公司|我司"
    r"|客户|用户|消费者|大家|任何|每个|各个|一共|总共|共计|合计|总计|具体|标准|规定|情况|时间|期限|期间|时候|时段|金额|数额|价格|费用|手续费|收费|价钱|钱款|费率|资费"
    r"|比例|之后|之前|以后|以前|之内|以内|之间|之日|以上|以下|超过|不超|达到|不足|不到|未满|最高|最低|最多|最少|最长|最短|至多|至少|上限|下限|封顶|左右"
    r"|大约|大概|完成|进行|办理|享受|享有|提供|支付|缴纳|交纳|收取|收到|要求|属于|包括|包含|含有|设有|开始|起算|起计|计算|计收|计为|执行|实施|施行|有效"
    r"|适用|针对|对于|关于|根据|按照|按|依照|通过|使用|采用|设定|定为|统一|分别|均为|都是|都要|就是|则是|即为|还是|仍然|依然|继续|另外|此外|同时|而且"
    r"|并且|或者|以及|其中|其他|这个|那个|这些|该项|此项|有关|相关|所有|全部|一律|可享|可获|可得|获得|得到|给予|给出|花费|消耗|扣除|扣收|扣|收|付|交|花"
    r"|产生|发生|存在|就算|也算|算作|视为|作为|成为|变为|改为|可选|可选择|随时|立即|马上|尽快|当场|一次|一个|一天|一年|一月|每月|每年|每日|每天|每次|每笔"
    r"|每张|单笔|单次|高于|低于|多于|少于|等于|相当于|相等|相同|一样|不同|比较|更高|更低|更多|更少|更长|更短|便宜|贵|高|低|多|少|长|短|快|慢|大|小|早|晚"
    r"|允许|支持|禁止|不得|不能|不可|没有|无法|答复|回复|答|到|出|入|来|去|做|打|拿|给|让|使|把|被|向|从|往|跟|同|随|因|因为|由于|所以|因此|为了|为止|为限"
)
_PLAIN = frozenset(
    "的是为了在和与及或可须需应每该本其此这那您你我他她它请由从自将会能要到后前内外起满约总共各均都也还又就才只仅不未无没一二两三几个以上下中里时日月年天分号次笔元免算有者等至于对而且但则即便让再所如若当若凡各档级名位件份人"
)
_GENERAL_EN = frozenset(
    map(
        stem,
        "cost costs charge charged fee fees price paid pay payable pays take takes last lasts run runs start starts begin end ends "
        "receive receives gets earn earns customer customers client clients user users people person anyone everyone "
        "applicant available allowed possible valid total amount amounts number equal equals worth amounting "
        "currently always never only exactly around approximately about roughly directly still again than then "
        "within once twice full free set sets limited limit limits maximum minimum highest lowest most least "
        "daily monthly annual annually yearly weekly weeks days months years hours minutes time times period long longer "
        "higher lower cheaper more less greater same equal different every each any all some both first second "
        "use used using have having give given allow allows offer offers offered provide provides provided carry carries "
        "come comes apply applies applied count counts counted includes included including exclude excluded require requires "
        "please note yes no not cannot bank company service services account rule rules new later earlier day week month year "
        "hour minute make makes made go goes stay must shall must may might could would hold holds keep keeps "
        "ask asked contact done finished complete completed issue issued calculated charged deducted levied reach reaches reached "
        "held been least unless until because since while where which whose upon against without though however therefore "
        "one two three four five six seven eight nine ten half quarter dozen hundred thousand million first third".split(),
    )
)
_COMMON_NOTIONS = frozenset(
    f"@{name}"
    for name in "fee annual monthly daily weekly each rate limit most least total amount period person first next condition valid "
    "free due account card free deadline extra own primary shop goods spend notice early change apply repay keep merge business "
    "bill statement customer service success hours".split()
)


def novel_words(plain: str, ground: Ground, *, across: bool) -> tuple[str, ...]:
    """The content words of a text, values blanked, that the evidence has neither as words nor as notions."""
    if across:
        return tuple(sorted(_novel_notions(plain, ground)))
    return tuple(dict.fromkeys([*_chinese(plain, ground), *_english(plain, ground)]))


def _novel_notions(plain: str, ground: Ground) -> set[str]:
    found: dict[int, set[str]] = {}
    for token in tokens(plain):
        if token.feature[0] == "@":
            found.setdefault(token.start, set()).add(token.feature)
    # A word with several notions is known where one of them is.
    return {
        min(names) for names in found.values() if not names & ground.pairs and not names & _COMMON_NOTIONS
    }


def _chinese(plain: str, ground: Ground) -> Iterator[str]:
    for run in _HAN.finditer(plain):
        known = known_places(run[0], ground)
        for at, length, names in chinese_words(run[0], notions()):
            strange = not any(name in ground.pairs or name in _COMMON_NOTIONS for name in names)
            if (
                strange
                and length > 1
                and not any(run[0][i : i + 2] in ground.pairs for i in range(at, at + length - 1))
            ):
                yield run[0][at : at + length]
        start = None
        for at in range(len(run[0]) + 1):
            fresh = at < len(run[0]) and not known[at]
            if fresh and start is None:
                start = at
            elif not fresh and start is not None:
                piece = run[0][start:at].strip("".join(_PLAIN))
                if len(piece) >= 2:
                    yield piece
                start = None


def known_places(run: str, ground: Ground) -> list[bool]:
    """Which characters belong to something the evidence says, or to words that say nothing by themselves."""
    known = [False] * len(run)
    for at in range(len(run) - 1):
        if run[at : at + 2] in ground.pairs:
            known[at] = known[at + 1] = True
    for at, length, names in chinese_words(run, notions()):
        if any(name in ground.pairs for name in names):
            known[at : at + length] = [True] * length
    for word in _GENERAL.finditer(run):
        known[word.start() : word.end()] = [True] * len(word[0])
    return known


def _english(plain: str, ground: Ground) -> Iterator[str]:
    words: dict[str, set[str]] = {}
    for token in tokens(plain):
        text = plain[token.start : token.end]
        if text.isascii() and " " not in text:
            words.setdefault(text, set()).add(token.feature)
    for word, names in words.items():
        if word in STOP or stem(word) in _GENERAL_EN or len(word) < 3:
            continue
        if not names & ground.pairs and not any(_kin(word, other) for other in ground.words):
            yield word


def _kin(word: str, other: str) -> bool:
    """rental and rented, cancellation and cancelled."""
    shared = min(len(word), len(other))
    least = max(4, shared - 2)
    return shared >= 4 and word[:least] == other[:least]
