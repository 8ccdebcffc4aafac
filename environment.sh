#!/usr/bin/env bash
# Makes one of Atelier's environments; called by the Makefile, safe to repeat, says what is missing.
#   environment.sh gateway | dev | engine | plugin | trainer
set -euo pipefail
cd "$(dirname "$0")"

readonly VENV=.venv ENGINE_VENV=.venv-engine TRAINER_VENV=.venv-trainer
# Measured with everything installed (the engine: 3.4 GB, with a CUDA build of torch 6.3 GB) and room to unpack.
readonly GATEWAY_MB=600 ENGINE_MB=8000 TRAINER_MB=6000
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
die() { printf '\n\033[31merror:\033[0m %s\n' "$*" >&2; exit 1; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
      echo "$candidate"; return
    fi
  done
  die "no Python 3.11 to 3.14 found. Install one, or name it: make PYTHON=/path/to/python3.11 …"
}

need_space() { # megabytes, what for
  local free
  free=$(df -Pm . | awk 'NR == 2 { print $4 }')
  [ "$free" -ge "$1" ] || die "$2 needs $1 MB of free disk here; there are $free MB. Free some and run it again."
}

make_venv() { # folder
  [ -x "$1/bin/python" ] && "$1/bin/python" -c '' 2>/dev/null && return
  rm -rf "$1"
  "$(find_python)" -m venv "$1" || die "python -m venv failed. On Debian and Ubuntu: apt-get install python3-venv"
}

# Every file of pins names the whole closure, so nothing is resolved here: --no-deps. (Resolving, older pips fail on
# an extra of a pinned package, `pydantic[email]`, as soon as a newer release of it is out.)
install() { # folder, what, pip arguments…
  local venv=$1 what=$2; shift 2
  say "installing $what"
  "$venv/bin/python" -m pip install --progress-bar on -q "$@" ||
    die "$what could not be installed. Read the lines above: a package index that cannot be reached says so there
(check the network, or PIP_INDEX_URL and your proxy); then run the same command again, it goes on where it stopped."
}

case "${1:-}" in
  gateway)
    need_space "$GATEWAY_MB" "the gateway's environment"
    make_venv "$VENV"
    install "$VENV" "the gateway ($(grep -cE '^[a-z]' requirements/gateway.txt) pinned packages)" --no-deps -r requirements/gateway.txt
    "$VENV/bin/python" -m pip install -q --no-deps --no-build-isolation -e . 2>/dev/null ||
      install "$VENV" "atelier itself" --no-deps -e .
    touch "$VENV/.gateway-installed"
    ;;
  dev)
    install "$VENV" "the test tools" --no-deps -r requirements/dev.txt
    touch "$VENV/.dev-installed"
    ;;
  engine)
    need_space "$ENGINE_MB" "the engine's environment (vLLM and PyTorch)"
    make_venv "$ENGINE_VENV"
    install "$ENGINE_VENV" "PyTorch (first, so that nothing else chooses another build)" -r requirements/torch.txt
    install "$ENGINE_VENV" "vLLM for CPUs ($(grep -cE '^[a-z]' requirements/engine-cpu.txt) pinned packages, some minutes)" \
      --no-deps -r requirements/engine-cpu.txt
    touch "$ENGINE_VENV/.engine-installed"
    ;;
  plugin)
    # What an earlier build left would be packed again, removed modules included.
    rm -rf adapters/vllm_plugin/build adapters/vllm_plugin/*.egg-info
    install "$ENGINE_VENV" "Atelier's vLLM plugin" --no-deps --no-build-isolation --force-reinstall ./adapters/vllm_plugin
    rm -rf adapters/vllm_plugin/build adapters/vllm_plugin/*.egg-info
    touch "$ENGINE_VENV/.plugin-installed"
    ;;
  trainer)
    need_space "$TRAINER_MB" "the trainer's environment (PyTorch, transformers, TRL, PEFT)"
    make_venv "$TRAINER_VENV"
    install "$TRAINER_VENV" "PyTorch (first, so that nothing else chooses another build)" -r requirements/torch.txt
    install "$TRAINER_VENV" "what the trainer shares with the gateway" --no-deps -r requirements/gateway.txt
    install "$TRAINER_VENV" "the trainer ($(grep -cE '^[A-Za-z]' requirements/trainer.txt) pinned packages)" --no-deps -r requirements/trainer.txt
    "$TRAINER_VENV/bin/python" -m pip install -q --no-deps --no-build-isolation -e . 2>/dev/null ||
      install "$TRAINER_VENV" "atelier itself" --no-deps -e .
    touch "$TRAINER_VENV/.trainer-installed"
    ;;
  *) die "usage: environment.sh gateway | dev | engine | plugin | trainer" ;;
esac
