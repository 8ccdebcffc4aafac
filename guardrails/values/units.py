"""The words that make a number an amount, a period, a count …, in Chinese and English. General language only."""

from __future__ import annotations

import re
from decimal import Decimal

_CURRENCIES = {
    "CNY": "人民币|rmb|cny|¥|yuan|renminbi|元人民币|元|圆|块钱|块",
    "USD": r"美元|美金|美刀|us\$|\$|usd|us dollars?|u\.s\. dollars?|dollars?",
    "HKD": r"港元|港币|港纸|hk\$|hkd|hong kong dollars?",
    "EUR": "欧元|€|eur(?:os?)?",
    "GBP": "英镑|£|gbp|pounds?(?: sterling)?|sterling",
    "JPY": "日元|日圆|jpy|japanese yen|yen",
    "SGD": r"新元|新加坡元|新币|s\$|sgd|singapore dollars?",
    "AUD": r"澳元|澳币|a\$|aud|australian dollars?",
    "CAD": r"加元|加币|c\$|cad|canadian dollars?",
    "MOP": "澳门元|澳门币|mop",
    "TWD": r"新台币|台币|nt\$|twd",
    "KRW": "韩元|韩币|krw|won",
    "THB": "泰铢|thb|baht",
    "CHF": "瑞士法郎|瑞郎|chf|swiss francs?",
}


def _named(groups: dict[str, str]) -> str:
    return "|".join(f"(?P<{name}>{words})" for name, words in groups.items())


_LONG_FIRST = {key: _CURRENCIES[key] for key in ("HKD", "SGD", "AUD", "CAD", "TWD", "USD", "JPY", "MOP")}
_LONG_FIRST.update({key: words for key, words in _CURRENCIES.items() if key not in _LONG_FIRST})

CURRENCY_BEFORE = re.compile(rf"(?:(?<![a-z])(?:{_named(_LONG_FIRST)}))\s?(?:(?:约|每|各|为)?)$")
CURRENCY_AFTER = re.compile(rf"\s?-?(?:{_named(_LONG_FIRST)})(?![a-z])")
TENTH = re.compile(r"\s?(?:(?P<tenth>角|毛钱?)|(?P<cent>cents?|分钱))(?![a-z])")

RATE_AFTER = re.compile(
    r"\s?(?:(?P<percent>%|percent(?:age points?)?|per cent|pct(?![a-z])|个?百分点)|(?P<permille>‰|per mille)"
    r"|(?P<permyriad>‱)|(?P<basis>个?基点|basis points?|bps?(?![a-z]))|(?P<tithe>成(?![立功为员人年本交长绩都果熟就分因效品套]))|(?P<tenths>折(?!算|合|旧|现|叠|扣率?表)))"
    r"(?P<off>\s?(?:off|discount)(?![a-z]))?"
)
RATE_UNITS = {
    "percent": Decimal("0.01"),
    "permille": Decimal("0.001"),
    "permyriad": Decimal("0.0001"),
    "basis": Decimal("0.0001"),
    "tithe": Decimal("0.1"),
}

_SECONDS = {
    "second": Decimal(1),
    "minute": Decimal(60),
    "hour": Decimal(3600),
    "day": Decimal(86_400),
    "week": Decimal(604_800),
    "fortnight": Decimal(1_209_600),
}
_MONTHS = {"month": Decimal(1), "quarter": Decimal(3), "year": Decimal(12)}

