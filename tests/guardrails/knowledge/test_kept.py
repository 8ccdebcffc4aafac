"""What was read and embedded once is not read and embedded again, also in another process's build."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from guardrails.knowledge import ingest, kept
from guardrails.knowledge.embedding import E5Embedder, Vectors, embed_passages
from guardrails.knowledge.kept import kept_knowledge

TODAY = date(2026, 11, 25)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    documents = tmp_path / "knowledge"
    documents.mkdir()
    (documents / "fees.md").write_text("# Fees\n\nA transfer costs 2 euros.", encoding="utf-8")
    (documents / "hours.txt").write_text("Hours\n\nWe open at 9:00.", encoding="utf-8")
    return documents


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are parsed, as they are."""
    paths: list[str] = []
    genuine = ingest.read_document

    def noted(raw: bytes, path: str) -> object:
        paths.append(path)
        return genuine(raw, path)

    monkeypatch.setattr(ingest, "read_document", noted)
    return paths


def test_a_second_build_parses_only_what_changed(folder: Path, tmp_path: Path, parsed: list[str]) -> None:
    file = tmp_path / "cache" / "documents.pickle"
    first = kept_knowledge(folder, TODAY, file)
    assert sorted(parsed) == ["fees.md", "hours.txt"]
    parsed.clear()
    assert kept_knowledge(folder, TODAY, file) == first
    assert parsed == []
    (folder / "fees.md").write_text("# Fees\n\nA transfer costs 3 euros.", encoding="utf-8")
    second = kept_knowledge(folder, TODAY, file)
    assert parsed == ["fees.md"]
    assert "A transfer costs 3 euros." in [fact.statement for fact in second.facts]
    parsed.clear()
    (folder / "fees.md").unlink()
    assert [fact.statement for fact in kept_knowledge(folder, TODAY, file).facts] == ["We open at 9:00."]
    assert parsed == []


def test_a_new_day_needs_no_new_parsing(folder: Path, tmp_path: Path, parsed: list[str]) -> None:
    text = "---\nid: F\neffective_from: 2027-01-01\n---\n\nA transfer costs 3 euros."
    (folder / "fees.md").write_text(text, encoding="utf-8")
    file = tmp_path / "documents.pickle"
    assert [fact.statement for fact in kept_knowledge(folder, TODAY, file).facts] == ["We open at 9:00."]
    parsed.clear()
    assert len(kept_knowledge(folder, date(2027, 1, 1), file).facts) == 2
    assert parsed == []


@pytest.mark.parametrize("damage", [b"", b"x", bytes(400)])
def test_a_damaged_file_only_costs_time(
    folder: Path, tmp_path: Path, parsed: list[str], damage: bytes
) -> None:
    file = tmp_path / "documents.pickle"
    first = kept_knowledge(folder, TODAY, file)
    file.write_bytes(file.read_bytes()[:40] + damage)
    assert kept_knowledge(folder, TODAY, file) == first
    assert len(parsed) == 4


def test_what_other_code_kept_is_not_used(
    folder: Path, tmp_path: Path, parsed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "documents.pickle"
    kept_knowledge(folder, TODAY, file)
    parsed.clear()
    monkeypatch.setattr(kept, "code_digest", lambda: b"newer")
    kept_knowledge(folder, TODAY, file)
    assert sorted(parsed) == ["fees.md", "hours.txt"]


class Counting(E5Embedder):
    """The real model, noting what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[str] = []

    def passages(self, texts: Sequence[str]) -> Vectors:
        self.given.extend(texts)
        return super().passages(texts)


def test_an_unchanged_text_is_not_embedded_again(tmp_path: Path) -> None:
    embedder, file = Counting(), tmp_path / "vectors.npz"
    first = embed_passages(embedder, ["one euro", "two euros", "one euro"], file)
    assert embedder.given == ["one euro", "two euros"]
    assert (first[0] == first[2]).all() and np.linalg.norm(first, axis=1) == pytest.approx(1.0, abs=1e-3)
    embedder.given.clear()
    second = embed_passages(embedder, ["two euros", "three euros"], file)
    assert embedder.given == ["three euros"]
    assert (second[0] == first[1]).all()
    file.write_bytes(b"damaged")
    assert (embed_passages(embedder, ["two euros"], file)[0] == first[1]).all()
    assert embedder.given == ["three euros", "two euros"]


def test_policies_share_what_they_both_say_but_not_words_asked_for(tmp_path: Path) -> None:
    embedder = Counting()
    first = embed_passages(embedder, ["one euro", "two euros"], tmp_path / "a.vectors.npz")
    embed_passages(embedder, ["four euros"], tmp_path / "a.vectors-words.npz")
    embedder.given.clear()
    second = embed_passages(embedder, ["two euros", "four euros"], tmp_path / "b.vectors.npz")
    assert embedder.given == ["four euros"]
    assert (second[0] == first[1]).all()
    (tmp_path / "a.vectors.npz").unlink()
    embedder.given.clear()
    embed_passages(embedder, ["two euros", "four euros"], tmp_path / "b.vectors.npz")
    assert embedder.given == [], "what was taken over is not kept"
