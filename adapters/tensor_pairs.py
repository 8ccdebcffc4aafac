"""A and B tensors of the same module, by PEFT's names, and whether they fit config and base model."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from adapters.module_pattern import ModulePattern, PatternError, Steps
from adapters.package import CONFIG, WEIGHTS
from adapters.peft_config import LoraConfig, Targets
from adapters.problem import Problem, listed, quoted
from adapters.safetensors_file import Tensor
from adapters.served_base import ATTENTION, MLP, DecoderShape

PREFIX = "base_model.model."
# The only spelling PEFT writes. vLLM would also take names without the prefix, and drop `layers.00`.
_NAME = re.compile(r"base_model\.model\.((?:[A-Za-z0-9_]+\.)*[A-Za-z0-9_]+)\.lora_([AB])\.weight\Z")
_DECODER = re.compile(r"model\.layers\.(0|[1-9]\d{0,5})\.(self_attn|mlp)\.([a-z_]+)\Z")
_LAYER = re.compile(r"(?:.*\.)?(?:layers|h|blocks?)\.(0|[1-9]\d{0,5})\.")
_MODULES = {**dict.fromkeys(ATTENTION, "self_attn"), **dict.fromkeys(MLP, "mlp")}
MAX_NAME = 256


@dataclass(frozen=True, slots=True)
class Pair:
    """One module's A (rank x inputs) and B (outputs x rank). `path` is its name in the base model."""

    path: str
    a: Tensor
    b: Tensor

    @property
    def rank(self) -> int:
        """Rows of A."""
        return self.a.shape[0]

    @property
    def inputs(self) -> int:
        """Columns of A."""
        return self.a.shape[1]

    @property
    def outputs(self) -> int:
        """Rows of B."""
        return self.b.shape[0]

    @property
    def module(self) -> str:
        """The module's last name, such as q_proj."""
        return self.path.rpartition(".")[2]

    @property
    def layer(self) -> int | None:
        """The decoder layer, when the path names one."""
        match = _LAYER.match(self.path)
        return int(match[1]) if match else None


def pair_up(
    tensors: Iterable[Tensor], shape: DecoderShape | None, layers: int | None
) -> tuple[tuple[Pair, ...], tuple[Problem, ...]]:
    """The complete pairs of matrices on modules the base has; every other tensor is a problem."""
    problems: list[Problem] = []
    sides: dict[str, dict[str, Tensor]] = {}
    for tensor in tensors:
        match = _NAME.match(tensor.name) if len(tensor.name) <= MAX_NAME else None
        if match is None or _name_code(tensor.name) == "module_refused":
            problems.append(_wrong(_name_code(tensor.name), tensor.name, _name_advice(tensor.name)))
            continue
        complaint = _place_problem(match[1], tensor.name, shape, layers)
        if complaint is not None:
            problems.append(complaint)
        elif len(tensor.shape) != 2:
            problems.append(
                _wrong("shape_mismatch", tensor.name, f"shape {list(tensor.shape)} is not a matrix")
            )
        else:
            sides.setdefault(match[1], {})[match[2]] = tensor
    pairs = []
    for path, found in sides.items():
        if len(found) == 2:
            pairs.append(Pair(path, found["A"], found["B"]))
        else:
            (side,) = found
            message = f"its partner lora_{'B' if side == 'A' else 'A'} is missing; send the whole adapter"
            problems.append(_wrong("unpaired", found[side].name, message))
    return tuple(pairs), tuple(problems)


def check_pairs(
    pairs: Iterable[Pair], config: LoraConfig, shape: DecoderShape | None, steps: Steps
) -> list[Problem]:
    """Ranks against the config, and sizes against the base."""
    problems: list[Problem] = []
    for pair in pairs:
        try:
            rank = config.rank_of(pair.path, steps)
        except PatternError as error:
            return [*problems, Problem("pattern_refused", f"{CONFIG}: rank_pattern", f"{error}; use fewer")]
        if rank is not None and (pair.rank != rank or pair.b.shape[1] != rank):
            message = f"the config says rank {rank}, A has {pair.rank} and B {pair.b.shape[1]}"
            problems.append(
                _wrong("rank_mismatch", pair.path, f"{message}; send the config of this training run")
            )
        elif pair.rank != pair.b.shape[1]:
            message = f"A has rank {pair.rank}, B has {pair.b.shape[1]}"
            problems.append(_wrong("rank_mismatch", pair.path, f"{message}; save the adapter again"))
        expected = shape.modules[pair.module] if shape else (pair.inputs, pair.outputs)
        if (pair.inputs, pair.outputs) != expected:
            message = (
                f"made for {pair.inputs} inputs and {pair.outputs} outputs, the base has {expected[0]} and "
                f"{expected[1]}; train on the served base"
            )
            problems.append(_wrong("shape_mismatch", pair.path, message))
    return problems


