"""When a document holds and what it replaces: from its fields, else from what its own text says of it.

Fields are those of Markdown front matter, of `name: value` lines that open a text, of an HTML page's meta tags.
Their names differ from house to house, so each is known by many.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from importlib.resources import files

import yaml

from guardrails.knowledge.dates import DAY, read_day
from guardrails.knowledge.document import Validity

_WORDS = yaml.safe_load(files("guardrails.knowledge").joinpath("validity.yaml").read_text(encoding="utf-8"))
FIELD_NAMES = {name: key for key, names in _WORDS["fields"].items() for name in names}
_OPEN_END = frozenset(_WORDS["open_end"])
_DRAFTS = frozenset(_WORDS["drafts"])
_RETIRED = frozenset(_WORDS["retired"]) | _DRAFTS
LONGEST_FIELD_LINE = 300
_LINE = re.compile(r"^[*_#>\s]*([\w一-鿿][\w一-鿿 .-]{0,28}?)[*_]*\s*[:：]\s*[*_]*\s*(\S.*)$")
_GAP = re.compile(r"[\u3000\t|]+| {2,}|[;；](?=\s*[\w一-鿿 ]{2,20}[:：])")

_MARK = (
    r"(?:superseded|obsolete|archived?|expired|withdrawn|deprecated|repealed"
    r"|已?废止|已?作废|已?失效|已?停用|旧版|历史版本)"
)
_RETIRED_TITLE = re.compile(rf"[(（\[【]\s*{_MARK}[^)）\]】]{{0,12}}[)）\]】]|^{_MARK}\s*[:：-]", re.I)
_RETIRED_PATH = re.compile(rf"(?:^|[-_ ./(（]){_MARK}(?:$|[-_ ./)）])", re.I)

_ITSELF = (
    f"(?:本(?:{'|'.join(_WORDS['itself_zh'])})"
    rf"|th(?:is|ese) (?:[a-z]+ ){{0,3}}?(?:{'|'.join(_WORDS['itself_en'])})\b)"
)
_VERBS = r"(?:is|are|becomes?|became|comes?|came|takes?|took|shall|will|enter(?:s|ed)?|appl(?:ies|y)|ha(?:s|ve) been)"
_STARTS = (
    re.compile(
        rf"(?:effective (?:from|date|as of)?|valid from|in force (?:from|since)|commences? on)\s*[:：]?\s*({DAY})",
        re.I,
    ),
    re.compile(rf"{_ITSELF}.{{0,12}}?自\s*({DAY})\s*起?(?:正式)?(?:施行|实施|执行|生效|启用|适用)", re.I),
    re.compile(
        rf"{_ITSELF}\s+{_VERBS}\b[^.\n]{{0,40}}?"
        rf"\b(?:on|from|as of|since)\s+({DAY})",
        re.I,
    ),
)
_COLOPHON = re.compile(
    rf"^[(（][^()（）\n]{{0,60}}?({DAY})\s*起?(?:正式)?(?:施行|实施|执行|生效|启用|适用)[)）]$", re.M
)
_ENDS = (
    re.compile(
        rf"(?:valid|effective|in force) (?:until|through|till|to)\s*[:：]?\s*({DAY})|expires? (?:on )?({DAY})",
        re.I,
    ),
    re.compile(
        rf"{_ITSELF}[^《》原旧\n]{{0,40}}?(?:有效期?至|于|自)\s*({DAY})\s*起?(?:止|失效|废止|停止执行|终止)",
        re.I,
    ),
    re.compile(
        rf"{_ITSELF}[^.\n]{{0,30}}?\b(?:expires?|expired|ends?|ended|ceases?|ceased)\b[^.\n]{{0,30}}?({DAY})",
        re.I,
    ),
)
_NAMED = r"(?:《([^》\n]{2,60})》)?\s*(?:[(（]\s*)?([A-Za-z][A-Za-z0-9]*(?:[-/_.][A-Za-z0-9]+)+)?"
_REPLACED_BY = (
    re.compile(rf"{_ITSELF}已?(?:经)?(?:由|被)\s*{_NAMED}[^。\n]{{0,12}}?(?:替代|取代|代替|废止)"),
    re.compile(
        rf"(?:{_ITSELF}|^)\s*(?:has been |have been |is |are |was )?(?:superseded|replaced) by\s+(?:the )?{_NAMED}",
        re.I | re.M,
    ),
)
_REPLACES = (
    re.compile(rf"{_NAMED}\s*[)）]?\s*(?:同时|即行|予以|随之|相应|即)(?:废止|失效|作废|停止执行)"),
    re.compile(rf"(?:同时废止|替代|取代|代替)\s*(?:原|了)?\s*{_NAMED}"),
    re.compile(
        rf"(?:{_ITSELF}[^.\n]{{0,40}}?\b|^)(?:supersedes|replaces|repeals)\s+(?:the )?{_NAMED}", re.I | re.M
    ),
)


def known_fields(fields: Mapping[str, object]) -> dict[str, str]:
    """Those of a document's fields that say something known, by the names of this module; a list as its lines."""
    found: dict[str, str] = {}
    for name, value in fields.items():
        key = FIELD_NAMES.get(re.sub(r"[\s\-_.]+", "_", str(name).strip().casefold()))
        if key and key not in found:
            items = value if isinstance(value, list) else [value]
            found[key] = "\n".join(
                str(item).strip() for item in items if isinstance(item, str | int | float | date)
            )
    return found


