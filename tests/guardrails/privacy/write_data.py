"""Writes the labelled texts under data/ from templates: python -m tests.guardrails.privacy.write_data

`{kind}` is a made-up number, `{kind:3-4-4}` one in groups (the last character of the form is the separator where it
is no digit), `{kind!full}` one in disguise, `{kind|text}` the text itself. Every second line of a file is held back:
it was not looked at while the recognisers were tuned.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from tests.guardrails.privacy import samples

HERE = Path(__file__).parent
_SLOT = re.compile(r"\{(\w+)(?:(:[^}|!]*))?(?:!(\w+))?(?:\|([^}]*))?\}")
_HAN = dict(zip("0123456789", "零一二三四五六七八九", strict=True))
_FORMAL = dict(zip("0123456789", "零壹贰叁肆伍陆柒捌玖", strict=True))
_RING = dict(zip("0123456789", "⓪①②③④⑤⑥⑦⑧⑨", strict=True))


def _value(kind: str, random: Random) -> str:
    match kind:
        case "card":
            return samples.card(random)
        case "visa":
            return samples.card(random, "4", 16)
        case "master":
            return samples.card(random, "53", 16)
        case "amex":
            return samples.card(random, "37", 15)
        case "union16":
            return samples.card(random, "622588", 16)
        case "union19":
            return samples.card(random, "621700", 19)
        case "id":
            return samples.resident_id(random)
        case "idx":
            return samples.resident_id(random, ends_in_x=True)
        case "mobile":
            return samples.mobile(random)
        case "code":
            return samples.digits(random, 6)
        case "code4":
            return samples.digits(random, 4)
        case "cvv":
            return samples.digits(random, 3)
        case "account":
            return samples.digits(random, 12)
        case _ if kind.startswith("n"):
            return samples.digits(random, int(kind[1:]))
        case _:
            raise ValueError(kind)


def _grouped(value: str, form: str) -> str:
    separator = form[-1] if not form[-1].isdigit() else " "
    sizes = [int(size) for size in re.findall(r"\d+", form)]
    out, at = [], 0
    while at < len(value):
        size = sizes[min(len(out), len(sizes) - 1)]
        out.append(value[at : at + size])
        at += size
    return separator.join(out)


def _disguised(value: str, how: str) -> str:
    match how:
        case "full":
            return "".join(chr(ord(char) + 0xFEE0) if char in "0123456789X" else char for char in value)
        case "han":
            return "".join(_HAN.get(char, char) for char in value)
        case "formal":
            return "".join(_FORMAL.get(char, char) for char in value)
        case "ring":
            return "".join(_RING.get(char, char) for char in value)
        case "keycap":
            return "".join(f"{char}\ufe0f\u20e3" for char in value)
        case "zw":
            return "\u200b".join(value)
        case "letters":
            return (
                value.replace("0", "O").replace("1", "l", 1) if value[0] != "1" else value.replace("0", "O")
            )
        case "mixed":
            return "".join(_HAN[char] if at % 3 == 1 else char for at, char in enumerate(value))
        case _:
            raise ValueError(how)


KINDS = {"visa": "card", "master": "card", "amex": "card", "union16": "card", "union19": "card", "idx": "id",
         "code4": "code", "cvv": "code"}  # fmt: skip


def fill(template: str, random: Random) -> tuple[str, list[list[Any]]]:
    """The text of a template and its private spans."""
    out, spans, at = "", [], 0
    for slot in _SLOT.finditer(template):
        out += template[at : slot.start()]
        at = slot.end()
        kind, form, how, literal = slot.groups()
        value = literal if literal is not None else _value(kind, random)
        value = _disguised(value, how) if how else value
        value = _grouped(value, form[1:]) if form else value
        if not kind.startswith("n") or not kind[1:].isdigit():
            spans.append([len(out), len(out) + len(value), KINDS.get(kind, kind)])
        out += value
    return out + template[at:], spans


def records(path: Path, seed: int) -> Iterator[dict[str, Any]]:
    """The records of a file of templates, one a line."""
    random = Random(seed)
    lines = [
        line for line in path.read_text(encoding="utf-8").split("\n") if line and not line.startswith("#")
    ]
    for number, line in enumerate(lines):
        text, spans = fill(line.replace("\\n", "\n"), random)
        yield {"id": f"{path.stem}-{number:03}", "held_back": number % 2 == 1, "text": text, "spans": spans}


def main() -> None:
    """Overwrite the files of records."""
    for seed, name in enumerate(("private", "harmless", "private_unseen", "harmless_unseen")):
        found = records(HERE / "data" / f"{name}.txt", seed)
        (HERE / "data" / f"{name}.jsonl").write_text(
            "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in found), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
