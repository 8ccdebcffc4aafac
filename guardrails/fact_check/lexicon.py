"""Everyday words of business texts, Chinese and English side by side: nothing of any one company or trade."""

from __future__ import annotations

import re

_CONCEPTS: dict[str, tuple[str, str]] = {
    "fee": ("手续费|费用|收费|年费|月费|工本费|服务费|费(?!用户)", "fee charge cost price pay fare tariff"),
    "annual": ("年费|年度|每年|全年|一年|/年", "annual yearly year"),
    "month": ("每月|月度|月租|月费|当月|单月|月底|/月", "monthly month"),
    "day": ("每日|每天|单日|当日|当天|日累计|/天|/日", "daily day"),
    "each": ("每笔|每次|单笔|单次|/笔|/次", "transaction single each per time payment"),
    "rate": ("利率|费率|比例|年化|日息", "rate percentage ratio interest apr"),
    "interest": ("利息|计息|利率|罚息", "interest"),
    "limit": ("限额|额度|上限|限制|封顶|不超过", "limit cap quota maximum ceiling capped"),
    "most": ("最高|最多|最长|上限|不超过|封顶|至多|以内", "highest most maximum max longest up cap capped limited limit"),
    "least": ("最低|最少|最短|至少|起存|起订|不低于", "lowest least minimum min shortest"),
    "deposit": ("存款|存入|押金|定金|起存|存单", "deposit deposits certificate"),
    "withdraw": ("取款|取现|提现|支取|领回|预借现金", "withdraw withdrawal withdrawing cash atm advance"),
    "transfer": ("转账|汇款|汇出|转出", "transfer remittance remit send wire"),
    "repay": ("还款|偿还|归还|还清", "repay repayment pay payment"),
    "late": ("逾期|违约金|滞纳金|延误|迟", "late overdue delay delayed penalty"),
    "penalty": ("违约金|罚息|罚款|滞纳金|赔偿", "penalty fine late fee"),
    "refund": ("退款|退还|退费|退票|退货|退保|返还", "refund refundable refunded return surrender"),
    "cancel": ("取消|撤销|销卡|注销|退订|解约|终止", "cancel cancellation cancelled canceled undone withdrawn terminate terminated"),
    "apply": ("申请|办理|申领|报名", "apply application applicant request applied"),
    "approve": ("审批|核准|审核|批准", "approve approval approved"),
    "lost": ("挂失|丢失|遗失|失卡", "lost loss missing"),
    "replace": ("补卡|补办|换卡|更换|换新|替代", "replace replacement replacing exchange"),
    "urgent": ("加急|紧急|急", "urgent rush express emergency"),
    "card": ("卡", "card cards"),
    "gold": ("(?<!白)金卡|黄金|金级", "gold"),
    "platinum": ("白金|铂金", "platinum"),
    "diamond": ("钻石", "diamond"),
    "silver": ("银卡|白银|银级", "silver"),
    "ordinary": ("普卡|普通|标准|基础|经典", "classic standard basic regular ordinary normal economy"),
    "student": ("校园|学生|在校|大学", "campus student students school"),
    "brand": ("联名", "brand"),
    "primary": ("主卡|主要|主号", "primary main principal"),
    "extra": ("附属|附加|副卡|额外|另收", "supplementary additional extra secondary add"),
    "domestic": ("境内|国内|本地|内地", "domestic local mainland"),
    "abroad": ("境外|海外|国外|国际|跨境|出境|漫游", "overseas abroad foreign international roaming outside cross"),
    "online": ("线上|网上|在线|网络|手机银行|应用", "online app internet mobile web"),
    "offline": ("线下|柜面|网点|营业厅|门店|柜台", "offline branch counter store shop"),
    "machine": ("自助|机器|存款机|取款机", "machine atm self"),
    "own": ("本行|本人|本公司|自有", "own"),
    "other": ("他行|跨行|其他|第三方|异地", "other another third party"),
    "first": ("首年|首次|首个|第一|首月|首份|前", "first initial"),
    "next": ("次年|次日|次月|下一|下期", "next following second subsequent"),
    "condition": ("满|达到|条件", "make spend need requires required needs"),
    "spend": ("消费|花费|购物|刷卡", "spend spending purchase purchases spent transaction"),
    "points": ("积分|累计|里程", "point points mile miles earn"),
    "valid": ("有效期|有效|期限|保质", "valid validity expire expiry last lasts term"),
    "free": ("免费|免收|免年费|不收", "free waived waiver"),
    "temporary": ("临时|暂时", "temporary"),
    "fixed": ("固定|永久", "permanent fixed"),
    "age": ("年龄|周岁|岁|年满", "age aged old years"),
    "income": ("收入|工资|薪", "income salary earnings"),
    "asset": ("资产|财产", "asset assets"),
    "phone": ("热线|电话|拨打|专线|客服", "hotline phone call line telephone number"),
    "mail": ("邮箱|邮件", "email mail"),
    "complaint": ("投诉", "complaint complain complaints"),
    "reply": ("答复|回复|反馈|回应", "reply answer respond response answered"),
    "hour": ("营业时间|服务时间|开放|营业", "hours open opening service"),
    "weekday": ("工作日|周一至周五|平日", "weekday weekdays business monday friday"),
    "weekend": ("周末|周六|周日|星期六|星期日", "weekend weekends saturday sunday"),
    "holiday": ("节假日|假日|假期", "holiday holidays"),
    "statement": ("账单", "statement bill billing"),
    "due": ("到期|到期还款日|截止", "due deadline expiry maturity"),
    "grace": ("宽限|容时|犹豫", "grace cooling"),
    "tolerance": ("容差|差额", "tolerate tolerance shortfall"),
    "instalment": ("分期", "instalment installment instalments installments"),
    "early": ("提前|提早", "early advance before prepay prepayment"),
    "period": ("期限|周期|期间", "period cycle term duration"),
    "loan": ("贷款|借款|贷", "loan borrow loans lending"),
    "password": ("密码|口令", "password pin passcode"),
    "lock": ("锁定|冻结|锁卡", "lock locked locks freeze frozen"),
    "wrong": ("输错|错误|连错", "wrong wrongly incorrect incorrectly"),
    "currency": ("外汇|货币|兑换|汇率|币种", "currency conversion exchange fx foreign"),
    "insurance": ("保险|保障|保费|赔付|理赔|投保", "insurance cover coverage premium claim insured policy lost"),
    "waiting": ("等待期|观察期", "waiting observation"),
    "deductible": ("免赔", "deductible excess"),
    "ticket": ("票|机票|车票|门票", "ticket tickets fare"),
    "baggage": ("行李|托运", "baggage luggage bag bags checked"),
    "flight": ("航班|起飞|登机", "flight departure departs boarding"),
    "change": ("改签|变更|修改|更改|调整", "change changing modify rebook rescheduling adjusted"),
    "data": ("流量|数据", "data traffic"),
    "call": ("通话|语音|主叫", "call voice calls minutes"),
    "plan": ("套餐|方案|计划", "plan package bundle"),
    "speed": ("网速|速率|带宽|限速", "speed bandwidth"),
    "room": ("房间|客房|入住|酒店", "room hotel check stay"),
    "breakfast": ("早餐", "breakfast"),
    "child": ("儿童|孩子|婴儿|未成年", "child children infant minor minors kid"),
    "adult": ("成人|成年", "adult adults"),
    "invoice": ("发票", "invoice"),
    "delivery": ("配送|寄出|邮寄|送货|发货|物流", "delivery deliver shipping shipped sent ship"),
    "paper": ("纸质", "paper printed"),
    "electronic": ("电子", "electronic digital"),
    "contract": ("合同|合约|协议", "contract agreement"),
    "network": ("网络|宽带", "network broadband"),
    "install": ("安装|装机", "install installation"),
    "repair": ("维修|修复|故障", "repair fault fix"),
    "warranty": ("保修|质保", "warranty guarantee"),
    "keep": ("保存|保留|留存|存储", "keep kept store stored retained retention"),
    "record": ("记录|录音|录像", "record records recording recordings"),
    "credit": ("信用|征信", "credit"),
    "balance": ("余额|溢缴", "balance"),
    "principal": ("本金", "principal"),
    "total": ("总|合计|累计", "total altogether sum"),
    "minimum payment": ("最低还款", "minimum payment"),
    "person": ("人|客户|用户|成员", "person customer user people passenger holder member"),
    "device": ("设备|手机|终端", "device phone devices"),
    "message": ("短信|信息|消息", "sms message text messages"),
    "code": ("验证码", "code codes otp"),
    "birthday": ("生日", "birthday"),
    "double": ("双倍|两倍|2倍", "double twice"),
    "lounge": ("贵宾厅|休息室", "lounge"),
    "airport": ("机场", "airport"),
    "dollar": ("美元", "usd dollar dollars us"),
    "dispute": ("争议|拒付|否认", "dispute disputes chargeback"),
    "deadline": ("前|截止", "by before deadline"),
    "dormant": ("睡眠|不动户|久悬", "dormant inactive"),
    "activate": ("激活|开通|启用", "activate activated activation enable"),
    "upgrade": ("升级|升舱", "upgrade"),
    "renew": ("续保|续费|续约|续订|转存", "renew renewal renewed rollover"),
    "discount": ("折扣|优惠|打折|折", "discount off reduced"),
    "tax": ("税", "tax"),
    "hospital": ("医院|住院|医疗", "hospital medical hospitalisation hospitalization"),
    "accident": ("意外|事故", "accident accidental"),
    "death": ("身故|死亡", "death"),
    "disease": ("疾病|重疾|病", "disease illness sickness critical"),
    "pet": ("宠物", "pet pets"),
    "smoke": ("吸烟|抽烟", "smoking smoke"),
    "parking": ("停车", "parking"),
    "car": ("汽车|购车|车辆", "car vehicle"),
    "home": ("家庭|住宅|装修|房屋", "home renovation household house"),
    "cash": ("现金|取现", "cash"),
    "salary": ("代发工资", "payroll"),
    "minor": ("未成年|监护", "minor guardian"),
    "merge": ("合并|合计", "merged merge combine combined counted"),
    "half": ("半", "half"),
}  # fmt: skip

_ZH_ONE = tuple((name, re.compile(zh)) for name, (zh, _) in _CONCEPTS.items())


def stem(word: str) -> str:
    """A rough English stem: plural and verb endings off."""
    for ending in ("'s", "ies", "ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending) + ("y" if ending == "ies" else "")
            break
    return word.removesuffix("e") if len(word) > 4 else word


def _english() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for name, (_, words) in _CONCEPTS.items():
        for word in words.split():
            names = found.setdefault(stem(word), [])
            if name not in names:
                names.append(name)
    return {word: tuple(names) for word, names in found.items()}


_EN = _english()


def zh_concepts(text: str) -> set[str]:
    """The everyday notions a folded Chinese text names."""
    return {f"@{name}" for name, pattern in _ZH_ONE if pattern.search(text)}


def en_concepts(stemmed: str) -> tuple[str, ...]:
    """The everyday notions an English stem names."""
    return tuple(f"@{name}" for name in _EN.get(stemmed, ()))
