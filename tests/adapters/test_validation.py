"""What validation lets through and what it refuses, and that nothing makes it raise."""

import json
import math
import os
import pickle
import time
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.package import CONFIG, PackageFiles
from adapters.validation import MAX_RELATIVE_NORM, ValidationReport, validate
from tests.adapters.adapter_builder import (
    ALL_MODULES,
    BASE,
    BASE_CONFIG,
    Adapter,
    Entry,
    Recipe,
    build,
    entry,
    safetensors,
    tensor_name,
    with_header,
)

Q0 = "model.layers.0.self_attn.q_proj"
A0, B0 = tensor_name(Q0, "A"), tensor_name(Q0, "B")
PER_FUNCTION = [HealthCheck.function_scoped_fixture]


def check(adapter: Adapter, directory: Path) -> ValidationReport:
    return validate(adapter.write(directory), BASE)


def codes(report: ValidationReport) -> set[str]:
    return {problem.code for problem in report.problems}


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("modules", [("q_proj",), ("q_proj", "v_proj"), ALL_MODULES])
def test_valid(tmp_path: Path, dtype: str, modules: tuple[str, ...]) -> None:
    report = check(build(Recipe(dtype=dtype, modules=modules)), tmp_path)
    assert report.problems == ()
    assert report.warnings == ()
    assert report.summary.dtype == dtype
    assert report.summary.modules == tuple(sorted(modules))
    assert report.summary.layers == (0, 1, 2)
    assert report.summary.rank == 4
    assert report.summary.tensors == 6 * len(modules)
    assert 0 < report.summary.norm < 5


def test_norm_is_the_bound_it_says(tmp_path: Path) -> None:
    adapter = build()
    report = check(adapter, tmp_path)

    def norm(name: str) -> float:
        return float(np.linalg.norm(np.frombuffer(adapter.tensors[name][2], "<f4").astype(float)))

    expected = 0.0
    for name in adapter.tensors:
        if "lora_A" in name:
            other = name.replace("lora_A", "lora_B")
            size = 0.02 * (adapter.tensors[name][1][1] * adapter.tensors[other][1][0]) ** 0.5
            expected = max(expected, 8 / 4 * norm(name) * norm(other) / size)
    assert report.summary.norm == pytest.approx(expected, rel=1e-9)


