"""Every operation of the OpenAPI document, with generated good and bad input: no server error, ever."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from app.config import Settings
from app.main import create_app
from tests.stack import Stack

DOCUMENT = create_app(Settings(state_url="unix:///nowhere")).openapi()
OPERATIONS = [
    (method, path)
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
    if method != "parameters"
]
# What takes no input has no wrong input.
INPUTLESS = {"/healthz", "/readyz", "/metrics"}
CASES = [
    (method, path, mode)
    for method, path in OPERATIONS
    for mode in GenerationMode
    if path not in INPUTLESS or mode is GenerationMode.POSITIVE
]
# Of one operation; generation costs more than the requests.
EXAMPLES = 20


def test_the_document_is_the_one_that_is_served(stack: Stack) -> None:
    assert httpx.get(f"{stack.url}/openapi.json", timeout=30).json() == DOCUMENT


@pytest.fixture(scope="module")
def key(stack: Stack) -> str:
    """Every scope, but not the first admin key: what it may revoke is only what it has made or guessed."""
    return stack.make_key(scopes=["admin"], name="schemathesis")


@pytest.mark.parametrize(("method", "path", "mode"), CASES)
def test_no_server_error(stack: Stack, key: str, method: str, path: str, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    schema.config.update(base_url=stack.url)
    operation = schema[path][method.upper()]
    seen: Counter[int] = Counter()
    began = time.monotonic()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def run(data: Any) -> None:
        case = data.draw(operation.as_strategy(generation_mode=mode))
        # Bounded in time as well: on a busy machine fewer requests, not a longer test.
        if time.monotonic() - began > 6:
            return
        if path.endswith("completions") and mode is GenerationMode.POSITIVE:
            # A model that exists, so that the other fields come before the engine; and short answers.
            case.body |= {"model": "general", "max_tokens": 2, "max_completion_tokens": 2}
        answer = case.call(headers={"Authorization": f"Bearer {key}"}, timeout=60)
        seen[answer.status_code] += 1
        declared = {str(status) for status in operation.definition.raw["responses"]}
        assert answer.status_code < 500 or (answer.status_code == 503 and "503" in declared), (
            answer.status_code,
            answer.text[:300],
            case.as_curl_command(),
        )
        if answer.status_code >= 400:
            assert answer.json()["error"]["message"]

    run()
    assert seen
