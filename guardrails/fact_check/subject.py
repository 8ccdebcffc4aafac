"""Whether a sentence speaks of another subject than the statement it resembles: 金卡 for 普卡, Gold for Classic."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

_GROUPS = (
    ("gold", "platinum", "diamond", "silver", "ordinary", "student"),
    ("domestic", "abroad"),
    ("online", "offline", "machine"),
    ("child", "adult"),
    ("primary", "extra"),
    ("temporary", "fixed"),
    ("weekday", "weekend"),
)
_EXCLUSIVE = tuple(frozenset(f"@{name}" for name in group) for group in _GROUPS)
_LONGEST = 240
_PLAIN = frozenset(
    "的是为了在和与及或可须需应每该本其此这那您你我他她它请由从自被把将会能要到给后前内外起满达约共总各均都也还又就才只仅不未无没一"
)
_WORDS = re.compile(
    r"收取|收费|费用|手续费|支付|需要|必须|可以|办理|申请|金额|标准|规定|时间|期限|期间|客户|用户|用卡|持卡|银行|公司|之后|之前|以内|以后|享受|享有|提供|进行|完成|使用|最高|最低|最多|最少|最长|最短|不超过|至多|至少"
    r"|百分|每笔|每次|单笔|单次|每日|每天|每月|每年|一年|每期|免费|免收|限额|上限|下限|封顶|工作日|自然日|小时|有效|当天|当日"
)
_CAPITAL = re.compile(r"(?<![.!?]\s)(?<!^)(?<![A-Za-z])[A-Z][a-z]{2,}(?![a-z])")
_ANY_CAPITAL = re.compile(r"(?<![A-Za-z])[A-Z][a-z]{2,}")
_GENERAL_CAPITALS = frozenset(
    "The This That These Those There Your You Our Any All Each Every If When For From With Within After Before Yes No Not "
    "Please Customers Cards Card Bank Rmb Cny Usd Atm App Sms Monday Tuesday Wednesday Thursday Friday Saturday Sunday January "
    "February March April May June July August September October November December Chinese English China Yuan".split()
)


def other_group(claim: frozenset[str], statement: frozenset[str], everything: frozenset[str]) -> str:
    """A notion of the claim that excludes the statement's: domestic where the documents say abroad."""
    for group in _EXCLUSIVE:
        ours, theirs = claim & group, statement & group
        if ours and theirs and not ours & theirs and not ours & everything:
            return min(ours)[1:]
    return ""


def other_name(claim: str, evidence: str) -> str:
    """English: a capitalised name of the claim that the evidence never has, where the evidence has one of its own."""
    ours = set(_CAPITAL.findall(claim)) - _GENERAL_CAPITALS
    lower = evidence.lower()
    strange = {name for name in ours if name.lower() not in lower}
    if not strange:
        return ""
    missing = set(_CAPITAL.findall(evidence)) - _GENERAL_CAPITALS - set(_ANY_CAPITAL.findall(claim))
    return min(strange) if missing else ""


def other_word(claim: str, statement: str, evidence: str) -> tuple[str, str] | None:
    """Chinese, values blanked: the one word that stands in the claim where the statement has another."""
    ours, theirs = claim[:_LONGEST].strip(), statement[:_LONGEST].strip()
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    blocks = matcher.get_opcodes()
    same = sum(i2 - i1 for tag, i1, i2, _, _ in blocks if tag == "equal")
    if same < 0.6 * len(ours.replace(" ", "")) or same < 5:
        return None
    for tag, i1, i2, j1, j2 in blocks:
        mine, other = ours[i1:i2], theirs[j1:j2]
        if tag in {"insert", "equal"} or not _named(mine):
            continue
        whole = _whole(ours, i1, i2)
        if whole in evidence:
            continue
        if tag == "replace" and len(mine) <= 6 and len(other) <= 8 and _named(other):
            return mine, other
        if tag == "delete" and len(mine) == 1 and (i1 == 0 or ours[i1 - 1] in "，、：；的 "):
            return mine, ""
    return None


def _whole(text: str, start: int, end: int) -> str:
    """The piece with the character behind it, which tells 金卡 from 金额."""
    return text[start : min(len(text), end + 1)].strip()


def _named(piece: str) -> bool:
    left = _WORDS.sub("", piece)
    left = "".join(c for c in left if (c not in _PLAIN and "\u4e00" <= c <= "\u9fff") or c in "ⅠⅡⅢⅣ")
    return bool(left) and len(left) * 2 >= len(piece.strip())