CONFIGS: list[tuple[str, dict[str, Any], str]] = [
    ("dora", {"use_dora": True}, "feature_refused"),
    ("bias", {"bias": "all"}, "feature_refused"),
    ("lora bias", {"lora_bias": True}, "feature_refused"),
    ("alora", {"alora_invocation_tokens": [1]}, "feature_refused"),
    ("replication", {"layer_replication": [[0, 2], [1, 3]]}, "feature_refused"),
    ("pissa", {"init_lora_weights": "pissa"}, "feature_refused"),
    ("pissa niter", {"init_lora_weights": "pissa_niter_16"}, "feature_refused"),
    ("olora", {"init_lora_weights": "olora"}, "feature_refused"),
    ("corda", {"init_lora_weights": "corda"}, "feature_refused"),
    ("loftq", {"init_lora_weights": "loftq"}, "feature_refused"),
    ("init number", {"init_lora_weights": 1}, "feature_refused"),
    ("saved modules", {"modules_to_save": ["lm_head"]}, "feature_refused"),
    ("tokens", {"trainable_token_indices": [5]}, "feature_refused"),
    ("token 0", {"trainable_token_indices": 0}, "feature_refused"),
    ("type", {"peft_type": "IA3"}, "feature_refused"),
    ("task", {"task_type": "SEQ_CLS"}, "feature_refused"),
    ("transposed", {"fan_in_fan_out": True}, "feature_refused"),
    ("unknown", {"use_new_thing": True}, "field_unknown"),
    ("vllm's own", {"vllm_lora_scaling_factor": 100.0}, "field_unknown"),
    ("rank 0", {"r": 0}, "rank_invalid"),
    ("rank text", {"r": "4"}, "rank_invalid"),
    ("rank true", {"r": True}, "rank_invalid"),
    ("rank unlike tensors", {"r": 2}, "rank_mismatch"),
    ("rank too big", {"r": 65}, "rank_too_big"),
    ("pattern rank too big", {"rank_pattern": {"q_proj": 65}}, "rank_too_big"),
    ("pattern rank unlike tensors", {"rank_pattern": {"q_proj": 2}}, "rank_mismatch"),
    ("pattern of garbage", {"rank_pattern": {"q_proj": "x"}}, "rank_invalid"),
    ("pattern list", {"rank_pattern": ["q_proj"]}, "type_invalid"),
    ("runaway pattern", {"alpha_pattern": {"(a+)+b": 3}}, "pattern_refused"),
    ("alpha 0", {"lora_alpha": 0}, "alpha_invalid"),
    ("alpha negative", {"lora_alpha": -8}, "alpha_invalid"),
    ("alpha huge", {"lora_alpha": 10**15}, "alpha_invalid"),
    ("alpha text", {"lora_alpha": "8"}, "alpha_invalid"),
    ("alpha too strong", {"lora_alpha": 500_000}, "norm_too_large"),
    ("alpha pattern too strong", {"alpha_pattern": {"q_proj": 500_000}}, "norm_too_large"),
    ("targets missing", {"target_modules": None}, "target_modules_invalid"),
    ("targets empty", {"target_modules": []}, "target_modules_invalid"),
    ("targets mixed", {"target_modules": ["q_proj", 3]}, "target_modules_invalid"),
    ("targets too few", {"target_modules": ["q_proj"]}, "target_mismatch"),
    ("targets too many", {"target_modules": [*ALL_MODULES]}, "target_mismatch"),
    ("targets all linear", {"target_modules": "all-linear"}, "target_mismatch"),
    ("targets pattern", {"target_modules": r".*\.(q|k)_proj"}, "target_mismatch"),
    ("excluded", {"exclude_modules": ["q_proj"]}, "target_mismatch"),
    ("some layers", {"layers_to_transform": [0, 1]}, "target_mismatch"),
    ("layer text", {"layers_to_transform": "0"}, "layers_invalid"),
    ("other layers", {"layers_pattern": "blocks"}, "layers_invalid"),
    ("rslora text", {"use_rslora": "yes"}, "type_invalid"),
]


@pytest.mark.parametrize(
    ("fields", "code"), [case[1:] for case in CONFIGS], ids=[case[0] for case in CONFIGS]
)
def test_config_refused(tmp_path: Path, fields: dict[str, Any], code: str) -> None:
    report = check(build().configured(**fields), tmp_path)
    assert code in codes(report)
    problem = next(problem for problem in report.problems if problem.code == code)
    assert len(problem.message) > 15


@pytest.mark.parametrize(
    "fields",
    [
        {"use_rslora": True},
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": False},
        {"target_modules": r".*\.(q|v)_proj"},
        {"target_modules": r"model\.layers\.\d+\.self_attn\.[qv]_proj"},
        {"layers_to_transform": [0, 1, 2]},
        {"target_modules": ["q_proj", "v_proj", "k_proj"], "exclude_modules": ["k_proj"]},
        {"target_modules": ["q_proj", "v_proj", "k_proj"], "exclude_modules": r".*k_proj"},
        {"rank_pattern": {"q_proj": 4}, "alpha_pattern": {r"layers\.[01]\..*": 4}, "r": 4},
        {"rank_pattern": {"q_proj": 4, "v_proj": 4}, "r": 16},
        {"target_modules": [f"model.layers.{n}.self_attn.{m}_proj" for n in range(3) for m in "qv"]},
    ],
)
def test_config_served(tmp_path: Path, fields: dict[str, Any]) -> None:
    assert check(build().configured(**fields), tmp_path).problems == ()


def test_minimal_config(tmp_path: Path) -> None:
    config = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}
    assert check(replace(build(), config=config), tmp_path).problems == ()


