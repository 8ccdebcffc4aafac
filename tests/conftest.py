"""Servers that many tests share: each is started once a session, and only if a test asks for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine_process import make_tiny_model
from tests.stack import Stack


@pytest.fixture(scope="session", autouse=True)
def short_thread_turns() -> Iterator[None]:
    """Clients of a test are threads of one interpreter: with turns of 5 ms a busy one makes another wait
    that long at each of its system calls, which adds up to seconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    yield
    sys.setswitchinterval(before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test of running servers races real processes on whatever machine it gets, and may try a second time.

    The report says so (`R`). What is broken fails twice; tests of the code alone have one try.
    """
    for item in items:
        if needs_stack(item) or item.get_closest_marker("engine"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random Llama, made in seconds."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session", autouse=True)
def starting_stack(request: pytest.FixtureRequest) -> Iterator[Stack | None]:
    """Starts with the first test, if any test needs it: reading the bank's policy and loading the engine take more
    than a minute, in which other tests can run."""
    if not any(needs_stack(item) for item in request.session.items):
        yield None
        return
    stack = Stack(request.getfixturevalue("tiny_model"))
    try:
        stack.launch()
        yield stack
    finally:
        stack.clear_away()


@pytest.fixture(scope="session")
def stack(starting_stack: Stack | None) -> Stack:
    """The whole service with one engine. Tests that kill parts of it leave it running again."""
    assert starting_stack is not None
    starting_stack.wait_ready()
    return starting_stack


def needs_stack(item: pytest.Item) -> bool:
    return "stack" in getattr(item, "fixturenames", ())
