"""How often the passages that hold the answer are found, by meaning, by words and by both; and how fast.

    python -m benchmarks.guardrail_retrieval [--quick] [--server redis://…]

Recall@k: the share of answerable questions whose k best passages together hold every value the answer must have (of
the right document, where a list names it). Sums to be worked out and questions that lean on an earlier one are left
out: retrieval alone does not answer them. Nothing here is tuned on the questions.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import yaml

from guardrails.answers.folding import fold, matchable
from guardrails.answers.glossary import Glossary, read_glossary
from guardrails.evaluation.questions import folded
from guardrails.knowledge.embedding import E5Embedder, Vectors, embed_passages
from guardrails.knowledge.fact import Fact
from guardrails.knowledge.ingest import read_knowledge
from guardrails.language import detect
from guardrails.retrieval.index import MemoryIndex, PassageIndex
from guardrails.retrieval.passages import passage_text
from guardrails.retrieval.retriever import Retriever, fuse
from guardrails.retrieval.search_server import build_server_index
from guardrails.retrieval.terms import terms_of

ROOT = Path(__file__).resolve().parents[1]
BANK = ROOT / "examples" / "bank"
COMPANIES = ROOT / "tests" / "guardrails"
CACHE = ROOT / "var" / "bench" / "retrieval"
TODAY = date(2026, 11, 25)
KEEP = (1, 5)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: its vector, the wordings of each value wanted, the documents they may come from."""

    text: str
    lang: str
    vector: Vectors
    translated: str
    """English terms in Chinese, as far as the glossary has them."""
    vector_of_both: Vectors
    wanted: tuple[tuple[str, ...], ...]
    documents: frozenset[str]


@dataclass(frozen=True, slots=True)
class Company:
    """One company's passages and questions."""

    name: str
    facts: tuple[Fact, ...]
    index: PassageIndex
    questions: tuple[Asked, ...]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guardrail_retrieval", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the bank alone, and no times")
    parser.add_argument("--server", default="", help="a server with RediSearch's commands, to be timed too")
    options = parser.parse_args()
    embedder = E5Embedder()
    bank = company(
        "bank", BANK / "policy" / "knowledge", BANK / "evaluation" / "questions_tune.jsonl", embedder
    )
    report(bank)
    if options.quick:
        return
    for name in ("second_company", "third_company"):
        folder = COMPANIES / name
        report(company(name, folder / "policy" / "knowledge", folder / "questions.jsonl", embedder))
    times(bank, embedder, options.server)


def company(name: str, documents: Path, questions: Path, embedder: E5Embedder) -> Company:
    knowledge, _ = read_knowledge(documents, TODAY)
    texts = [passage_text(fact) for fact in knowledge.facts]
    vectors = embed_passages(embedder, texts, CACHE / f"{name}.npz")
    index = MemoryIndex(vectors, [terms_of(text) for text in texts])
    rows = [json.loads(line) for line in questions.read_text(encoding="utf-8").splitlines()]
    glossary = read_glossary(documents.parent / "glossary.yaml")
    asked = read_questions([row for row in rows if is_asked(row)], glossary, embedder)
    return Company(name, knowledge.facts, index, asked)


def is_asked(row: Mapping[str, Any]) -> bool:
    return row["type"] == "answerable" and len(row["messages"]) == 1 and "-arith-" not in row["id"]


def read_questions(
    rows: Sequence[Mapping[str, Any]], glossary: Glossary, embedder: E5Embedder
) -> tuple[Asked, ...]:
    listed = yaml.safe_load((BANK / "evaluation" / "facts.yaml").read_text(encoding="utf-8"))["facts"]
    sources = {fact["id"]: fact["source"].partition(" / ")[0] for fact in listed}
    texts = [row["messages"][0]["content"] for row in rows]
    return tuple(
        Asked(
            text,
            detect(text),
            embedder.queries([text])[0],
            translated := translation(text, glossary),
            embedder.queries([f"{text} {translated}"])[0],
            tuple(tuple(folded(one) for one in group) for group in row["must_include"]),
            frozenset(sources[one] for one in row.get("facts", ()) if one in sources),
        )
        for row, text in zip(rows, texts, strict=True)
    )


def translation(text: str, glossary: Glossary) -> str:
    if detect(text) != "en":
        return ""
    left, found = matchable(fold(text)), []
    for term in sorted(glossary.english, key=len, reverse=True):
        if term in left:
            left = left.replace(term, " ")
            found.append(" ".join(glossary.english[term]))
    return " ".join(found)


Way = Callable[[Company, Asked], list[int]]


def by_meaning(where: Company, asked: Asked) -> list[int]:
    return [one.position for one in where.index.nearest(asked.vector, max(KEEP))]


def by_words(where: Company, asked: Asked) -> list[int]:
    return [one.position for one in where.index.matching(terms_of(asked.text), max(KEEP))]


def by_both(where: Company, asked: Asked) -> list[int]:
    near, alike = where.index.nearest(asked.vector, 100), where.index.matching(terms_of(asked.text), 100)
    return [one.position for one in fuse([near, alike])[: max(KEEP)]]