def test_mixed_ranks_follow_the_pattern(tmp_path: Path) -> None:
    small, large = build(Recipe(modules=("q_proj",), rank=2)), build(Recipe(modules=("v_proj",), rank=8))
    adapter = Adapter(build(Recipe(rank=8)).config, {**small.tensors, **large.tensors})
    assert codes(check(adapter, tmp_path / "without")) == {"rank_mismatch"}
    assert check(adapter.configured(rank_pattern={"q_proj": 2}), tmp_path / "with").ok


A_VALUES = np.full((4, 32), 0.1)
B_VALUES = np.full((32, 4), 0.1)
TENSORS: list[tuple[str, str, Entry | None, str]] = [
    ("no partner", B0, None, "unpaired"),
    ("wrong inputs", A0, entry(A_VALUES[:, :31]), "shape_mismatch"),
    ("wrong outputs", B0, entry(np.full((31, 4), 0.1)), "shape_mismatch"),
    ("broadcastable", A0, entry(A_VALUES[:, :1]), "shape_mismatch"),
    ("ranks of a pair differ", B0, entry(np.full((32, 3), 0.1)), "rank_mismatch"),
    ("vector", A0, entry(A_VALUES.ravel()), "shape_mismatch"),
    ("layer too high", tensor_name("model.layers.3.self_attn.q_proj", "A"), entry(A_VALUES), "layer_unknown"),
    ("layer 00", tensor_name("model.layers.00.self_attn.q_proj", "A"), entry(A_VALUES), "module_unknown"),
    ("wrong part", tensor_name("model.layers.0.mlp.q_proj", "A"), entry(A_VALUES), "module_unknown"),
    ("packed", tensor_name("model.layers.0.self_attn.qkv_proj", "A"), entry(A_VALUES), "module_unknown"),
    ("no model prefix", tensor_name("layers.0.self_attn.q_proj", "A"), entry(A_VALUES), "module_unknown"),
    ("no peft prefix", "model.layers.0.self_attn.q_proj.lora_A.weight", entry(A_VALUES), "name_unknown"),
    ("adapter name", A0.replace("lora_A", "lora_A.default"), entry(A_VALUES), "name_unknown"),
    ("newline", A0 + "\n", entry(A_VALUES), "name_unknown"),
    ("unicode", A0.replace("q_proj", "q_proјсс"), entry(A_VALUES), "name_unknown"),
    ("empty name", "", entry(A_VALUES), "name_unknown"),
    ("head", "base_model.model.lm_head.lora_A.weight", entry(A_VALUES), "module_refused"),
    ("head's base", "base_model.model.lm_head.base_layer.weight", entry(A_VALUES), "module_refused"),
    ("embedding", "base_model.model.model.embed_tokens.lora_embedding_A", entry(A_VALUES), "module_refused"),
    ("dora", A0.replace("lora_A.weight", "lora_magnitude_vector"), entry(A_VALUES[0]), "feature_refused"),
    ("bias", A0.replace("lora_A.weight", "lora_B.bias"), entry(A_VALUES[0]), "feature_refused"),
    ("int8", A0, ("I8", (4, 32), bytes(128)), "dtype_not_allowed"),
    ("float64", A0, ("F64", (4, 32), bytes(1024)), "dtype_not_allowed"),
    ("no values", A0, ("F32", (0, 32), b""), "shape_invalid"),
    ("too large", A0, entry(np.full((4, 32), 1e6)), "value_too_large"),
]


@pytest.mark.parametrize(
    ("name", "value", "code"), [case[1:] for case in TENSORS], ids=[case[0] for case in TENSORS]
)
def test_tensor_refused(tmp_path: Path, name: str, value: Entry | None, code: str) -> None:
    assert code in codes(check(build().with_tensor(name, value), tmp_path))


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", [0, -1])
def test_one_value_not_finite(tmp_path: Path, dtype: str, bad: float, where: int) -> None:
    values = B_VALUES.copy()
    values.flat[where] = bad
    report = check(build(Recipe(dtype=dtype)).with_tensor(B0, entry(values, dtype)), tmp_path)
    assert codes(report) == {"not_finite"}
    assert "q_proj" in report.problems[0].where


