"""What every test of the whole service starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.inside import ready
from tests.stack import Stack, eventually

KILLING = ("test_crash.py", "test_no_orphans.py")
"""Last of all tests: the leases of a gateway that was killed lapse in 90 seconds, and until then no version that
the others delete is collected."""
READY_SECONDS = 240.0
"""A killed engine is back within half a minute when it has the machine for itself."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Called with the tests of all folders."""
    here = Path(__file__).parent
    items.sort(key=lambda item: item.path.parent == here and item.path.name in KILLING)


@pytest.fixture(autouse=True)
def ready_before(request: pytest.FixtureRequest) -> None:
    """The shared stack is whole when a test begins, so that a failed test does not fail those after it."""
    if "stack" in request.fixturenames:
        stack: Stack = request.getfixturevalue("stack")
        eventually(lambda: ready(stack), seconds=READY_SECONDS)