PERIOD_AFTER = re.compile(
    r"\s?-?(?:"
    r"(?P<workday>个?(?:完整)?(?:工作日|营业日|交易日|business[ -]days?|working[ -]days?|trading[ -]days?|work[ -]?days?|banking[ -]days?))"
    r"|(?P<second>秒钟?|seconds?|secs?)"
    r"|(?P<minute>分钟|minutes?|mins?)"
    r"|(?P<hour>个?(?:半)?小时|个?钟头|hours?|hrs?)"
    r"|(?P<day>个?(?:自然日|日历日|昼夜)|个?连续自然日|天|日(?=以?[内后]|之[内后])|calendar[ -]days?|natural[ -]days?|days?|nights?|consecutive days?)"
    r"|(?P<week>个?(?:星期(?![一二三四五六日天])|礼拜(?![一二三四五六日天]))|周(?![岁一二三四五六日末年])|weeks?)"
    r"|(?P<fortnight>fortnights?)"
    r"|(?P<month>个?(?:自然|完整|公历)?月(?:份)?(?=以|内|的|后|为|起|，|。|；|、|$)|个(?:自然|完整|整)?月|calendar months?|months?)"
    r"|(?P<quarter>个?季度|quarters?)"
    r"|(?P<year>个?(?:自然|完整|保单|会计|合同|公历|整|周)?年(?!费|龄|利|化|度|薪|报|[以一二三四五六七八九十\d]{1,2}月)|calendar years?|years?|yrs?)"
    r")(?![a-z])(?P<more>半(?![天日年月小])|and a half)?"
)
_PERIODS: dict[str, tuple[str, Decimal]] = {"workday": ("workday", Decimal(1))}
_PERIODS.update({name: ("second", size) for name, size in _SECONDS.items()})
_PERIODS.update({name: ("month", size) for name, size in _MONTHS.items()})
PERIOD_UNITS = _PERIODS

AGE_AFTER = re.compile(r"\s?-?(?:周岁|岁|years?[ -]olds?|years? of age)(?![a-z])")
POINTS_AFTER = re.compile(
    r"\s?(?:(?P<points>个?积分|分(?!钟|之|期|钱|行|别|摊|[为成]|支|公司|店|级|享|类|次|笔|批|开|散|年|月|\d)|(?:reward |bonus )?points?|pts)"
    r"|(?P<miles>里程|英里|air miles?|miles?))(?![a-z])"
)
MULTIPLE_AFTER = re.compile(r"\s?(?:倍|times (?:the|as|that|his|her|their|your)|x(?![a-z0-9])|-?fold)")

_COUNTERS = {
    "transaction": "笔|单(?![日位笔个纯独])|transactions?|purchases?|payments?|orders?",
    "time": "次|回(?![复拨收来])|趟|人次|times?(?! (?:the|as|that|limit))|occasions?|visits?",
    "card": "张|cards?|sheets?|tickets?",
    "instalment": "期(?![间限初末满货权])|instal?lments?|periods?|billing cycles?|cycles?|statements?",
    "copy": "份|cop(?:y|ies)",
    "message": "条|messages?|texts?|sms",
    "device": "台|部(?![分门])|devices?|phones?",
    "person": "人(?![民工均])|位(?![数置于])|名(?![下称单])|个人|people|persons?|passengers?|adults?|children|customers?",
    "lesson": "节(?![日省约点])|课时|堂(?!食)|lessons?|classes|sessions?",
    "item": "件|个(?!性|人|别|体|[工自小月季星礼钟交营]|百分|基点)|只|项|种|类|款|items?|pieces?|kinds?|types?",
    "account": "户(?![口主名籍])|accounts?",
    "digit": "位数?|digits?|characters?",
    "book": "本(?![行人金公次期息办规条合])|册|页|pages?",
    "vehicle": "辆|vehicles?|cars?",
    "gigabyte": "g(?:b|流量)?(?![a-z])|gigabytes?",
    "megabyte": "m(?:b|bps)?(?![a-z])|兆|megabytes?",
    "kilogram": "公斤|千克|kg|kilograms?|kilos?",
    "centimetre": "厘米|cm|centimetres?|centimeters?",
    "metre": "米|平方米|metres?|meters?|m(?![a-z])",
    "room": "间|晚|rooms?",
    "kilometre": "公里|千米|km|kilometres?|kilometers?",
}
COUNT_AFTER = re.compile(rf"\s?-?(?:{_named(_COUNTERS)})(?![a-z])")
NOUN_AFTER = re.compile(r"[ -](?:(?:[a-z]{2,14})[ -]){0,2}?(?P<noun>[a-z]{3,16}s)(?![a-z])")
"""An English number and what it counts, where the noun is not one of the known counters."""

