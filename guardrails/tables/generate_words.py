"""Writes chinese_words.txt and english_words.txt: ordinary words and how common they are.

Run by a developer. Needs jieba's dictionary and symspellpy's frequency list (both MIT; the latter from Google Books
counts, CC BY 3.0, and SCOWL): `pip install jieba==0.42.1 symspellpy==6.10.1`.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from importlib.resources import files
from math import log
from pathlib import Path

# Length of a Chinese word → how often jieba's corpus must have it. Rarer ones protect nothing.
_RAREST = {1: 3, 2: 5, 3: 10, 4: 20}
_ENGLISH = 14_000
_SHORT = set(
    "a i ad ah al am an as at be bi by de do eh em en er ex go ha he hi ho id if in is it la ma me mr mu my no of oh "
    "ok on op or os ox pa pi re sh so st to uh um up us vs we ye yo".split()
)


def main() -> None:
    """Overwrite the tables beside this file."""
    _chinese()
    _english()


def _chinese() -> None:
    rows = [
        line.split(" ")
        for line in files("jieba").joinpath("dict.txt").read_text("utf-8").splitlines()
        if line
    ]
    counts = {row[0]: int(row[1]) for row in rows}
    total = sum(counts.values())
    groups: dict[tuple[int, int], list[str]] = defaultdict(list)
    for word, count in counts.items():
        if all("\u4e00" <= char <= "\u9fff" for char in word) and count >= _RAREST.get(len(word), total):
            groups[round(2 * log(total / count)), len(word)].append(word)
    lines = [
        "# Made by generate_words.py from jieba's dictionary (MIT): twice -ln of a word's share, length, words."
    ]
    lines += [f"{cost} {length} {''.join(sorted(words))}" for (cost, length), words in sorted(groups.items())]
    _write("chinese_words.txt", lines, sum(map(len, groups.values())))


def _english() -> None:
    text = files("symspellpy").joinpath("frequency_dictionary_en_82_765.txt").read_text("utf-8-sig")
    words = [line.split()[0] for line in text.splitlines() if line]
    kept = sorted(
        word
        for word in words[:_ENGLISH]
        if word.isascii() and word.isalpha() and (len(word) > 2 or word in _SHORT)
    )
    lines = [
        "# Made by generate_words.py from symspellpy's list (MIT; Google Books counts, CC BY 3.0; SCOWL)."
    ]
    lines += [" ".join(kept[at : at + 20]) for at in range(0, len(kept), 20)]
    _write("english_words.txt", lines, len(kept))


def _write(name: str, lines: list[str], count: int) -> None:
    Path(__file__).with_name(name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stdout.write(f"{count} words in {name}\n")


if __name__ == "__main__":
    main()
