"""What the tests of the HTTP contract share: a second gateway with assistants of its own, and an adapter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.models.marker import write_marker_adapter
from tests.stack import Gateway, Stack

ASSISTANTS = {
    "plain": "name: plain\n",
    "orphan": "name: orphan\nadapter: no-such-adapter\nrequired: false\n",
    "short": "name: short\nsystem_prompt: Be brief.\ndefaults: {max_tokens: 3, temperature: 0}\nmax_tokens: 5\n",
    "cashier": "name: cashier\nadapter: contract\nrequired: false\n",
}


@pytest.fixture(scope="package")
def second(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Another gateway on the same state; its assistants: plain, orphan, short, cashier."""
    folder = tmp_path_factory.mktemp("assistants")
    for name, text in ASSISTANTS.items():
        (folder / f"{name}.yaml").write_text(text)
    gateway = stack.add_gateway(ATELIER_ASSISTANTS_DIR=str(folder))
    yield gateway
    gateway.stop()


@pytest.fixture(scope="package")
def marked(stack: Stack, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Version of an adapter that the alias `contract` points to, and the marker it answers with."""
    folder = tmp_path_factory.mktemp("adapter")
    marker = write_marker_adapter(tiny_model, folder, 42)
    version = stack.push(folder, "contract")
    with stack.http() as client:
        answer = client.post("/v1/releases", json={"alias": "contract", "version": version})
    assert answer.status_code == 201, answer.text
    return version, marker
