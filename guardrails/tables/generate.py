"""Writes traditional.txt: every character that OpenCC simplifies to one other. Run by a developer, needs OpenCC."""

from __future__ import annotations

import sys
from pathlib import Path

import opencc


def main() -> None:
    """Overwrite the table beside this file."""
    converter = opencc.OpenCC("t2s")
    pairs = []
    for code in (*range(0x3400, 0xA000), *range(0xF900, 0xFB00)):
        char = chr(code)
        simple = converter.convert(char)
        if simple != char and len(simple) == 1:
            pairs.append(char + simple)
    path = Path(__file__).with_name("traditional.txt")
    path.write_text(
        "\n".join("".join(pairs[at : at + 40]) for at in range(0, len(pairs), 40)) + "\n", encoding="utf-8"
    )
    sys.stdout.write(f"{len(pairs)} characters in {path.name}\n")


if __name__ == "__main__":
    main()