def in_one_language(where: Company, asked: Asked) -> list[int]:
    retriever = Retriever(where.index, [fact.lang for fact in where.facts])
    return [one.position for one in retriever.search(asked.text, asked.lang, asked.vector, max(KEEP))]


def by_translated_meaning(where: Company, asked: Asked) -> list[int]:
    return [one.position for one in where.index.nearest(asked.vector_of_both, max(KEEP))]


def with_glossary(where: Company, asked: Asked) -> list[int]:
    retriever = Retriever(where.index, [fact.lang for fact in where.facts])
    found = retriever.search(asked.text, asked.lang, asked.vector_of_both, max(KEEP), asked.translated)
    return [one.position for one in found]


WAYS: Mapping[str, Way] = {
    "meaning (e5)": by_meaning,
    "words (BM25)": by_words,
    "both, always": by_both,
    "both, in one language": in_one_language,
}
TRANSLATED: Mapping[str, Way] = {
    "meaning, with glossary": by_translated_meaning,
    "both, with glossary": with_glossary,
}
"""For English questions about Chinese documents."""


def report(where: Company) -> None:
    groups: dict[str, list[Asked]] = defaultdict(list)
    written = {fact.lang for fact in where.facts}
    for one in where.questions:
        crosses = written == {"zh"} and one.lang == "en"
        groups[f"{one.lang}, of Chinese documents" if crosses else one.lang].append(one)
    print(f"{where.name}: {len(where.facts)} passages, {len(where.questions)} questions")
    for group, members in sorted(groups.items()):
        crossing = group.endswith("documents")
        for name, way in {**WAYS, **(TRANSLATED if crossing else {})}.items():
            found = [way(where, asked) for asked in members]
            shares = [
                sum(
                    holds(where, asked, positions[:count])
                    for asked, positions in zip(members, found, strict=True)
                )
                for count in KEEP
            ]
            said = "  ".join(
                f"recall@{count} {share:3}/{len(members)} {share / len(members):6.1%}"
                for count, share in zip(KEEP, shares, strict=True)
            )
            print(f"  {group:26} {name:22} {said}")


def holds(where: Company, asked: Asked, positions: Sequence[int]) -> bool:
    """Whether these passages together have every value."""
    facts = [where.facts[position] for position in positions]
    right = [fact for fact in facts if not asked.documents or fact.source.doc_id in asked.documents]
    text = folded("\n".join(passage_text(fact) for fact in right))
    return bool(right) and all(any(word in text for word in group) for group in asked.wanted)


def times(bank: Company, embedder: E5Embedder, server: str) -> None:
    """Whole searches, embedding included, of the bank's questions among as many passages as said."""
    texts = [passage_text(fact) for fact in bank.facts]
    asked = bank.questions[:100]
    vectors = embed_passages(embedder, texts, CACHE / "bank.npz")
    print("milliseconds a question, p50: embedding / search / together (processor time of it)")
    for count in (1_000, 20_000):
        made, terms = multiplied(vectors, [terms_of(text) for text in texts], count)
        time_one(f"{count:6} in memory", MemoryIndex(made, terms), embedder, asked)
        if server:
            started = time.perf_counter()
            index = build_server_index(server, f"bench-{count}", made, terms)
            filled = time.perf_counter() - started
            time_one(f"{count:6} in a server", index, embedder, asked)
            exact = MemoryIndex(made, terms)
            shared = [
                len({one.position for one in index.nearest(question.vector, 10)}
                    & {one.position for one in exact.nearest(question.vector, 10)})
                for question in asked
            ]  # fmt: skip
            print(
                f"         filled in {filled:.1f} s; {sum(shared) / len(shared) / 10:.1%} of the exact ten nearest"
            )
            index.drop()


def time_one(name: str, index: PassageIndex, embedder: E5Embedder, asked: Sequence[Asked]) -> None:
    retriever = Retriever(index, ["zh"] * len(index))
    embedding, searching, together, busy = [], [], [], []
    for question in asked:
        start, thread = time.perf_counter(), time.thread_time()
        vector = embedder.queries([question.text])[0]
        middle = time.perf_counter()
        retriever.search(question.text, "zh", vector)
        end = time.perf_counter()
        busy.append(time.thread_time() - thread)
        embedding.append(middle - start)
        searching.append(end - middle)
        together.append(end - start)
    parts = " / ".join(f"{1000 * median(part):.1f}" for part in (embedding, searching, together))
    print(f"  {name:20} {parts} ({1000 * median(busy):.1f})")


def multiplied(
    vectors: Vectors, terms: Sequence[tuple[str, ...]], count: int
) -> tuple[Vectors, list[tuple[str, ...]]]:
    """The passages again and again, each copy a little different, up to `count`: for times, not for quality."""
    random = np.random.default_rng(1)
    positions = [at % len(terms) for at in range(count)]
    made = vectors[positions] + random.normal(scale=0.01, size=(count, vectors.shape[1])).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made, [(*terms[position], f"copy{at}") for at, position in enumerate(positions)]


if __name__ == "__main__":
    main()