def test_not_finite_behind_the_first_chunk(tmp_path: Path) -> None:
    base = replace(
        BASE, config={**BASE_CONFIG, "hidden_size": 4096, "num_hidden_layers": 1}, max_lora_rank=512
    )
    adapter = build(Recipe(modules=("gate_proj",), rank=512, base=base))
    name = tensor_name("model.layers.0.mlp.gate_proj", "A")
    values = np.full((512, 4096), 0.01)  # 8 MiB, four chunks
    values[-1, -1] = np.nan
    files = adapter.with_tensor(name, entry(values)).write(tmp_path)
    assert codes(validate(files, base)) == {"not_finite"}


def test_no_effect(tmp_path: Path) -> None:
    adapter = build()
    for name in list(adapter.tensors):
        if "lora_B" in name:
            dtype, shape, raw = adapter.tensors[name]
            adapter = adapter.with_tensor(name, (dtype, shape, bytes(len(raw))))
    assert codes(check(adapter, tmp_path)) == {"no_effect"}


def test_norm_limit_is_where_it_says(tmp_path: Path) -> None:
    norm = check(build(), tmp_path / "a").summary.norm
    alpha = 8 * MAX_RELATIVE_NORM / norm
    assert check(build().configured(lora_alpha=alpha * 0.999), tmp_path / "b").ok
    assert codes(check(build().configured(lora_alpha=alpha * 1.001), tmp_path / "c")) == {"norm_too_large"}


def test_all_problems_at_once(tmp_path: Path) -> None:
    values = B_VALUES.copy()
    values[3, 1] = np.nan
    adapter = (
        build()
        .with_tensor(B0, entry(values))
        .with_tensor(tensor_name("model.layers.9.x", "A"), entry(A_VALUES))
    )
    adapter = replace(adapter.configured(use_dora=True, r=2), card={"base": {"fingerprint": "other"}})
    found = codes(check(adapter, tmp_path))
    assert found >= {"feature_refused", "rank_mismatch", "not_finite", "module_unknown", "base_mismatch"}


def header_of(weights: bytes) -> dict[str, Any]:
    length = int.from_bytes(weights[:8], "little")
    header: dict[str, Any] = json.loads(weights[8 : 8 + length])
    return header


def rewritten(change: dict[str, Any]) -> bytes:
    weights = safetensors(build().tensors)
    length = int.from_bytes(weights[:8], "little")
    return with_header(json.dumps({**header_of(weights), **change}).encode(), weights[8 + length :])


def zip_file(directory: Path) -> bytes:
    path = directory / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"x" * 100)
    return path.read_bytes()


