"""What a policy folder may hold at most: more is refused with its place, before it costs time or memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from guardrails.fraud.source import load_fraud
from guardrails.patterns import table
from guardrails.patterns.table import MAX_LENGTH
from guardrails.policy.bundle import build
from guardrails.policy.folder import MAX_FILE_BYTES, PolicyFolder
from guardrails.policy.load import load_policy
from guardrails.policy.yaml_source import MAX_DEPTH, MAX_VALUES, read_yaml
from guardrails.problem import PolicyProblem
from guardrails.verdict import Decision
from guardrails.words.lists import MAX_TERMS, read_lists

GIGABYTE = 1 << 30


def refused(folder: Path) -> PolicyProblem:
    with pytest.raises(PolicyProblem) as found:
        load_policy(folder)
    return found.value


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def hollow(folder: Path, name: str, size: int = GIGABYTE) -> Path:
    """A file of `size` bytes that takes no room on the disk."""
    path = write(folder, name, "")
    with path.open("ab") as file:
        file.truncate(size)
    return path


def test_a_million_words_are_refused_with_the_line_of_the_first_too_many(tmp_path: Path) -> None:
    path = write(tmp_path, "words/deny.txt", "\n".join(f"词{number}" for number in range(1_000_000)))
    found = refused(tmp_path)
    assert (found.path, found.line) == (path, MAX_TERMS + 1)


def test_words_are_counted_over_all_files(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", "\n".join(f"词{number}" for number in range(2000)))
    second = write(tmp_path, "b.csv", "text\n" + "\n".join(f"语{number}" for number in range(MAX_TERMS)))
    with pytest.raises(PolicyProblem) as found:
        read_lists(tmp_path)
    assert (found.value.path, found.value.line) == (second, MAX_TERMS - 2000 + 2)


@pytest.mark.parametrize(
    "name",
    [
        "policy.yaml",
        "fraud.yaml",
        "privacy.yaml",
        "glossary.yaml",
        "replies.yaml",
        "words/a.txt",
        "words/a.yaml",
    ]
    + [f"knowledge/a.{ending}" for ending in ("md", "txt", "html", "docx", "pdf", "csv", "jsonl")],
)
def test_a_gigabyte_is_refused_before_it_is_opened(tmp_path: Path, name: str) -> None:
    path = hollow(tmp_path, name)
    found = refused(tmp_path)
    assert found.path == path
    assert "bytes" in found.message


def test_many_large_files_are_refused_together(tmp_path: Path) -> None:
    for number in range(9):
        hollow(tmp_path, f"words/{number}.txt", MAX_FILE_BYTES)
    with pytest.raises(PolicyProblem) as found:
        PolicyFolder(tmp_path).digest()
    assert found.value.path == tmp_path


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "name", ["policy.yaml", "fraud.yaml", "privacy.yaml", "replies.yaml", "words/a.yaml"]
)
@pytest.mark.parametrize(
    ("text", "line"),
    [
        (laughs(10), 2),
        ("a:\n" + "[" * 100_000, 2),
        ("a: 1\nb:\n  " + "{b: " * 100_000, 3),
        ("a:\n" + "- x\n" * MAX_VALUES, MAX_VALUES - 1),
    ],
    ids=["aliases", "lists", "mappings", "values"],
)
def test_yaml_that_grows_is_refused_where_it_does(tmp_path: Path, name: str, text: str, line: int) -> None:
    path = write(tmp_path, name, text)
    found = refused(tmp_path)
    assert (found.path, found.line) == (path, line)


def test_yaml_may_be_as_deep_as_is_said(tmp_path: Path) -> None:
    deep = MAX_DEPTH - 1
    assert read_yaml(write(tmp_path, "a.yaml", "a: " + "[" * deep + "]" * deep)).data
    with pytest.raises(PolicyProblem):
        read_yaml(write(tmp_path, "b.yaml", "a: " + "[" * (deep + 1) + "]" * (deep + 1)))


@pytest.mark.parametrize(
    "number", ["9" * 1_000_000, "1:59" * 200_000, "0." + "1" * 1_000_000, "-" + "7_" * 500_000]
)
def test_a_number_without_end_is_a_text(tmp_path: Path, number: str) -> None:
    assert isinstance(read_yaml(write(tmp_path, "a.yaml", f"a: {number}")).data["a"], str)


def test_front_matter_has_an_end(tmp_path: Path) -> None:
    path = write(tmp_path, "knowledge/a.md", "---\n" + "a: 1\n" * 100_000 + "---\n# A\n\n年费 100 元")
    found = refused(tmp_path)
    assert (found.path, found.line) == (path, 1)


RULE = "rules:\n  - {id: own, kind: own, when: own, action: warn}\n"


def test_a_runaway_pattern_runs_in_linear_time(tmp_path: Path) -> None:
    check = load_fraud(
        write(tmp_path, "fraud.yaml", "signals:\n  own: ['(a+)+$', '(b|bb)+c{1,3}$']\n" + RULE)
    )
    assert check.check("a" * 100_000).decision is Decision.WARN
    assert check.check("b" * 1_000_000).decision is Decision.ALLOW


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("signals:\n  own: ['((a{100}){100}){100}']\n" + RULE, 2),
        ("signals:\n  other: [x]\n  own: ['" + "a" * (MAX_LENGTH + 1) + "']\n" + RULE, 3),
        ("signals:\n" + "".join(f"  own{n}: [x{n}]\n" for n in range(4001)) + RULE.replace("own", "own1"), 1),
        (
            "signals:\n  own: [x]\n" + RULE
            + "".join(f"  - {{id: r{n}, kind: r, when: own, action: warn}}\n" for n in range(500)),
            4,
        ),
        ("signals:\n  own: [x]\n" + RULE.replace("when: own", "when: " + "(" * 50 + "own" + ")" * 50), 4),
    ],
    ids=["repeats", "long", "patterns", "rules", "depth"],
)  # fmt: skip
def test_a_fraud_file_has_bounds(tmp_path: Path, text: str, line: int) -> None:
    path = write(tmp_path, "fraud.yaml", text)
    with pytest.raises(PolicyProblem) as found:
        load_fraud(path)
    assert (found.value.path, found.value.line) == (path, line)


def test_words_written_out_many_times_are_bounded_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "MAX_TOTAL", 150_000)
    words = "|".join(f"w{number}" for number in range(500))
    signals = "".join(f"  own{number}: ['{{many}}x{number}']\n" for number in range(40))
    text = f"words:\n  many: '{words}'\nsignals:\n{signals}{RULE.replace('own', 'own1')}"
    path = write(tmp_path, "fraud.yaml", text)
    with pytest.raises(PolicyProblem, match="together") as found:
        load_fraud(path)
    assert found.value.path == path
    assert 4 < (found.value.line or 0) < 44


def test_the_process_that_builds_says_what_is_wrong(tmp_path: Path) -> None:
    path = hollow(tmp_path, "knowledge/a.md")
    with pytest.raises(PolicyProblem) as found:
        build(tmp_path)
    assert found.value.path == path


def test_the_process_that_builds_has_a_bound_on_its_memory() -> None:
    script = "from guardrails.policy import build; build._bound_memory(); bytearray(build.MEMORY + 1)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "MemoryError" in done.stderr