def check_targets(
    pairs: Iterable[Pair], config: LoraConfig, shape: DecoderShape | None, steps: Steps
) -> tuple[list[Problem], list[Problem]]:
    """Compare the modules present with those the config says were trained: (problems, warnings).

    On a known base the two sets must be equal, or part of the adapter was lost on the way. On others each
    module present must be a target, and each listed target must be present.
    """
    if config.targets is None and not config.all_linear:
        return [], []  # reported already
    present = {pair.path for pair in pairs}
    try:
        if shape is not None:
            every = [shape.path(layer, name) for layer in range(shape.layers) for name in shape.modules]
            return _compare(present, {path for path in every if _is_target(path, config, steps)}), []
        stray = {path for path in present if not _is_target(path, config, steps)}
        idle = [] if isinstance(config.targets, ModulePattern) else _idle(config.targets or (), present)
        return [*_compare(stray, set()), *idle], []
    except PatternError as error:
        message = f"the pattern was not compared with the tensors: {error}"
        return [], [Problem("not_checked", f"{CONFIG}: target_modules", message)]


def _compare(present: set[str], expected: set[str]) -> list[Problem]:
    problems = []
    if stray := sorted(present - expected):
        message = f"target_modules does not name {listed(stray)}; send the config of this training run"
        problems.append(Problem("target_mismatch", f"{CONFIG}: target_modules", message))
    if missing := sorted(expected - present):
        message = f"no tensors for {listed(missing)}, which target_modules names; send the whole adapter"
        problems.append(Problem("target_mismatch", f"{CONFIG}: target_modules", message))
    return problems


def _idle(targets: Iterable[str], present: set[str]) -> list[Problem]:
    idle = [name for name in targets if not any(_ends(path, name) for path in present)]
    if not idle:
        return []
    message = f"no tensors for {listed(idle)}; send the whole adapter, or drop them from the list"
    return [Problem("target_mismatch", f"{CONFIG}: target_modules", message)]


def _is_target(path: str, config: LoraConfig, steps: Steps) -> bool:
    """PEFT's check_target_module_exists."""
    if _matches(path, config.excluded, steps):
        return False
    if not config.all_linear and not _matches(path, config.targets, steps):
        return False
    # PEFT asks for the layer only when target_modules is a list, and not for modules listed by full name.
    if config.layers is None or not isinstance(config.targets, tuple) or path in config.targets:
        return True
    match = _LAYER.match(path)
    return match is not None and int(match[1]) in config.layers


def _matches(path: str, targets: Targets, steps: Steps) -> bool:
    if isinstance(targets, ModulePattern):
        return targets.covers(path, steps)
    steps.take(len(targets or ()))
    return any(_ends(path, name) for name in targets or ())


def _ends(path: str, name: str) -> bool:
    return path == name or path.endswith("." + name)


def _place_problem(path: str, tensor: str, shape: DecoderShape | None, layers: int | None) -> Problem | None:
    if shape is None:
        match = _LAYER.match(path)
        if match is not None and layers is not None and int(match[1]) >= layers:
            return _no_layer(tensor, int(match[1]), layers)
        return None
    decoder = _DECODER.match(path)
    if decoder is None or _MODULES.get(decoder[3]) != decoder[2]:
        advice = f"the base has no linear module {quoted(path)}; train " + ", ".join(_MODULES)
        return _wrong("module_unknown", tensor, advice)
    if int(decoder[1]) >= shape.layers:
        return _no_layer(tensor, int(decoder[1]), shape.layers)
    return None


def _no_layer(tensor: str, layer: int, layers: int) -> Problem:
    message = f"layer {layer} does not exist, the base has layers 0 to {layers - 1}; train on the served base"
    return _wrong("layer_unknown", tensor, message)


def _name_code(name: str) -> str:
    if "embed_tokens" in name or "lm_head" in name or "lora_embedding" in name:
        return "module_refused"
    return "feature_refused" if "lora_magnitude" in name or name.endswith(".bias") else "name_unknown"


def _name_advice(name: str) -> str:
    if _name_code(name) == "module_refused":
        return "embeddings and the output head are not served; train the decoder's linear modules only"
    if _name_code(name) == "feature_refused":
        return "only plain LoRA matrices are served, no DoRA magnitudes and no biases"
    return (
        f"not a PEFT name of the form {PREFIX}model.layers.0.self_attn.q_proj.lora_A.weight; save with PEFT"
    )


def _wrong(code: str, tensor: str, message: str) -> Problem:
    return Problem(code, f"{WEIGHTS}: {quoted(tensor)}", message)
