"""What others have made, each in an environment of its own under var/bench/peers: two gateways in front of the same
mock engine, and whatever environment a benchmark asks for.

They are installed from their registries at exact versions at the first run; nothing of them is in this
repository. The gateways listen on loopback only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.rig import ROOT, process
from benchmarks.wire import Target
from tests.stack import free_port

PORTKEY: Final = "1.15.2"
LITELLM: Final = "1.106.2"
PEERS = ROOT / "var" / "bench" / "peers"
INSTALL_SECONDS = 900
MASTER_KEY = "sk-benchmark-only"

# Portkey's server binds every interface and has no setting for it.
_LOOPBACK: Final = """
import net from "node:net";
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  const options = typeof port === "object" ? { ...port, host: "127.0.0.1" } : { port, host: "127.0.0.1" };
  return listen.call(this, options, ...rest.filter((each) => typeof each === "function"));
};
"""

_LITELLM_CONFIG: Final = """
model_list:
  - model_name: base
    litellm_params: {{model: openai/base, api_base: "{engine}/v1", api_key: none}}
general_settings: {{master_key: {key}}}
litellm_settings: {{telemetry: false, drop_params: true}}
"""


class PeerUnavailable(Exception):
    """The peer could not be installed; the message says why."""


@contextmanager
def portkey(engine: str, folder: Path) -> Iterator[Target]:
    """Portkey OSS: no keys, limits, metrics or audit. Raises PeerUnavailable."""
    home = PEERS / f"portkey-{PORTKEY}"
    script = home / "node_modules/@portkey-ai/gateway/build/start-server.js"
    if not script.exists():
        _make(home)
        install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--save-exact"]
        _install([*install, "--prefix", str(home), f"@portkey-ai/gateway@{PORTKEY}"], home)
    hook = folder / "loopback.mjs"
    hook.write_text(_LOOPBACK)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ["node", "--import", str(hook), str(script), f"--port={port}", "--headless"]
    environment = _environment({"NODE_ENV": "production"})
    with process(command, folder / "portkey.log", ready=f"{url}/", env=environment):
        headers = {
            "authorization": "Bearer none",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"{engine}/v1",
        }
        yield Target("portkey", url, headers, "base")


@contextmanager
def litellm(engine: str, folder: Path) -> Iterator[Target]:
    """LiteLLM proxy with nothing but a master key. Raises PeerUnavailable."""
    home = PEERS / f"litellm-{LITELLM}"
    command = home / "bin/litellm"
    if not command.exists():
        python_with(home.name, [f"litellm[proxy]=={LITELLM}"])
    config = folder / "litellm.yaml"
    config.write_text(_LITELLM_CONFIG.format(engine=engine, key=MASTER_KEY))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    environment = _environment(
        {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    )
    ready = f"{url}/health/liveliness"
    with process(
        [str(command), *arguments], folder / "litellm.log", ready=ready, env=environment, cwd=folder
    ):
        yield Target("litellm", url, {"authorization": f"Bearer {MASTER_KEY}"}, "base")


def python_with(name: str, requirements: Sequence[str]) -> Path:
    """The interpreter of the environment `name`, made if it is not there. Raises PeerUnavailable."""
    home = PEERS / name
    python = home / "bin/python"
    if not python.exists():
        _make(home)
        _install([sys.executable, "-m", "venv", str(home)], home)
        _install([str(home / "bin/pip"), "install", "-q", *requirements], home)
    return python


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    return {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ
    } | dict(own)


def _make(home: Path) -> None:
    # What an interrupted installation left would only confuse the next one.
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)


def _install(command: list[str], home: Path) -> None:
    print(f"installing into {home.relative_to(ROOT)} …", flush=True)
    try:
        subprocess.run(command, check=True, timeout=INSTALL_SECONDS, capture_output=True, cwd=home)
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(home, ignore_errors=True)
        told = getattr(error, "stderr", None) or b""
        raise PeerUnavailable(f"{command[0]}: {error} {told.decode(errors='replace')[-500:]}") from None
