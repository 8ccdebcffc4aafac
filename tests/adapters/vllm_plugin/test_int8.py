"""An INT8 (W8A8, compressed-tensors) base with adapters on the real engine."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.engine_process import EngineProcess, make_tiny_model
from tests.models.marker import write_marker_adapter

pytestmark = pytest.mark.engine


def test_adapters_answer_on_an_int8_base(tmp_path: Path) -> None:
    model, store = make_tiny_model(tmp_path / "model", int8=True), tmp_path / "store"
    markers = {}
    for marker in (1, 2):
        version = f"int8-{marker}@0123456789ab"
        markers[version] = write_marker_adapter(model, store / version, marker, rank=16)
    with EngineProcess(model, tmp_path / "run", store, max_loras=2) as engine:
        for version in markers:
            status, body = engine.load(version, store / version)
            assert status == 200, body
        jobs = ["base", *markers] * 3
        with ThreadPoolExecutor(len(jobs)) as pool:
            said = list(
                pool.map(lambda model: engine.complete(model, "请问年费", max_tokens=12)["text"], jobs)
            )
        alone = engine.complete("base", "请问年费", max_tokens=12)["text"]
        for job, text in zip(jobs, said, strict=True):
            assert text == (markers[job] * 12 if job in markers else alone)
        assert not any(marker in alone for marker in markers.values())
        log = engine.log.read_text(errors="replace")
        assert "CompressedTensorsW8A8Int8" in log or "compressed-tensors" in log
