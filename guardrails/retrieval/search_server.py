"""Passage search in a server with RediSearch's commands, for more passages than one process should hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from redis import Redis
from redis.exceptions import ResponseError

from guardrails.knowledge.embedding import DIMENSIONS, Vectors
from guardrails.retrieval.index import Found

_TIMEOUT_SECONDS = 2.0
_BATCH = 500
_SEARCH_WIDTH = 200
"""HNSW candidates looked at a search; more find more and take longer."""


class ServerIndex:
    """One index of the server, by its name. Pickles without the connection, which each process opens itself.

    Every method raises redis.exceptions.RedisError when the server is away or answers with an error.
    """

    def __init__(self, url: str, name: str, count: int) -> None:
        self._url = url
        self._name = name
        self._count = count
        self._client: Redis | None = None

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_client": None}

    def __len__(self) -> int:
        return self._count

    def nearest(self, vector: Vectors, count: int) -> list[Found]:
        """The passages whose unit vectors are nearest, nearly always all of them: HNSW is not exact."""
        query = f"*=>[KNN {count} @v $vector EF_RUNTIME {max(_SEARCH_WIDTH, 2 * count)} AS distance]"
        answer = self._call(
            "FT.SEARCH", self._name, query, "PARAMS", 2, "vector", _packed(vector),
            "RETURN", 1, "distance", "SORTBY", "distance", "LIMIT", 0, count, "DIALECT", 2,
        )  # fmt: skip
        found = (
            Found(self._position(key), 1.0 - float(dict(_pairs(fields))[b"distance"]))
            for key, fields in _pairs(answer[1:])
        )
        return sorted(found, key=lambda one: (-one.score, one.position))

    def matching(self, terms: Sequence[str], count: int) -> list[Found]:
        """The best by the server's BM25."""
        if not terms:
            return []
        words = "|".join(_word(term) for term in dict.fromkeys(terms))
        answer = self._call(
            "FT.SEARCH", self._name, f"@t:({words})", "SCORER", "BM25STD", "WITHSCORES", "NOCONTENT",
            "LIMIT", 0, count, "DIALECT", 2,
        )  # fmt: skip
        found = [Found(self._position(key), float(score)) for key, score in _pairs(answer[1:])]
        # Which of several equal ones still came in is chance, and an answer should not hang on that.
        least = min((one.score for one in found), default=0.0) if len(found) == count else 0.0
        return sorted((one for one in found if one.score > least), key=lambda one: (-one.score, one.position))

    def cosines(self, vector: Vectors, positions: Sequence[int]) -> list[float]:
        """How near certain passages are."""
        pipeline = self._connection().pipeline(transaction=False)
        for position in positions:
            pipeline.hget(f"{self._name}:{position}", "v")
        return [float(np.frombuffer(raw, dtype=np.float32) @ vector) for raw in pipeline.execute()]

    def drop(self) -> None:
        """Remove the index and its passages."""
        self._call("FT.DROPINDEX", self._name, "DD")

    def indexed(self) -> int:
        """How many passages the server has under this name; -1 without such an index."""
        try:
            facts: dict[bytes, Any] = dict(_pairs(self._call("FT.INFO", self._name)))
        except ResponseError:
            return -1
        return int(facts[b"num_docs"])

    def _position(self, key: bytes) -> int:
        return int(key.rpartition(b":")[2])

    def _call(self, *command: Any) -> Any:
        client: Any = self._connection()
        return client.execute_command(*command)

    def _connection(self) -> Redis:
        if self._client is None:
            # The older protocol, whose answers are the same with every server of this kind.
            self._client = Redis.from_url(self._url, socket_timeout=_TIMEOUT_SECONDS, protocol=2)
        return self._client


def build_server_index(
    url: str, name: str, vectors: Vectors, passages: Sequence[Sequence[str]]
) -> ServerIndex:
    """Fill the index `name`, unless it is there and whole. A name should come from the content's digest."""
    index = ServerIndex(url, name, len(passages))
    if index.indexed() == len(passages):
        return index
    with suppress(ResponseError):  # There was none.
        index.drop()
    index._call(
        "FT.CREATE", name, "ON", "HASH", "PREFIX", 1, f"{name}:", "STOPWORDS", 0,
        "SCHEMA", "v", "VECTOR", "HNSW", 10, "TYPE", "FLOAT32", "DIM", DIMENSIONS, "DISTANCE_METRIC", "COSINE",
        "M", 16, "EF_CONSTRUCTION", 200, "t", "TEXT", "NOSTEM",
    )  # fmt: skip
    client = index._connection()
    for start in range(0, len(passages), _BATCH):
        pipeline = client.pipeline(transaction=False)
        for position in range(start, min(start + _BATCH, len(passages))):
            words = " ".join(_word(term) for term in passages[position])
            pipeline.hset(f"{name}:{position}", mapping={"v": _packed(vectors[position]), "t": words})
        pipeline.execute()
    return index


def _packed(vector: Vectors) -> bytes:
    return np.ascontiguousarray(vector, dtype=np.float32).tobytes()


def _word(term: str) -> str:
    """A term as letters and digits alone, which no server cuts, stems or takes for a command."""
    return f"x{term.encode('utf-8', 'surrogatepass').hex()}"


def _pairs(items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(items[::2], items[1::2], strict=True)