PER_BEFORE = re.compile(
    r"(?:(?P<time>每笔|每次|单笔|单次|一次|一笔|每单|per transaction|each time|single|per-transaction|per time)"
    r"|(?P<card>每张卡?|每卡|每份|per card|each card)"
    r"|(?P<period>每期|每个账期|per cycle|each cycle|per instal?ment|per period)"
    r"|(?P<day>每日|每天|每自然日|单日|日累计|日利率|日息|日限额|一天|当日|daily|per[ -]day|each day|a day)"
    r"|(?P<week>每周|每星期|weekly|per week)"
    r"|(?P<month>每月|每个月|每自然月|每个自然月|月利率|月息|单月|月费|月租|一个月|monthly|per[ -]month|each month)"
    r"|(?P<year>每年|每自然年|每个自然年|年利率|年化(?:利率|收益率|费率)?|年息|年费|一年|全年|年累计|annual(?:ly|i[sz]ed)?|yearly|per[ -]year|per annum|each year|apr))"
)
PER_AFTER = re.compile(
    r"(?:(?:\s?/|的?每)\s?(?P<zh>笔|次|单|张|卡|份|个自然日|自然日|日|天|周|星期|个月|自然月|月|个自然年|自然年|年|期|人|条|户|小时|分钟|个|day|week|month|year|transaction|time|card|cycle|period|person|copy)"
    r"|\s?(?P<en>per|a|an|each|every|for each|for every)[ -](?:calendar |billing |single |natural )?(?P<unit>user|guest|night|seat|head|adult|child|ticket|item|order|claim|booking|day|week|month|year|transaction|transfer|withdrawal|payment|purchase|time|card|copy|cycle|period|instal?ment|person|customer|annum|visit|message|hour|minute|trip|statement)"
    r"|\s?(?P<adverb>daily|weekly|monthly|annually|yearly|p\.a\.|each(?![a-z])|annual))"
)
PER_UNITS = {
    "笔": "time", "次": "time", "单": "time", "transaction": "time", "transfer": "time", "withdrawal": "time",
    "payment": "time", "purchase": "time", "time": "time", "visit": "time", "each": "time", "trip": "time",
    "张": "card", "卡": "card", "card": "card", "份": "card", "copy": "card", "个": "card",
    "日": "day", "天": "day", "自然日": "day", "个自然日": "day", "day": "day", "daily": "day",
    "周": "week", "星期": "week", "week": "week", "weekly": "week",
    "月": "month", "个月": "month", "自然月": "month", "month": "month", "monthly": "month",
    "年": "year", "自然年": "year", "个自然年": "year", "year": "year", "annum": "year", "annually": "year",
    "yearly": "year", "p.a.": "year", "annual": "year",
    "期": "period", "period": "period", "cycle": "period", "instalment": "period", "installment": "period",
    "statement": "period", "人": "person", "person": "person", "customer": "person", "user": "person", "guest": "person", "head": "person", "adult": "person",
    "child": "person", "seat": "person", "night": "day", "ticket": "card", "item": "card", "order": "time", "claim": "time",
    "booking": "time", "户": "person",
    "条": "message", "message": "message", "小时": "hour", "hour": "hour", "分钟": "minute", "minute": "minute",
}  # fmt: skip

MIN_BEFORE = re.compile(
    r"(?:最低|最少|至少|不低于|不少于|不得低于|不得少于|不小于|最短|起码|下限|不足.{0,2}按|大于|超过|高于|多于|起存|起投|起购|年满|已满|满|达到|达"
    r"|(?<![a-z])(?:at least|minimum|at a minimum|no less than|not less than|no fewer than|not fewer than|above|over|more than|exceed(?:s|ing)?|in excess of|lowest|min\.?|shortest|starting (?:at|from)|starts (?:at|from))(?![a-z]))"
)
MAX_BEFORE = re.compile(
    r"(?:最高|最多|最大|最长|最迟|最晚|最久|不超过|不得超过|不多于|不高于|不大于|不能超过|至多|上限|封顶|低于|少于|小于|不足|不满|未满"
    r"|(?<![a-z])(?:up to|at most|maximum|no more than|not more than|not exceed(?:ing)?|cap(?:ped)?(?: at| is| of)?|within|less than|under|below|fewer than|highest|max\.?|longest|as many as|as much as|limited to|(?:upper )?limit of|not over)(?![a-z]))"
)
MIN_AFTER = re.compile(
    r"(?:\s?[^，。；,;.\d]{0,2}(?:及以上|或以上|以上|以外|起(?![诉到飞])|or more|or above|or over|or older|and above|and over|at least|minimum|at minimum)(?![a-z]))"
)
MAX_AFTER = re.compile(
    r"(?:\s?[^，。；,;.\d]{0,2}(?:及以下|或以下|以下|以内|之内|封顶|为限|为上限|内(?![容部])|or less|or fewer|or below|and below|at most|maximum|or under)(?![a-z]))"
)