F32_4X32 = {"dtype": "F32", "shape": [4, 32]}
FILES: list[tuple[str, bytes, str]] = [
    ("empty", b"", "truncated"),
    ("seven bytes", b"1234567", "truncated"),
    ("header longer than file", (10_000).to_bytes(8, "little") + b"{}", "truncated"),
    ("huge header", (1 << 40).to_bytes(8, "little") + b"{}", "header_too_large"),
    ("header 2 MiB", with_header(b" " * (2 << 20)), "header_too_large"),
    ("cut", safetensors(build().tensors)[:-1], "truncated"),
    ("one byte more", safetensors(build().tensors) + b"x", "trailing_bytes"),
    ("no tensors", with_header(b"{}"), "no_tensors"),
    ("not json", with_header(b"{'a': 1}"), "json_invalid"),
    ("list", with_header(b"[]"), "json_not_object"),
    ("not utf-8", with_header(b'{"\xff": 1}'), "json_not_utf8"),
    ("deep", with_header(b'{"a":' * 5000 + b"1" + b"}" * 5000), "json_too_deep"),
    ("deep but parsable", with_header(b'{"a":' * 200 + b"1" + b"}" * 200), "json_too_deep"),
    ("twice", with_header(b'{"a": 1, "a": 2}'), "json_invalid"),
    ("surrogate", with_header(b'{"\\ud800": 1}'), "json_invalid"),
    ("infinite", with_header(b'{"a": 1e999}'), "json_invalid"),
    ("nan", with_header(b'{"a": NaN}'), "json_invalid"),
    ("long integer", with_header(b'{"a": ' + b"9" * 100_000 + b"}"), "json_invalid"),
    ("entry text", rewritten({A0: "x"}), "entry_invalid"),
    ("entry with more", rewritten({A0: {**F32_4X32, "data_offsets": [0, 512], "x": 1}}), "entry_invalid"),
    ("offsets swapped", rewritten({A0: {**F32_4X32, "data_offsets": [512, 0]}}), "size_mismatch"),
    ("offsets negative", rewritten({A0: {**F32_4X32, "data_offsets": [-512, 0]}}), "offsets_invalid"),
    (
        "offsets outside",
        rewritten({A0: {**F32_4X32, "data_offsets": [1 << 40, (1 << 40) + 512]}}),
        "truncated",
    ),
    ("offsets floats", rewritten({A0: {**F32_4X32, "data_offsets": [0.0, 512.0]}}), "offsets_invalid"),
    ("overlap", rewritten({A0: {**F32_4X32, "data_offsets": [512, 1024]}}), "overlap"),
    ("hole", rewritten({A0: {"dtype": "F32", "shape": [1, 32], "data_offsets": [0, 128]}}), "hole"),
    (
        "shape beyond",
        rewritten({A0: {"dtype": "F32", "shape": [1 << 62], "data_offsets": [0, 4]}}),
        "shape_invalid",
    ),
    (
        "shape product",
        rewritten({A0: {"dtype": "F32", "shape": [1 << 40] * 8, "data_offsets": [0, 4]}}),
        "size_mismatch",
    ),
    ("metadata", rewritten({"__metadata__": {"a": 1}}), "metadata_invalid"),
    ("pickle 2", pickle.dumps({"a": 1}, 2), "not_safetensors"),
    ("pickle 5", pickle.dumps({"a": 1}, 5), "not_safetensors"),
    ("gguf", b"GGUF" + bytes(100), "not_safetensors"),
    (
        "lfs pointer",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "not_safetensors",
    ),
]


@pytest.mark.parametrize(("weights", "code"), [case[1:] for case in FILES], ids=[case[0] for case in FILES])
def test_file_refused(tmp_path: Path, weights: bytes, code: str) -> None:
    assert code in codes(check(replace(build(), weights=weights), tmp_path))


def test_zip_refused(tmp_path: Path) -> None:
    assert "not_safetensors" in codes(check(replace(build(), weights=zip_file(tmp_path)), tmp_path / "p"))


def test_too_many_tensors(tmp_path: Path) -> None:
    adapter = replace(build(), weights=safetensors({str(n): ("F16", (1,), b"\0\0") for n in range(8193)}))
    assert "too_many_tensors" in codes(check(adapter, tmp_path))


def test_pipes_and_links_are_not_read(tmp_path: Path) -> None:
    files = build().write(tmp_path / "p")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(files.weights)
    for path in (tmp_path / "pipe", tmp_path / "link", tmp_path / "absent", tmp_path):
        assert codes(validate(replace(files, weights=path), BASE)) >= {"unreadable"}


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "json_invalid"),
        (b"[]", "json_not_object"),
        (b"{" + b" " * (1 << 20) + b"}", "json_too_large"),
        (b'{"r": 4, "r": 8}', "json_invalid"),
        (b"\x80\x04", "json_not_utf8"),
    ],
)
def test_config_file_refused(tmp_path: Path, raw: bytes, code: str) -> None:
    files = replace(build().write(tmp_path), config=raw)
    report = validate(files, BASE)
    assert code in codes(report)
    assert report.problems[0].where == CONFIG


def test_many_problems_are_cut_short(tmp_path: Path) -> None:
    weights = safetensors({f"x{n}\n" + "y" * 100: ("F16", (1,), b"\0\0") for n in range(5000)})
    report = check(replace(build(), weights=weights), tmp_path)
    assert len(report.problems) == 101
    assert report.problems[-1].code == "more_problems"
    assert max(len(str(problem)) for problem in report.problems) < 400


