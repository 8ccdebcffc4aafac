"""Assistant files: what they may hold, and what a wrong one does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.chat.assistants import AssistantFolder, read_assistant

GOOD = """\
name: teller
description: Answers at the counter
adapter: fees
system_prompt: |
  Be brief.
defaults: {temperature: 0.2, max_tokens: 64, stop: ["\\n"]}
max_tokens: 128
required: false
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.yaml"
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text, encoding="utf-8")
    # Two writes of one clock tick must still look like two.
    os.utime(path, ns=(before + 10**9, before + 10**9))
    return path


def test_a_good_file(tmp_path: Path) -> None:
    teller = read_assistant(write(tmp_path, "teller", GOOD))
    assert (teller.name, teller.adapter, teller.max_tokens, teller.required) == ("teller", "fees", 128, False)
    assert teller.system_prompt == "Be brief."
    assert dict(teller.defaults) == {"temperature": 0.2, "max_tokens": 64, "stop": ["\n"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "mapping"),
        ("- a", "mapping"),
        ("name: [", "line"),
        ("adapter: fees", "name"),
        ("name: Bad Name", "name"),
        ("name: x\nadapter: ../fees", "adapter"),
        ("name: x\nmodel: y", "model"),
        ("name: x\nmax_tokens: 0", "max_tokens"),
        ("name: x\ndefaults: {model: y}", "model"),
        ("name: x\ndefaults: {tools: []}", "tools"),
        ("name: x\ndefaults: 5", "defaults"),
        ("name: !!python/object/apply:os.system [echo]", "line"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_assistant(write(tmp_path, "x", text))


@pytest.mark.parametrize(
    "defaults",
    [
        "{max_tokens: many}",
        "{max_tokens: -1}",
        "{temperature: hot}",
        "{temperature: 9}",
        "{stop: [5]}",
        "{seed: x}",
    ],
)
def test_a_preset_the_engine_would_refuse_is_refused_here(tmp_path: Path, defaults: str) -> None:
    """Else every request of the assistant would fail, with an error that blames the client."""
    with pytest.raises(ValueError, match="defaults"):
        read_assistant(write(tmp_path, "x", f"name: x\ndefaults: {defaults}"))


def test_what_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(ValueError, match="UTF-8"):
        read_assistant(tmp_path / "x.yaml")


def test_the_folder_is_read_again_only_when_it_changed(tmp_path: Path) -> None:
    write(tmp_path, "teller", GOOD)
    folder = AssistantFolder(tmp_path)
    assert folder.reload()
    assert not folder.reload()
    write(tmp_path, "teller", GOOD.replace("Be brief.", "Be kind."))
    assert folder.reload()
    teller = folder.get("teller")
    assert teller is not None
    assert teller.system_prompt == "Be kind."
    (tmp_path / "teller.yaml").unlink()
    assert folder.reload()
    assert folder.get("teller") is None


def test_a_file_that_became_wrong_keeps_its_last_good_form(tmp_path: Path) -> None:
    write(tmp_path, "teller", GOOD)
    folder = AssistantFolder(tmp_path)
    folder.reload()
    write(tmp_path, "teller", "name: [")
    assert folder.reload()
    assert folder.get("teller") is not None
    assert [error.path.name for error in folder.loaded.errors] == ["teller.yaml"]
    write(tmp_path, "teller", GOOD)
    folder.reload()
    assert folder.loaded.errors == ()


def test_two_files_of_one_name(tmp_path: Path) -> None:
    write(tmp_path, "a", "name: x\ndescription: first")
    write(tmp_path, "b", "name: x\ndescription: second")
    folder = AssistantFolder(tmp_path)
    folder.reload()
    kept = folder.get("x")
    assert kept is not None
    assert kept.description == "first"
    assert "taken" in str(folder.loaded.errors[0])


def test_the_examples_are_good() -> None:
    folder = AssistantFolder(Path(__file__).parents[3] / "examples" / "bank" / "assistants")
    folder.reload()
    assert folder.loaded.errors == ()
    assert {"bank", "general"} <= folder.loaded.assistants.keys()
