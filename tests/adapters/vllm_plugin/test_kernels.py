"""The LoRA kernels against a row-by-row reference, in the engine's environment."""

import ast
import json
import subprocess
from pathlib import Path

import pytest

from tests.engine_process import ENGINE_PYTHON, engine_environment

SCRIPT = Path(__file__).with_name("kernel_checks.py")
CHECKS = sorted(
    node.name
    for node in ast.parse(SCRIPT.read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("check_")
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    ran = subprocess.run(
        [str(ENGINE_PYTHON), str(SCRIPT)],
        capture_output=True,
        text=True,
        timeout=300,
        env=engine_environment(None, None),
        cwd=tmp_path_factory.mktemp("kernels"),
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    found: dict[str, str | None] = json.loads(ran.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("check", CHECKS)
def test_kernels(results: dict[str, str | None], check: str) -> None:
    assert check in results, "the check did not run"
    assert results[check] is None, results[check]
