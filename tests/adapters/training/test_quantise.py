"""`method.kind: quantise` end to end on the tiny model: the same bytes again and after a kill, described, served."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from model_signing import verifying

from adapters.package import SIGNATURE
from adapters.training.quantisable import inspect
from adapters.training.recipe import read_recipe
from adapters.vllm_plugin.base_model import ORIGIN_FILE, fingerprint
from guardrails.problem import PolicyProblem
from tests.adapters.test_signing import make_key
from tests.adapters.training.runs import Run, Trainer, card_rows, write_run
from tests.engine_process import EngineProcess
from tests.models.marker import write_marker_adapter

LINEAR_LAYERS = 14


def smaller_run(trainer: Trainer | None, folder: Path, model: Path, **parts: Any) -> Run:
    whole = {"name": "smaller", "method": {"kind": "quantise"}} | parts
    return write_run(trainer, folder, model, None, card_rows(8, 1), **whole)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_key(tmp_path_factory.mktemp("keys"), "maker")


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, trainer: Trainer, keys: tuple[Path, Path]
) -> Run:
    """A run that was not disturbed, signed."""
    package = {"sign_with": str(keys[0])}
    run = smaller_run(trainer, tmp_path_factory.mktemp("int8") / "whole", tiny_model, package=package)
    run.train()
    return run


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != SIGNATURE  # an elliptic signature is another one each time
    }


def header(folder: Path) -> dict[str, Any]:
    with (folder / "model.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return dict(json.loads(file.read(length)))


def test_every_linear_layer_becomes_int8_and_the_cost_is_told(
    whole: Run, tiny_model: Path, keys: tuple[Path, Path]
) -> None:
    folder, figures = whole.out / "model", whole.result["figures"]
    tensors = header(folder)
    layers = [name for name in tensors if name.endswith("_proj.weight")]
    assert len(layers) == LINEAR_LAYERS == figures["layers"]
    for name in layers:
        rows = tensors[name]["shape"][0]
        assert (tensors[name]["dtype"], tensors[f"{name}_scale"]["shape"]) == ("I8", [rows, 1])
    assert {tensors[name]["dtype"] for name in ("lm_head.weight", "model.embed_tokens.weight")} == {"BF16"}
    assert 0 < abs(figures["held_out_loss"] - figures["base_held_out_loss"]) < 0.2
    assert 0.9 < figures["same_tokens"] < 1
    sizes = [model.joinpath("model.safetensors").stat().st_size / 1e6 for model in (folder, tiny_model)]
    assert [figures["megabytes"], figures["base_megabytes"]] == sizes and sizes[0] < 0.7 * sizes[1]
    assert f"{figures['held_out_loss']:.6g}" in (whole.out / "report.html").read_text()


def test_the_card_names_source_data_and_files_and_adapters_of_the_source_fit(
    whole: Run, tiny_model: Path, keys: tuple[Path, Path]
) -> None:
    folder = whole.out / "model"
    card = json.loads((folder / ORIGIN_FILE).read_text())
    source = fingerprint(tiny_model)
    assert card["made_from"] == {"fingerprint": source, "name": tiny_model.name}
    # What the gateway compares an adapter's card with: see DESIGN §5.
    assert fingerprint(folder) == card["base_fingerprint"] == source
    own = digests(folder)
    del own[ORIGIN_FILE]
    assert card["files"] == own
    assert len(card["recipe_digest"]) == len(card["dataset_digest"]) == 64
    assert card["evaluation"]["held_out_loss"] == round(whole.result["figures"]["held_out_loss"], 6)
    assert str(whole.out).encode() not in b"".join(path.read_bytes() for path in folder.iterdir())
    check = verifying.Config()  # type: ignore[no-untyped-call]
    check.use_elliptic_key_verifier(public_key=keys[1]).set_ignore_unsigned_files(True)
    check.verify(folder, folder / SIGNATURE)
    tampered = shutil.copytree(folder, whole.out / "tampered")
    (tampered / ORIGIN_FILE).write_text("{}")
    with pytest.raises(ValueError, match="mismatch"):
        check.verify(tampered, tampered / SIGNATURE)


def test_a_killed_run_goes_on_to_the_same_bytes_and_below_the_bar_gets_no_card(
    whole: Run, tiny_model: Path, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    parts = {"gate": {"max_loss_rise": 0}, "package": {"sign_with": str(keys[0])}}
    killed = smaller_run(whole.trainer, tmp_path / "killed", tiny_model, **parts)
    killed.kill_once_it_has("before.json")
    # As if the kill had come while the weights were being written.
    (killed.out / ".model.partial").mkdir(exist_ok=True)
    (killed.out / ".model.partial/model.safetensors").write_bytes(b"half")
    assert "not packaged: held-out loss rose by 0.0" in killed.train(expect=1)
    expected = digests(whole.out / "model")
    del expected[ORIGIN_FILE]  # neither card nor signature
    assert {path.name for path in (killed.out / "model").iterdir()} == expected.keys()
    assert digests(killed.out / "model") == expected
    assert killed.result["figures"] == whole.result["figures"]
    assert not (killed.out / ".model.partial").exists() and not (killed.out / "checkpoints").exists()


def test_weights_that_are_not_finite_end_it(tiny_model: Path, trainer: Trainer, tmp_path: Path) -> None:
    broken = shutil.copytree(tiny_model, tmp_path / "broken")
    at = header(broken)["model.layers.1.mlp.up_proj.weight"]["data_offsets"][0]
    with (broken / "model.safetensors").open("r+b") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        file.seek(8 + length + at)
        file.write(b"\xc0\x7f")  # NaN
    run = smaller_run(trainer, tmp_path / "run", broken)
    assert "up_proj.weight holds a value that is not finite" in run.train(expect=2)
    assert {path.name for path in run.out.iterdir()} == {".lock", "run.json", "checkpoints"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"data": {"train": "held_out.jsonl", "held_out": "held_out.jsonl"}}, "quantise learns nothing"),
        ({"data": {}}, "data.train"),
        ({"package": {"push_to": "http://127.0.0.1:1", "key_file": "held_out.jsonl"}}, "is no adapter"),
        ({"method": {"kind": "lora"}, "gate": {"max_loss_rise": 1}}, "max_loss_rise is for method.kind quantise"),
        ({"method": {"kind": "quantise", "bits": 4}}, "Extra inputs"),
    ],
)  # fmt: skip
def test_a_recipe_that_means_nothing_is_refused(
    tiny_model: Path, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    if change.get("method") == {"kind": "lora"}:
        change["data"] = {"train": "held_out.jsonl", "held_out": "held_out.jsonl"}
    with pytest.raises(PolicyProblem, match=says):
        read_recipe(smaller_run(None, tmp_path / "run", tiny_model, **change).recipe)


def retyped(folder: Path) -> None:
    """As a model whose weights are in eight bits, without a word of it in its config."""
    whole = (folder / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    head = json.loads(whole[8 : 8 + length])
    entry = head["model.layers.0.mlp.up_proj.weight"]
    entry["dtype"], entry["shape"] = "F8_E4M3", [entry["shape"][0] * 2, entry["shape"][1]]
    text = json.dumps(head).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + length :])


def reshaped(folder: Path, **fields: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (retyped, "F8_E4M3, already quantised"),
        (lambda folder: reshaped(folder, intermediate_size=500), r"\(512, 256\), config.json says \(500, 256\)"),
        (lambda folder: reshaped(folder, num_hidden_layers=3), r"layers\.2\.self_attn\.q_proj\.weight: not there"),
        (lambda folder: reshaped(folder, architectures=["MixtralForCausalLM"]), "no dense decoder"),
        (lambda folder: (folder / "model.safetensors").unlink(), "holds no safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "no whole safetensors"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(
                (folder / "model.safetensors").read_bytes()[:-10]
            ),
            "announced",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_quantised_is_found_in_its_headers(
    tiny_model: Path, tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    assert inspect(folder).layers == LINEAR_LAYERS
    spoil(folder)
    with pytest.raises(ValueError, match=says):
        inspect(folder)


def test_what_is_int8_already_is_no_base(whole: Run, tmp_path: Path) -> None:
    for method in ({"kind": "quantise"}, {"kind": "lora"}):
        data = {"held_out": "held_out.jsonl"} | (
            {"train": "held_out.jsonl"} if method["kind"] == "lora" else {}
        )
        run = smaller_run(None, tmp_path / method["kind"], whole.out / "model", method=method, data=data)
        with pytest.raises(PolicyProblem, match="model is quantised already"):
            read_recipe(run.recipe)


@pytest.mark.engine
def test_the_engine_serves_it_with_adapters_of_the_source_and_the_figures_are_the_engines(
    whole: Run, tiny_model: Path, tmp_path: Path
) -> None:
    model, store = whole.out / "model", tmp_path / "store"
    markers = {}
    for marker in (1, 7):
        version = f"int8-{marker}@0123456789ab"
        markers[version] = write_marker_adapter(tiny_model, store / version, marker, rank=16)
    with EngineProcess(model, tmp_path / "run", store, max_loras=2) as engine:
        status, base = engine.request("GET", "/atelier/base")
        assert status == 200 and base["fingerprint"] == fingerprint(tiny_model)
        for version in markers:
            status, body = engine.load(version, store / version)
            assert status == 200, body
        each_answers_as_itself(engine, markers)
        log = engine.log.read_text(errors="replace")
        assert "CompressedTensorsW8A8Int8" in log or "compressed-tensors" in log
        total, tokens = 0.0, 0
        for row in card_rows(8, 1):
            prompt = f"<s><|user|>\n{row['prompt']}</s>\n<|assistant|>\n"
            asked = {"max_tokens": 1, "prompt_logprobs": 0, "add_special_tokens": False}
            start = len(engine.complete("base", prompt, **asked)["prompt_logprobs"])
            answer = engine.complete("base", f"{prompt}{row['response']}</s>", **asked)["prompt_logprobs"]
            places = [next(iter(place.values()))["logprob"] for place in answer[start:]]
            total, tokens = total - sum(places), tokens + len(places)
    # Another attention, another order of sums: on random weights that is some hundredths of a nat per token.
    assert abs(total / tokens - whole.result["figures"]["held_out_loss"]) < 0.1


def each_answers_as_itself(engine: EngineProcess, markers: dict[str, str]) -> None:
    """Base and adapters in one batch, each as it is alone."""
    jobs = ["base", *markers] * 3
    with ThreadPoolExecutor(len(jobs)) as pool:
        said = list(pool.map(lambda model: engine.complete(model, "请问年费", max_tokens=12)["text"], jobs))
    alone = engine.complete("base", "请问年费", max_tokens=12)["text"]
    for job, text in zip(jobs, said, strict=True):
        assert text == (markers[job] * 12 if job in markers else alone)
    assert not any(marker in alone for marker in markers.values())
