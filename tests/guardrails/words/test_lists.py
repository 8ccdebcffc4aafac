"""Word lists as files: what they may say, and how a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardrails.policy.load import load_policy
from guardrails.problem import PolicyProblem
from guardrails.verdict import Decision
from guardrails.words import Action, Boundary, Level, Term
from guardrails.words import lists as module
from guardrails.words.lists import read_lists


def written(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        (folder / f"{stem}.{suffix}").write_text(text, encoding="utf-8")
    return folder


def test_every_format(tmp_path: Path) -> None:
    found = read_lists(
        written(
            tmp_path / "words",
            a_txt="\ufeff# a comment\n大麻\n\n  bad word  \n",
            allow_txt="大麻烦\n",
            b_csv='text,level,tag,id\n冰毒,high,drugs,d1\n"x, y",,,\n',
            c_yaml="deny:\n  - 六合彩\n  - {text: 傻瓜, id: n1, action: log, boundary: word}\nallow: [六合彩票]\n",
        )
    )
    assert found.allow == ("大麻烦", "六合彩票")
    assert found.deny == (
        Term("大麻", "a.2"), Term("bad word", "a.4"), Term("冰毒", "d1", "drugs", Level.HIGH), Term("x, y", "b.3"),
        Term("六合彩", "c.2"), Term("傻瓜", "n1", action=Action.LOG, boundary=Boundary.WORD),
    )  # fmt: skip


def test_no_folder_is_no_words(tmp_path: Path) -> None:
    assert read_lists(tmp_path / "words") == module.WordLists((), ())


@pytest.mark.parametrize(
    ("name", "text", "line", "field", "words"),
    [
        ("a_txt", "好\n…\n", 2, "text", "no letter"),
        ("a_txt", "x" * 101, 1, "text", "longer"),
        ("a_yaml", "deny:\n  - {text: 好, level: hi}\n", 2, "level", "medium"),
        ("a_yaml", "deny:\n  - 好\n  - {text: 好, tags: hi}\n", 3, "tags", "unknown"),
        ("a_yaml", "deny:\n  - {id: hi}\n", 2, "text", "text"),
        ("a_yaml", "deny:\n  - 2026-01-01\n", 2, "text", "quotes"),
        ("a_yaml", "deny: 好\n", 1, "deny", "list"),
        ("a_yaml", "denied: [好]\n", 1, "", "deny"),
        ("a_yaml", "deny:\n  - {text: 好, id: x}\n  - {text: 坏, id: x}\n", 3, "id", "another"),
        ("a_csv", "word\n好\n", 1, "", "columns"),
        ("a_csv", "text,level\n好,low,x\n", 2, "", "cells"),
        ("a_csv", "text,action\n好,explode\n", 2, "action", "block"),
        ("a_docx", "好", None, "", "txt"),
    ],
)
def test_a_wrong_list_is_told_with_its_line(
    tmp_path: Path, name: str, text: str, line: int | None, field: str, words: str
) -> None:
    with pytest.raises(PolicyProblem) as told:
        read_lists(written(tmp_path / "words", **{name: text}))
    assert (told.value.line, told.value.field) == (line, field)
    assert words in told.value.message
    assert told.value.path.parent == tmp_path / "words"


def test_too_many_terms_are_refused_at_once(tmp_path: Path) -> None:
    text = "\n".join(f"w{number}" for number in range(module.MAX_TERMS + 1))
    with pytest.raises(PolicyProblem, match="more than 200000 terms") as told:
        read_lists(written(tmp_path / "words", a_txt=text))
    assert told.value.line == module.MAX_TERMS + 1


@pytest.mark.parametrize("engine", ["pyahocorasick", "daachorse"])
def test_a_policy_has_its_words(tmp_path: Path, engine: str) -> None:
    written(tmp_path / "words", a_txt="大麻\n", allow_txt="大麻袋\n")
    (tmp_path / "policy.yaml").write_text(f"words: {{engine: {engine}}}\n")
    words = load_policy(tmp_path).words
    assert words.check("买大*麻").decision is Decision.BLOCK
    assert words.check("大麻袋").decision is Decision.ALLOW
