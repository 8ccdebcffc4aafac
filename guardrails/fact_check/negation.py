"""Whether two sentences say yes and no to the same thing: 可以/不可以, 须/无须, counted/not counted, and/or."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BOUNDS = re.compile(
    r"不(?:得)?(?:低于|少于|超过|高于|多于|大于|小于|足|满)|未满|不限(?:于)?|不(?:同|仅|论|只|管|过|便|断|良|一定|变)|无论|未(?:来|成年|还|出账)|不动户|无(?:障碍|限|人)|免(?:疫|息|密|签|赔|税|提)|除(?:外|非)|没收"
    r"|(?<![a-z])no-[a-z]+|(?:never|not|no longer) expires?|do(?:es)? not expire|no expiry|refus\w+|被拒绝?|拒绝的"
    r"|no (?:more|less|fewer|later|earlier|longer) than|not (?:more|less|fewer|later|exceed\w*|over)|not only|no matter|whether or not|notice|unpaid"
)
_NEGATOR = re.compile(
    r"(?P<zh>不可以|不能够|不需要|不会再|不可|不能|不得|不会|不需|不须|不用|不必|不予|不再|不是|不支持|不允许|不享受|不适用|不提供|不接受|无需|无须|无法|无权|没有|并非|禁止|严禁|拒绝|绝不|从不|未|没|不|无|免(?=于)|非(?=本人|法定)|勿|别(?=[让把给再去在]))"
    r"|(?<![a-z])(?P<en>cannot|can't|won't|don't|doesn't|didn't|isn't|aren't|wasn't|weren't|mustn't|shouldn't|needn't|hasn't|haven't|no longer|not|never|no(?! more| less)|without|neither|nor|unable|prohibited|forbidden|refused?|ineligible|excluded?|excluding|exempt)(?![a-z])"
)
_MODAL = re.compile(
    r"^(?:可以|能够?|需要?|须|必|得|予|再|会|用|是|要|支持|允许|享受|适用|提供|接受|有|被|单独|另行|另|于|进行|计|在)+"
)
_ZH_WORD = re.compile(r"[\u4e00-\u9fff]{2}")
_EN_WORD = re.compile(r"[a-z]{3,}")
_EN_SKIP = frozenset(
    "the any any be have been that this for are and can will with you your use used get make need needs not support supports allowed".split()
)
_TWO_WAY = (
    ("境内", "境外"), ("国内", "国外"), ("国内", "国际"), ("线上", "线下"), ("自动", "手动"), ("首年", "次年"), ("首次", "再次"),
    ("或者", "并且"), ("任意一项", "全部"), ("任意一项", "同时"), ("任一", "同时"), ("其中一项", "两项"), ("提前", "延后"), ("之前", "之后"),
    ("上午", "下午"), ("工作日", "节假日"), ("周末", "工作日"), ("全额", "部分"), ("全部", "部分"), ("所有", "部分"), ("全部", "一半"), ("上浮", "下浮"),
    ("上调", "下调"), ("增加", "减少"), ("汇入", "汇出"), ("转入", "转出"), ("主卡", "附属卡"), ("成人", "儿童"), ("单程", "往返"), ("去程", "返程"),
    ("个人", "企业"), ("个人", "对公"), ("公司", "个人"), ("本人", "他人"), ("本行", "他行"), ("单利", "复利"), ("实时", "次日"), ("当日", "次日"), ("当天", "次日"), ("当月", "次月"),
    ("口头", "书面"), ("起飞前", "起飞后"), ("入住前", "入住后"), ("发货前", "发货后"), ("出发前", "出发后"), ("付款前", "付款后"), ("到期前", "到期后"),
    ("每日", "每月"), ("每月", "每年"), ("每日", "每年"), ("每天", "每月"), ("每周", "每月"), ("最低", "最高"), ("最少", "最多"), ("最短", "最长"), ("以上", "以下"),
    ("自愿", "强制"), ("可选", "必须"), ("仅限", "不限"), ("固定", "浮动"), ("永久", "临时"), ("电子", "纸质"), ("短信", "邮件"), ("电话", "网点"), ("新用户", "老用户"), ("新客户", "老客户"),
    ("随时", "仅"), ("先到先得", "抽签"), ("税前", "税后"), ("含税", "不含税"), ("免费", "付费"), ("手机银行", "网上银行"), ("微信", "支付宝"),
    ("domestic", "overseas"), ("domestic", "international"), ("online", "offline"), ("online", "in person"), ("branch", "app"), ("first", "second"), ("first year", "second year"),
    ("before", "after"), ("and", "or"), ("all", "some"), ("either", "both"), ("maximum", "minimum"), ("highest", "lowest"), ("at least", "at most"),
    ("daily", "monthly"), ("monthly", "yearly"), ("daily", "annual"), ("monthly", "annual"), ("same day", "next day"), ("weekdays", "weekends"), ("one-way", "round-trip"),
    ("always", "never"), ("increase", "decrease"), ("incoming", "outgoing"), ("automatic", "manual"), ("automatically", "manually"), ("temporary", "permanent"), ("prepaid", "postpaid"),
    ("optional", "mandatory"), ("refundable", "non-refundable"), ("full", "half"), ("full", "partial"), ("fully", "partly"), ("individual", "corporate"),
)  # fmt: skip
_SETS = re.compile(r"或者?|且|并且|同时|任意|任一|均|所有|全部|部分")


@dataclass(frozen=True, slots=True)
class Negated:
    """A negator and what it denies: the next characters, or words."""

    object: str
    at: int


def negations(folded: str) -> list[Negated]:
    """What a folded text denies; bounds such as 不超过 are no denial."""
    plain = _BOUNDS.sub(lambda match: " " * len(match[0]), folded)
    found = []
    for match in _NEGATOR.finditer(plain):
        tail = plain[match.end() : match.end() + 24]
        if match["zh"]:
            tail = _MODAL.sub("", tail)
            word = _ZH_WORD.match(tail.strip())
            found.append(Negated(word[0] if word else "", match.start()))
        else:
            words = [w for w in _EN_WORD.findall(plain[match.end() : match.end() + 40]) if w not in _EN_SKIP]
            found.append(Negated(words[0] if words else "", match.start()))
    return found


def denies(claim: str, statement: str) -> str:
    """Same language: what one of the two sentences affirms and the other denies; empty if nothing."""
    ours, theirs = negations(claim), negations(statement)
    for one, other, other_negated in ((claim, statement, theirs), (statement, claim, ours)):
        for negated in ours if one is claim else theirs:
            word = negated.object
            if len(word) < 2:
                continue
            places = _places(other, word)
            if places and not any(_denied(place, other_negated) for place in places):
                if any(_affirmed(one, word, ours if one is claim else theirs)):
                    continue
                return word
    return ""


def _affirmed(text: str, word: str, negated: list[Negated]) -> list[bool]:
    """For a word both affirmed and denied in one sentence there is no telling."""
    return [True for place in _places(text, word) if not _denied(place, negated)]


def _places(text: str, word: str) -> list[int]:
    if word[0].isascii():
        return [match.start() for match in re.finditer(rf"(?<![a-z]){re.escape(word[:6])}", text)]
    return [match.start() for match in re.finditer(re.escape(word), text)]


def _denied(place: int, negated: list[Negated]) -> bool:
    return any(0 <= place - one.at <= 14 for one in negated)


def contrast(claim: str, statement: str, everything: str) -> tuple[str, str] | None:
    """A pair of opposites of which the claim has one and the statement the other."""
    for pair in _TWO_WAY:
        for mine, other in (pair, pair[::-1]):
            if (
                _has(claim, mine)
                and not _has(claim, other)
                and _has(statement, other)
                and not _has(everything, mine)
            ):
                return mine, other
    return None


def _has(text: str, word: str) -> bool:
    if word[0].isascii():
        return re.search(rf"(?<![a-z-]){re.escape(word)}(?![a-z])", text) is not None
    return word in text


def joins(text: str) -> str:
    """`or` or `and` between conditions, where the text says which; else empty."""
    either = re.search(r"或|任意一|任一|其一|之一即可|either|(?<![a-z])or(?![a-z])|any one of", text)
    both = re.search(
        r"且|同时(?:满足|达到|具备|符合)|均须|都要|都须|缺一不可|两项都|两个条件都|both|as well as|(?<![a-z])and(?: also)?(?![a-z])",
        text,
    )
    if either and not both:
        return "or"
    if both and not either:
        return "and"
    return ""