@pytest.mark.parametrize(
    ("architecture", "fields", "heads_and_keys"),
    [
        ("Qwen2ForCausalLM", {"head_dim": None}, (32, 16)),
        ("Qwen3ForCausalLM", {"head_dim": 16}, (64, 32)),
        ("MistralForCausalLM", {"head_dim": None}, (32, 16)),
        ("LlamaForCausalLM", {"num_key_value_heads": None, "head_dim": None}, (32, 32)),
        ("Qwen3ForCausalLM", {"head_dim": None}, (512, 256)),
    ],
)
def test_architectures(
    tmp_path: Path, architecture: str, fields: dict[str, Any], heads_and_keys: tuple[int, int]
) -> None:
    settled = {key: value for key, value in {**BASE_CONFIG, **fields}.items() if value is not None}
    base = replace(BASE, config={**settled, "architectures": [architecture]})
    adapter = build(Recipe(modules=("q_proj", "k_proj"), base=base))
    assert adapter.tensors[B0][1][0] == heads_and_keys[0]
    assert adapter.tensors[tensor_name(Q0.replace("q_proj", "k_proj"), "B")][1][0] == heads_and_keys[1]
    assert validate(adapter.write(tmp_path / "a"), base).ok


def test_unknown_architecture_is_said_and_checked_as_far_as_possible(tmp_path: Path) -> None:
    base = replace(BASE, config={"architectures": ["MixtralForCausalLM"], "num_hidden_layers": 3})
    report = validate(build().write(tmp_path / "a"), base)
    assert report.ok
    assert [warning.code for warning in report.warnings] == ["not_checked"]
    extra = build().with_tensor(tensor_name("model.layers.7.self_attn.q_proj", "A"), entry(A_VALUES))
    assert "layer_unknown" in codes(validate(extra.write(tmp_path / "b"), base))
    other = build().configured(target_modules=["q_proj", "v_proj", "w1"])
    assert codes(validate(other.write(tmp_path / "c"), base)) == {"target_mismatch"}
    head = build().with_tensor("base_model.model.lm_head.lora_A.weight", entry(A_VALUES))
    assert "module_refused" in codes(validate(head.write(tmp_path / "d"), base))


@pytest.mark.parametrize(
    ("card", "served"),
    [
        ({}, True),
        ({"base": {"fingerprint": BASE.fingerprint, "name": "x"}, "anything": {"deep": [1]}}, True),
        ({"base": {"name": "x"}}, True),
        ({"behaviour": [{"prompt": "hi", "tokens": [1, 2], "logprobs": [-0.5, 0], "text": "ab"}]}, True),
        ({"dataset_digest": "a" * 64, "recipe_digest": "sha256:" + "b" * 64, "evaluation": {"x": 1}}, True),
        ({"base": {"fingerprint": "0" * 64}}, False),
        ({"base": "x"}, False),
        ({"base": {"fingerprint": 3}}, False),
        ({"dataset_digest": "abc"}, False),
        ({"evaluation": [1]}, False),
        ({"behaviour": {}}, False),
        ({"behaviour": [1]}, False),
        ({"behaviour": [{"prompt": "", "tokens": [1], "logprobs": [-1]}]}, False),
        ({"behaviour": [{"prompt": "x", "tokens": [1], "logprobs": [-1, -2]}]}, False),
        ({"behaviour": [{"prompt": "x", "tokens": [True], "logprobs": [-1]}]}, False),
        ({"behaviour": [{"prompt": "x", "tokens": [1], "logprobs": [0.5]}]}, False),
        ({"behaviour": [{"prompt": "x", "tokens": [1] * 257, "logprobs": [-1] * 257}]}, False),
        ({"behaviour": [{"prompt": "x", "tokens": [1], "logprobs": [-1]}] * 33}, False),
    ],
)
def test_card(tmp_path: Path, card: dict[str, Any], served: bool) -> None:
    report = check(replace(build(), card=card), tmp_path)
    assert report.ok == served
    if served:
        assert report.card is not None
        assert report.card.fields == card


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=PER_FUNCTION)
@given(
    config=st.binary(max_size=200), weights=st.binary(max_size=400), card=st.none() | st.binary(max_size=200)
)
def test_random_bytes_never_raise(tmp_path: Path, config: bytes, weights: bytes, card: bytes | None) -> None:
    path = tmp_path / "weights"
    path.write_bytes(weights)
    report = validate(PackageFiles(config, path, card), BASE)
    assert not report.ok
    json.dumps([str(problem) for problem in report.problems]).encode()
    "".join(map(str, report.problems)).encode("utf-8")


