"""What every test of the whole service starts from."""

from __future__ import annotations

import pytest

from tests.service.inside import ready
from tests.stack import Stack, eventually

READY_SECONDS = 240.0
"""A killed engine is back within half a minute when it has the machine for itself."""


@pytest.fixture(autouse=True)
def ready_before(request: pytest.FixtureRequest) -> None:
    """The shared stack is whole when a test begins, so that a failed test does not fail those after it."""
    if "stack" in request.fixturenames:
        stack: Stack = request.getfixturevalue("stack")
        eventually(lambda: ready(stack), seconds=READY_SECONDS)
