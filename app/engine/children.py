"""The child processes of single-machine mode: state server, engines, their agents, the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.engine.childspec import ChildSpec
from app.engine.probe import http_ready, redis_ready

INHERITED = frozenset(
    (
        *("PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
        *("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "VLLM_CACHE_ROOT", "VLLM_TARGET_DEVICE"),
    )
)
INHERITED_PREFIXES = (
    *("LC_", "OMP_", "KMP_", "MKL_", "OPENBLAS_", "TORCH_", "TORCHINDUCTOR_", "TRITON_"),
    *("CUDA_", "NVIDIA_", "NCCL_", "HIP_", "ROCR_", "VLLM_CPU_", "VLLM_LOGGING_"),
)
SECRET_WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")

VALKEY_GRACE = 30.0
ENGINE_GRACE = 20.0
AGENT_GRACE = 10.0
DRAIN_MARGIN = 10.0
"""Seconds the gateway has for closing down after its running answers had their drain time."""
VALKEY_TIMEOUT = 300.0
ENGINE_TIMEOUT = 900.0
"""Reading a big model from a slow disk, or compiling, takes minutes."""
GATEWAY_TIMEOUT = 60.0
ENGINE_SILENCE = 120.0
"""An engine that has not answered /health for so long is hung: it answers in the middle of a batch, too."""


@dataclass(frozen=True)
class EngineProcess:
    """One engine: its name, and the Unix socket it listens on."""

    name: str
    socket: Path


@dataclass(frozen=True)
class ServePlan:
    """All that `atelier serve` starts.

    environ: the environment `atelier serve` itself was given; each child gets what it needs of it.
    valkey_argv: empty when the state server is somebody else's.
    engine_flags, engine_env: what was measured to suit the machine; they win over the defaults here.
    plugins: names of the engine's entry points (VLLM_PLUGINS); vLLM loads no others.
    atelier: the command that runs this program, such as (python, "-m", "app.cli").
    settings: ATELIER_* variables for the agents and the gateway, over those of `environ`.
    """

    environ: Mapping[str, str]
    run_dir: Path
    log_dir: Path
    valkey_argv: tuple[str, ...]
    valkey_socket: Path
    engine_python: Path
    model: str
    engines: tuple[EngineProcess, ...]
    engine_flags: tuple[str, ...]
    engine_env: Mapping[str, str]
    engine_token: str
    adapter_root: Path
    atelier: tuple[str, ...]
    settings: Mapping[str, str]
    gateway_address: tuple[str, int]
    drain_seconds: float
    plugins: tuple[str, ...] = ("atelier",)
    served_name: str = "base"
    max_loras: int = 4
    max_cpu_loras: int = 16
    max_lora_rank: int = 64
    max_model_len: int = 4096


def engine_processes(run_dir: Path, count: int) -> tuple[EngineProcess, ...]:
    """`count` engines with sockets in the run directory."""
    return tuple(EngineProcess(f"engine-{n}", run_dir / f"engine-{n}.sock") for n in range(count))


def child_specs(plan: ServePlan) -> tuple[ChildSpec, ...]:
    """The children in the order of their start; each is stopped before what it works with."""
    state = ("valkey",) if plan.valkey_argv else ()
    specs = [valkey_spec(plan)] if plan.valkey_argv else []
    specs += [engine_spec(plan, engine) for engine in plan.engines]
    specs += [agent_spec(plan, engine, state) for engine in plan.engines]
    return (*specs, gateway_spec(plan, state))


def valkey_spec(plan: ServePlan) -> ChildSpec:
    return ChildSpec(
        name="valkey",
        argv=plan.valkey_argv,
        env={name: value for name, value in plan.environ.items() if name in ("PATH", "TZ", "LANG", "TMPDIR")},
        log_path=plan.log_dir / "valkey.log",
        grace_seconds=VALKEY_GRACE,
        ready=redis_ready(plan.valkey_socket),
        ready_timeout=VALKEY_TIMEOUT,
        activity="reading its data",
        socket=plan.valkey_socket,
    )


def engine_spec(plan: ServePlan, engine: EngineProcess) -> ChildSpec:
    return ChildSpec(
        name=engine.name,
        argv=engine_argv(plan, engine),
        env=engine_environment(plan),
        log_path=plan.log_dir / f"{engine.name}.log",
        grace_seconds=ENGINE_GRACE,
        # /atelier/base is the plugin's: an engine without it would serve, with every stock route open.
        ready=http_ready(engine.socket, "/health", "/atelier/base", token=plan.engine_token),
        ready_timeout=ENGINE_TIMEOUT,
        unhealthy_seconds=ENGINE_SILENCE,
        activity="loading the model",
        socket=engine.socket,
    )


def engine_argv(plan: ServePlan, engine: EngineProcess) -> tuple[str, ...]:
    # The path is made absolute, but its links are kept: a virtual environment is known by the link's place.
    # -P: a folder named like one of vLLM's imports, in the folder we were started from, must not be loaded.
    python = str(plan.engine_python.absolute())
    model = str(Path(plan.model).absolute()) if Path(plan.model).exists() else plan.model
    return (
        *(python, "-P", "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", model, "--served-model-name", plan.served_name, "--uds", str(engine.socket)),
        *("--enable-lora", "--max-loras", str(plan.max_loras), "--max-cpu-loras", str(plan.max_cpu_loras)),
        *("--max-lora-rank", str(plan.max_lora_rank), "--max-model-len", str(plan.max_model_len)),
        *plan.engine_flags,
    )


def engine_environment(plan: ServePlan) -> dict[str, str]:
    """A short list of what an engine needs: keys and passwords of the rest are none of its business."""
    inherited = {name: value for name, value in plan.environ.items() if may_inherit(name)}
    return {
        **inherited,
        **plan.engine_env,
        "ATELIER_ENGINE_TOKEN": plan.engine_token,
        "ATELIER_ADAPTER_ROOT": str(plan.adapter_root.absolute()),
        "VLLM_PLUGINS": ",".join(plan.plugins),
        # vLLM's own sockets, in /tmp by default, belong in the private folder too.
        "VLLM_RPC_BASE_PATH": str(plan.run_dir / "rpc"),
        # A hub id has to be fetched once; a folder must never make the engine look anywhere else.
        "HF_HUB_OFFLINE": "1" if Path(plan.model).exists() else "0",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        # vLLM renames its processes, which would overwrite the leash's mark in their environment.
        "SPT_NOENV": "1",
    }


def may_inherit(name: str) -> bool:
    """Whether the engine gets this variable of ours."""
    if any(word in name.upper() for word in SECRET_WORDS):
        return False
    return name in INHERITED or name.startswith(INHERITED_PREFIXES)


def agent_spec(plan: ServePlan, engine: EngineProcess, state: tuple[str, ...]) -> ChildSpec:
    name = engine.name.replace("engine", "agent")
    own = {"ATELIER_ENGINE_ID": engine.name, "ATELIER_ENGINE_URL": f"unix://{engine.socket}"}
    env = control_environment(plan) | own
    env.pop("ATELIER_ADMIN_KEY", None)
    return ChildSpec(
        name=name,
        argv=(*plan.atelier, "agent"),
        env=env,
        log_path=plan.log_dir / f"{name}.log",
        grace_seconds=AGENT_GRACE,
        depends_on=state,
        # Not waited for: an agent compares and repairs, so it may well be there before its engine.
        outlived_by=(engine.name,),
    )


def gateway_spec(plan: ServePlan, state: tuple[str, ...]) -> ChildSpec:
    beside = tuple(name for engine in plan.engines for name in _pair(engine))
    return ChildSpec(
        name="gateway",
        argv=(*plan.atelier, "gateway"),
        env=control_environment(plan),
        log_path=plan.log_dir / "gateway.log",
        grace_seconds=plan.drain_seconds + DRAIN_MARGIN,
        ready=http_ready(plan.gateway_address, "/healthz"),
        ready_timeout=GATEWAY_TIMEOUT,
        unhealthy_seconds=GATEWAY_TIMEOUT,
        depends_on=state,
        # Stopped first, so that running answers can end; not waited for: /readyz says when there is an engine.
        outlived_by=beside,
    )


def control_environment(plan: ServePlan) -> dict[str, str]:
    """What the agents and the gateway get: our own environment, and the settings made here."""
    state = {"ATELIER_STATE_URL": f"unix://{plan.valkey_socket}"} if plan.valkey_argv else {}
    return {**plan.environ, **plan.settings, **state, "ATELIER_ENGINE_TOKEN": plan.engine_token}


def _pair(engine: EngineProcess) -> tuple[str, str]:
    return engine.name, engine.name.replace("engine", "agent")


def prepare(plan: ServePlan) -> None:
    """Makes the folders that the children expect. OSError if the disk refuses."""
    for folder in (plan.log_dir, plan.adapter_root):
        # Private: whoever can replace an adapter's files can make the engine read them.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (plan.run_dir / "rpc").mkdir(mode=0o700, exist_ok=True)