@settings(max_examples=200, deadline=None, suppress_health_check=PER_FUNCTION)
@given(key=st.sampled_from(sorted(build().config)) | st.text(max_size=10), value=json_values)
def test_random_config_values_never_raise(tmp_path: Path, key: str, value: Any) -> None:
    files = build().write(tmp_path)
    report = validate(replace(files, config=json.dumps({**build().config, key: value}).encode()), BASE)
    "".join(map(str, report.problems)).encode("utf-8")


@settings(max_examples=200, deadline=None, suppress_health_check=PER_FUNCTION)
@given(name=st.sampled_from([A0, B0, "__metadata__"]) | st.text(max_size=20), value=json_values)
def test_random_header_entries_are_refused(tmp_path: Path, name: str, value: Any) -> None:
    report = check(replace(build(), weights=rewritten({name: value})), tmp_path)
    metadata_fits = name == "__metadata__" and isinstance(value, dict)
    assert not report.ok or (metadata_fits and all(isinstance(text, str) for text in value.values()))


@settings(max_examples=300, deadline=None, suppress_health_check=PER_FUNCTION)
@given(data=st.data())
def test_broken_header_bytes_are_refused(tmp_path: Path, data: st.DataObject) -> None:
    """One header byte changed: it never raises, and passes only if the same tensors are described."""
    weights = bytearray(safetensors(build().tensors))
    length = int.from_bytes(weights[:8], "little")
    position = data.draw(st.integers(0, 8 + length - 1))
    weights[position] ^= data.draw(st.integers(1, 255))
    report = check(replace(build(), weights=bytes(weights)), tmp_path)
    if report.ok:
        length = int.from_bytes(weights[:8], "little")
        changed_header = json.loads(weights[8 : 8 + length])
        original = header_of(safetensors(build().tensors))
        changed_header.pop("__metadata__", None)
        original.pop("__metadata__")
        # What may differ and still be an adapter: the metadata's text, a key's letter case never.
        assert changed_header == original


@settings(max_examples=60, deadline=None, suppress_health_check=PER_FUNCTION)
@given(cut=st.integers(0, 10_000), extra=st.binary(min_size=0, max_size=50))
def test_cut_or_lengthened_files_are_refused(tmp_path: Path, cut: int, extra: bytes) -> None:
    weights = safetensors(build().tensors)
    mutated = weights[: cut % len(weights)] + extra
    assert not check(replace(build(), weights=mutated), tmp_path).ok


def test_hostile_patterns_are_quick(tmp_path: Path) -> None:
    hostile = {f"(?:.*.*.*.*.*{n}|x)*y": 4 for n in range(512)}
    wide = {f".*.*{n}": 4 for n in range(512)}
    started = time.process_time()
    for patterns in (hostile, wide):
        adapter = build(Recipe(modules=ALL_MODULES)).configured(rank_pattern=patterns, alpha_pattern=patterns)
        assert "pattern_refused" in codes(check(adapter, tmp_path)) or patterns is wide
    check(build().configured(target_modules="(((.*)*)*)*x" * 80), tmp_path)
    check(build().configured(target_modules=["q" * 50] * 1024), tmp_path)
    assert time.process_time() - started < 20


def test_memory_is_bounded(tmp_path: Path) -> None:
    base = replace(
        BASE, config={**BASE_CONFIG, "hidden_size": 8192, "intermediate_size": 16384}, max_lora_rank=512
    )
    adapter = build(Recipe(modules=("up_proj",), rank=128, base=base))
    files = adapter.write(tmp_path)
    assert files.weights.stat().st_size > 30 << 20
    del adapter
    tracemalloc.start()
    try:
        assert validate(files, base).ok
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()