FREE = re.compile(
    r"(?P<charged>(?<![不无免未勿])(?:收取?(?:任何|一定|相应)?的?(?![^，。；;,.]{0,8}[一二两三四五六七八九十半百千万])[\u4e00-\u9fff、]{1,8}费用?|收费)(?=[，。；;,.]|$)|(?:照常|需要?|须|要|应|会|将)(?:另外|另行|额外|单独|照常)*(?:收费|付费|交费|缴费|花钱|收取?(?:任何|一定|相应)?的?[\u4e00-\u9fff]{0,4}?费用?(?=[，。；,;.]|$))(?![^，。；,;]{0,6}\d)|照常收取?[\u4e00-\u9fff]{0,6}费|收取(?:一定的?|相应的?)?费用(?=[，。；,;.]|$)|要钱|(?<![a-z])(?:there is|carr(?:y|ies)|incurs?|attracts?|has|subject to) an? (?:[a-z-]+ ){0,3}?(?:fee|charge|penalty)(?! of|[a-z])|(?:is|are) (?:charged|chargeable)(?= |\.|,|$)(?! (?:at |a |an |only )?[\d$€£a-z]*\d)|for a fee|(?:charges?|pays?|have|has|incurs?) an? (?:[a-z-]+ ){0,4}?(?:fee|charge)(?! of|[a-z]| free)|不免(?!除?责|疫|签|密|息|提|流)|不予免(?:除|收)?|不能免(?:收|费|除)?|不可免(?:收|费|除)?|不享受免费|并不免费|不是免费|并非免费|非免费|not (?:be |been )?(?:waived|free)|no(?:t a)? waiver|isn't free|isn't waived|aren't free)"
    r"|(?P<free>免费|免收|免除?[\u4e00-\u9fff]{0,4}?(?:费(?!用户)|金(?![额融卡]))|免交|免缴|免付|不(?:再|另|会|需|用|必|须|得)?(?:另行?)?(?:收取?(?:任何)?(?=[\u4e00-\u9fff]{0,12}?(?:费|钱|金|利息|息))|收取?(?=[，。；,;.、）)]|$)|计收|扣费|收费|加收|花钱)"
    r"|无需?(?:付费|缴费|支付(?!密)|收费|费用|手续费|年费)|无须(?:付费|缴费|支付|交费)|不要钱|不用(?:交|付|缴|花)[\u4e00-\u9fff]{0,4}?[费钱]|零费用|零手续费|免(?=次年|首年|第)|(?<=[首次][年月])免(?!密|签)|全免|包邮|免[票邮](?!费用?户)|免运费"
    r"|(?<!-)(?<!tax )(?<![a-z])(?:free of charge|for free|free of (?:[a-z-]+ ){0,3}fees?|no (?:[a-z-]+ ){0,4}?(?:fees?|charges?|costs?)(?![a-z])|fee[ -]free|without (?:any )?(?:[a-z-]+ )?(?:charges?|fees?|costs?|paying)|waived?(?![a-z])|waives|waiver|free(?![a-z-]| to | from |dom| of )|not? (?:be )?charged?(?![a-z])|(?:does|do|will|is|are)(?: not|n't) (?:be )?charged?(?![a-z])|complimentary|costs? nothing|at no (?:extra )?cost|pays? (?:no|nothing)|zero fees?))"
)
UNLIMITED = re.compile(
    r"多次(?!数)|任意次|随意次|不限(?!于)(?:量|次数?|笔数|金额|额)?|无限(?:制|量|次)?|没有(?:上限|限制|限额)|无上限|无限额|不设(?:上限|限额)|永久有效|长期有效|永不(?:过期|失效|清零)|不会过期|不过期|never expires?|do(?:es)? not expire|no expiry|valid (?:forever|indefinitely)|unlimited|no (?:upper )?(?:limit|cap)(?![a-z])|without (?:limit|a cap)"
)
