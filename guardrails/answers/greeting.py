"""Whether a message only greets, thanks, or asks what the assistant can do: no question to the documents."""

from __future__ import annotations

import re

from guardrails.answers.folding import fold

LONGEST = 60
"""Characters of a folded message that can be a greeting: who writes more, asks something."""

_COURTESY = (
    r"[您你妳]们?好|[早晚]上好|[上中下]午好|早安|晚安|哈喽|哈啰|嗨|喂|在吗|有人吗|请问|谢谢[您你妳]?|多谢|感谢|再见|拜拜|好的|客服"
    r"|hello|hi|hey|good (?:morning|afternoon|evening|day)|there|thanks?|thank you|so much|very much|please|bye|goodbye"
)
_ABILITY = (
    r"[您你妳](?:能|可以|会)(?:帮我?|为我)?(?:做|干|回答|办|解决|处理)?(?:些|点)?(?:什么|啥|哪些)(?:事情?|问题|忙)?(?:呢|吗|呀)?"
    r"|[您你妳]是谁|[您你妳]有(?:什么|哪些)功能|介绍一下(?:[您你妳])?自己?"
    r"|what (?:can|do) you do(?: for me)?|what can you (?:help(?: me)? with|answer)|how can you help(?: me)?|who are you"
)
_ONLY = re.compile(rf"(?:(?:{_COURTESY}|{_ABILITY}|[啊呀哦嗯呢吗])[\s,.!?;:~，。！？、；：～…]*)+")
_SAYS = re.compile(rf"{_COURTESY}|{_ABILITY}")


def only_greets(text: str) -> bool:
    """True for 你好, "Hello, what can you do?"; False for 你好，年费多少. Bounded: long texts are not looked at."""
    if len(text) > 4 * LONGEST:
        return False
    folded = fold(text).strip()
    return len(folded) <= LONGEST and bool(_ONLY.fullmatch(folded) and _SAYS.search(folded))