def opening_fields(lines: Iterable[str]) -> dict[str, str]:
    """The `name: value` lines that open a document; several may share a line."""
    found: dict[str, str] = {}
    for line in lines:
        if len(line) > LONGEST_FIELD_LINE:
            continue
        for part in _GAP.split(line):
            if match := _LINE.match(part.strip()):
                found.setdefault(match[1].strip(), match[2].strip())
    return known_fields(found)


def is_field_line(text: str) -> bool:
    """Whether a line only names the document: its number, version and dates."""
    if len(text) > LONGEST_FIELD_LINE:
        return False
    if _COLOPHON.search(text):
        return True
    parts = [match for part in _GAP.split(text) if (match := _LINE.match(part.strip()))]
    return bool(parts) and all(
        FIELD_NAMES.get(re.sub(r"[\s\-_.]+", "_", part[1].strip().casefold())) is not None
        and len(part[2]) <= 60
        and not re.search(r"[。；!?！？]", part[2])
        for part in parts
    )


def validity(fields: Mapping[str, str], text: str, title: str, path: str) -> Validity:
    """What fields say counts; for what they do not say, `text`: the document's first and last lines.

    Raises ValueError for a field that should be a date and is none.
    """
    starts, ends = _field_day(fields, "effective_from"), _field_day(fields, "effective_to", last=True)
    if said := fields.get("valid", ""):
        first, last = _period(said)
        starts, ends = starts or first, ends or last
    if "effective_from" not in fields and starts is None:
        starts = _said_day((*_STARTS, _COLOPHON), text)
    if "effective_to" not in fields and ends is None:
        ends = _said_day(_ENDS, text, last=True)
    found = Validity(
        starts,
        ends,
        _names(fields.get("supersedes", "")) or _said_names(_REPLACES, text),
        _names(fields.get("superseded_by", "")) or _said_names(_REPLACED_BY, text),
        _is_retired(fields, ends, title, path),
    )
    return (
        replace(found, effective_to=None)
        if fields.get("effective_to", "x").casefold() in _OPEN_END
        else found
    )


def _is_retired(fields: Mapping[str, str], ends: date | None, title: str, path: str) -> bool:
    """A day on which it ends says more than a mark: until then the document did hold."""
    status = fields.get("status", "").strip().casefold()
    marked = status in _RETIRED or bool(_RETIRED_TITLE.search(title) or _RETIRED_PATH.search(path))
    return status in _DRAFTS or (marked and ends is None)


def entry_validity(fields: Mapping[str, str]) -> Validity:
    """Of one FAQ entry with dates of its own. Raises ValueError."""
    return Validity(
        _field_day(fields, "effective_from"),
        _field_day(fields, "effective_to", last=True),
        retired=fields.get("status", "").strip().casefold() in _RETIRED,
    )


def _field_day(fields: Mapping[str, str], name: str, *, last: bool = False) -> date | None:
    said = fields.get(name, "").strip()
    if not said or said.casefold() in _OPEN_END:
        return None
    try:
        found = read_day(said, last=last)
    except ValueError as error:
        raise ValueError(f"`{name}`: {error}") from None
    if found is None:
        raise ValueError(f"`{name}`: {said[:40]!r} is not a date; write 2026-01-31")
    return found


def _period(said: str) -> tuple[date | None, date | None]:
    """`2026-01-01 to 2026-12-31`, `until 2026-12-31`, `从 2026年1月1日 起`."""
    days = re.findall(DAY, said, re.I)
    if len(days) >= 2:
        return read_day(days[0]), read_day(days[1], last=True)
    if not days:
        return None, None
    if re.search(r"from|since|起|自|从", said, re.I):
        return read_day(days[0]), None
    return None, read_day(days[0], last=True)


def _said_day(patterns: Sequence[re.Pattern[str]], text: str, *, last: bool = False) -> date | None:
    for pattern in patterns:
        if found := pattern.search(text):
            try:
                return read_day(next(group for group in found.groups() if group), last=last)
            except ValueError:
                continue  # Prose is not held to a form; the next pattern may say it.
    return None


def _names(said: str) -> tuple[str, ...]:
    names = [name.strip(" 《》\"'“”") for line in said.split("\n") for name in re.split(r"[,，;；、]", line)]
    return tuple(name for name in names if name and name.casefold() not in _OPEN_END)


def _said_names(patterns: Sequence[re.Pattern[str]], text: str) -> tuple[str, ...]:
    found = (
        group.strip()
        for pattern in patterns
        for match in pattern.finditer(text)
        for group in match.groups()
        if group
    )
    return tuple(dict.fromkeys(found))
