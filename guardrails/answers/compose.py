"""The approved answer: the facts' own words, with where they stand; for English the values in English first."""

from __future__ import annotations

import re
from collections.abc import Sequence

from guardrails.answers.question import Question
from guardrails.answers.select import Prepared, Scored, rank_names
from guardrails.answers.worked_sum import Calculation
from guardrails.knowledge.fact import EXAMPLE, TABLE, Fact

MAX_STATEMENTS = 3
MAX_CELLS = 8
_NEAR = 2.2
"""A fact this close to the best one may be the one that was meant: both are quoted."""
_CELL_NEAR = 0.7
_TABLE_NEAR = 1.5


def chosen_facts(question: Question, ranked: Sequence[Scored], every: Sequence[Prepared]) -> tuple[Fact, ...]:
    """The facts an answer quotes: the best one, its siblings where the question names several, close rivals."""
    if not ranked:
        return ()
    best = ranked[0]
    found: list[Fact] = []
    for one in ranked:
        if one.score < best.score - _NEAR or len({_group(fact) for fact in found}) >= MAX_STATEMENTS:
            break
        if any(_group(fact) == _group(one.fact) for fact in found):
            continue
        found.extend(_with_siblings(question, one, ranked, every))
    if not any(fact.kind == TABLE for fact in found):
        # Clauses speak about the value, tables hold it.
        cell = next((one for one in ranked if one.fact.kind == TABLE), None)
        if cell is not None and cell.score >= best.score - _TABLE_NEAR:
            found.extend(_with_siblings(question, cell, ranked, every))
    return tuple(dict.fromkeys(found))


def _group(fact: Fact) -> str:
    return fact.table or fact.id


def _with_siblings(
    question: Question, one: Scored, ranked: Sequence[Scored], every: Sequence[Prepared]
) -> list[Fact]:
    """A table's cell with those the question asks for as much: the other rows it names, or rows it cannot tell apart."""
    if one.fact.kind != TABLE:
        return [one.fact]
    table = [entry for entry in every if entry.fact.table == one.fact.table]
    rows = rank_names(question, [entry.row_names for entry in table])
    columns = rank_names(question, [entry.column_names for entry in table])
    close = {
        other.fact.id
        for other in ranked
        if other.fact.table == one.fact.table and other.score >= one.score - _CELL_NEAR
    }
    cells = []
    for entry in table:
        fact = entry.fact
        named_row, named_column = bool(rows & entry.row_names), bool(columns & entry.column_names)
        same_row, same_column = fact.row == one.fact.row, fact.column == one.fact.column
        if (
            fact.id in close
            or (not rows and columns and named_column)
            or (named_row and (same_column or named_column))
            or (named_column and (same_row or named_row))
        ):
            cells.append(fact)
    first = [one.fact] if one.fact in cells else []
    return [*first, *(fact for fact in cells if fact != one.fact)][:MAX_CELLS]


def approved_text(facts: Sequence[Fact], calculation: Calculation | None, lang: str) -> str:
    """The answer. Citations are named once a document."""
    lines = [calculation.text(lang)] if calculation else []
    for fact in facts:
        lines.append(_line(fact, lang))
    sources = dict.fromkeys(citation(fact, lang) for fact in facts)
    if lang == "en":
        return "\n".join(lines) + "\nSource: " + "; ".join(sources)
    return "\n".join(lines) + "\n依据：" + "；".join(sources)


def citation(fact: Fact, lang: str) -> str:
    """Document and section."""
    title = f"《{fact.source.title}》" if lang == "zh" or fact.lang == "zh" else fact.source.title
    return f"{title} {fact.source.section}".strip()


def _line(fact: Fact, lang: str) -> str:
    example = {"zh": "示例：", "en": "Example: "}[lang] if fact.kind == EXAMPLE else ""
    if lang == "en" and fact.lang == "zh":
        values = english_values(fact.value)
        return f"{example}{values} — {fact.statement}" if values else f"{example}{fact.statement}"
    return example + fact.statement


_ENGLISH_VALUE = re.compile(
    r"(?P<bound>最低|最高|不超过|不低于|最多|最少|最长|最短|以上)?(?:为)?"
    r"(?:(?P<phone>\+?\d[\d-]{6,}\d)|(?P<clock>\d{1,2}:\d{2}至\d{1,2}:\d{2})"
    r"|万分之(?P<tenk>[一二三四五六七八九\d.]+)|(?P<number>\d+(?:\.\d+)?)(?P<scale>万|亿)?(?P<unit>美元|元|个工作日|个自然日|个月|自然日|工作日"
    r"|天|日|年|小时|分钟|笔|次|张|份|期|%|分|周岁|岁|GB|MB|兆)(?P<per>/年|/月|/笔|/次|/张|/卡|/期|/份|/个)?)"
    r"|(?P<free>免费|免收|免年费|不收取|不收|不收费|无需)"
)
_UNITS = {
    "元": "RMB {}", "美元": "USD {}", "个工作日": "{} business days", "工作日": "{} business days", "个自然日": "{} days",
    "自然日": "{} days", "个月": "{} months", "天": "{} days", "日": "{} days", "年": "{} years", "小时": "{} hours",
    "分钟": "{} minutes", "笔": "{} transactions", "次": "{} times", "张": "{} cards", "份": "{} copies",
    "期": "{} instalments", "%": "{}%", "分": "{} points", "周岁": "age {}", "岁": "age {}", "GB": "{} GB",
    "MB": "{} MB", "兆": "{} MB",
}  # fmt: skip
_PER = {
    "/年": " per year", "/月": " per month", "/笔": " per transaction", "/次": " each time", "/张": " per card",
    "/卡": " per card", "/期": " per period", "/份": " per copy", "/个": " each",
}  # fmt: skip
_BOUNDS = {
    "最低": "at least ", "不低于": "at least ", "最少": "at least ", "最短": "at least ", "以上": "over ",
    "最高": "at most ", "不超过": "at most ", "最多": "at most ", "最长": "at most ",
}  # fmt: skip
_NUMERALS = dict(zip("一二三四五六七八九", range(1, 10), strict=True))


def english_values(text: str) -> str:
    """The amounts, rates, periods, counts and numbers of a Chinese text in English, in order."""
    found = []
    for match in _ENGLISH_VALUE.finditer(text):
        bound = _BOUNDS.get(match["bound"] or "", "")
        if match["free"]:
            found.append("free of charge")
        elif match["phone"]:
            found.append(match["phone"])
        elif match["clock"]:
            found.append(match["clock"].replace("至", " to "))
        elif match["tenk"]:
            number = float(_NUMERALS.get(match["tenk"], 0) or match["tenk"])
            found.append(f"{bound}{number / 100:g}%")
        else:
            number = float(match["number"]) * {"万": 1e4, "亿": 1e8}.get(match["scale"] or "", 1)
            written = f"{number:,.2f}".rstrip("0").rstrip(".") if match["unit"] != "%" else match["number"]
            found.append(bound + _UNITS[match["unit"]].format(written) + _PER.get(match["per"] or "", ""))
    return ", ".join(dict.fromkeys(found))
