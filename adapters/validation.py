"""Is this package an adapter that the engine can serve on this base model, exactly as it was trained?

Without torch, in bounded time and memory, all problems at once. vLLM drops or half-loads much in silence
(tensors of layers that do not exist, shapes too small, ranks unlike the config): each is a problem here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader

from adapters.card import Card, parse_card
from adapters.module_pattern import PatternError, Steps
from adapters.package import CARD, CONFIG, WEIGHTS, PackageFiles, open_regular
from adapters.peft_config import LoraConfig, parse_config
from adapters.problem import Problem, quoted
from adapters.safetensors_file import Tensor, read_header
from adapters.served_base import BaseModel, decoder_shape, initializer_range, layer_count
from adapters.tensor_pairs import Pair, check_pairs, check_targets, pair_up
from adapters.tensor_values import Values, read_values

MAX_WEIGHTS_BYTES = 4 << 30
MAX_PROBLEMS = 100

# The largest finite float16, the narrowest type an engine computes in.
LARGEST_VALUE = 65504.0
# The update of one weight matrix, ‖s·B·A‖ ≤ s·‖B‖·‖A‖ (Frobenius), against the size of an untrained matrix of
# that shape, initializer_range·√(inputs·outputs). The trained matrices of Qwen2.5-Coder-0.5B-Instruct measure 0.2
# to 3.0 of these sizes: at a hundred, the update drowns the largest of them more than thirty times over.
MAX_RELATIVE_NORM = 100.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What the package holds, as far as it could be read.

    `norm` bounds the largest update of a module, in sizes of an untrained matrix; see MAX_RELATIVE_NORM.
    """

    rank: int | None
    alpha: float | None
    modules: tuple[str, ...]
    layers: tuple[int, ...]
    tensors: int
    parameters: int
    size_bytes: int
    dtype: str
    norm: float
    norm_limit: float


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """Servable when there are no problems. Warnings say what could not be checked."""

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    summary: Summary
    card: Card | None = None

    @property
    def ok(self) -> bool:
        """Whether the package may be stored and loaded."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class _Findings:
    problems: list[Problem]
    warnings: list[Problem]


def validate(files: PackageFiles, base: BaseModel) -> ValidationReport:
    """Check a package against the base model. Blocking (reads all weights once).

    Never raises for anything in the package.
    """
    config, problems = parse_config(files.config, base.max_lora_rank)
    findings = _Findings(list(problems), list(config.warnings))
    card = _check_card(files, base, findings)
    norm, tensors, size = 0.0, tuple[Tensor, ...](), 0
    try:
        with open_regular(files.weights) as source:
            size = source.seek(0, 2)
            source.seek(0)
            tensors, norm = _check_weights(source, size, config, base, findings)
    except (OSError, EOFError) as error:
        message = f"cannot be read: {quoted(str(error))}; send the file again"
        findings.problems.append(Problem("unreadable", WEIGHTS, message))
    summary = _summary(config, tensors, size, norm)
    return ValidationReport(_bounded(findings.problems), _bounded(findings.warnings), summary, card)


def _check_card(files: PackageFiles, base: BaseModel, findings: _Findings) -> Card | None:
    if files.card is None:
        return None
    card, problems = parse_card(files.card)
    findings.problems.extend(problems)
    if card is not None and card.base_fingerprint not in (None, base.fingerprint):
        message = (
            f"trained on base {quoted(card.base_fingerprint)}, the engine serves {quoted(base.fingerprint)}; "
            "train on the served base or use an engine that serves this one"
        )
        findings.problems.append(Problem("base_mismatch", f"{CARD}: base.fingerprint", message))
    return card


def _check_weights(
    source: BufferedReader, size: int, config: LoraConfig, base: BaseModel, findings: _Findings
) -> tuple[tuple[Tensor, ...], float]:
    if size > MAX_WEIGHTS_BYTES:
        message = f"{size:,} bytes, at most {MAX_WEIGHTS_BYTES:,} are allowed; save LoRA weights only"
        findings.problems.append(Problem("file_too_large", WEIGHTS, message))
        return (), 0.0
    tensors, problems = read_header(source, size)
    findings.problems.extend(problems)
    shape = decoder_shape(base.config)
    if shape is None:
        named = quoted(base.config.get("architectures"))
        message = f"architecture {named} is not known: sizes and completeness were not compared with the base"
        findings.warnings.append(Problem("not_checked", WEIGHTS, message))
    pairs, problems = pair_up(tensors, shape, layer_count(base.config))
    steps = Steps()
    findings.problems.extend((*problems, *check_pairs(pairs, config, shape, steps)))
    wrong, unsure = check_targets(pairs, config, shape, steps)
    findings.problems.extend(wrong)
    findings.warnings.extend(unsure)
    # Overlapping entries could name the same bytes thousands of times; reading them would take for ever.
    if any(problem.code == "overlap" for problem in findings.problems):
        return tensors, 0.0
    values = {tensor.name: read_values(source, tensor) for tensor in tensors}
    _check_values(values, findings)
    return tensors, _check_norms(values, pairs, config, initializer_range(base.config), findings)


def _check_values(values: Mapping[str, Values], findings: _Findings) -> None:
    for name, value in values.items():
        where = f"{WEIGHTS}: {quoted(name)}"
        if value.not_finite:
            message = f"{value.not_finite:,} values are NaN or infinite; the training diverged, train again"
            findings.problems.append(Problem("not_finite", where, message))
        if value.largest > LARGEST_VALUE:
            message = f"largest magnitude {value.largest:.3g}, the engine's types hold {LARGEST_VALUE:,.0f}"
            findings.problems.append(Problem("value_too_large", where, f"{message}; train again"))


def _check_norms(
    values: Mapping[str, Values],
    pairs: tuple[Pair, ...],
    config: LoraConfig,
    untrained: float,
    findings: _Findings,
) -> float:
    """The largest relative norm; problems where it is too large, or where nothing would change."""
    steps, worst, idle = Steps(), 0.0, 0
    for pair in pairs:
        a, b = values[pair.a.name], values[pair.b.name]
        idle += not a.norm * b.norm
        try:
            scaling = config.scaling_of(pair.path, pair.rank, steps) or 1.0
        except PatternError as error:
            findings.problems.append(
                Problem("pattern_refused", f"{CONFIG}: alpha_pattern", f"{error}; use fewer")
            )
            return worst
        relative = scaling * a.norm * b.norm / (untrained * (pair.inputs * pair.outputs) ** 0.5)
        worst = max(worst, relative)
        # vLLM folds the scaling into B, in the type it computes in.
        if relative > MAX_RELATIVE_NORM or scaling * b.largest > LARGEST_VALUE:
            message = (
                f"the update may be {relative:,.1f} times as large as an untrained matrix of its shape "
                f"(scaling {scaling:g}), at most {MAX_RELATIVE_NORM:g} is allowed; check lora_alpha"
            )
            findings.problems.append(Problem("norm_too_large", f"{WEIGHTS}: {quoted(pair.path)}", message))
    if pairs and idle == len(pairs):
        message = "B·A is zero in every module, so the adapter changes nothing; save it after training"
        findings.problems.append(Problem("no_effect", WEIGHTS, message))
    elif idle:
        findings.warnings.append(
            Problem("no_effect", WEIGHTS, f"B·A is zero in {idle} of {len(pairs)} modules")
        )
    return worst


def _summary(config: LoraConfig, tensors: tuple[Tensor, ...], size: int, norm: float) -> Summary:
    pairs, _ = pair_up(tensors, None, None)
    return Summary(
        rank=config.rank,
        alpha=config.alpha,
        modules=tuple(sorted({pair.module for pair in pairs})),
        layers=tuple(sorted({pair.layer for pair in pairs if pair.layer is not None})),
        tensors=len(tensors),
        parameters=sum(pair.rank * (pair.inputs + pair.outputs) for pair in pairs),
        size_bytes=size,
        dtype="+".join(sorted({tensor.dtype for tensor in tensors})),
        norm=norm,
        norm_limit=MAX_RELATIVE_NORM,
    )


def _bounded(problems: list[Problem]) -> tuple[Problem, ...]:
    if len(problems) <= MAX_PROBLEMS:
        return tuple(problems)
    rest = len(problems) - MAX_PROBLEMS
    last = Problem("more_problems", "package", f"{rest} more problems are not shown; repair these first")
    return (*problems[:MAX_PROBLEMS], last)
