"""The command line as a person uses it, against the whole service."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.forked import Forks
from tests.models.marker import write_marker_adapter, write_poisoned
from tests.stack import ROOT, Stack, free_port

TERMINAL = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
VERSION = re.compile(r"^cli@[0-9a-f]{12}$")


@dataclass(frozen=True)
class Shell:
    """Runs `atelier …` on a wide terminal, with the stack's settings."""

    stack: Stack
    forks: Forks

    def atelier(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.forks.run("app.cli", *words, environment=self.stack.environment | TERMINAL | env)

    def said(self, *words: str, **env: str) -> str:
        """What a command that must succeed printed to stdout."""
        done = self.atelier(*words, **env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def refused(self, *words: str, **env: str) -> str:
        """The words of a command that must fail, without a traceback."""
        done = self.atelier(*words, **env)
        assert done.returncode in {1, 2}, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return " ".join(done.stderr.split())


@pytest.fixture(scope="module")
def shell(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Loads the command line once, for all commands."""
    folder = tmp_path_factory.mktemp("shell")
    with Forks(Path(sys.executable), folder, ("app.cli",), stack.environment | TERMINAL) as forks:
        yield Shell(stack, forks)


@pytest.fixture(scope="module")
def folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cli") / "my-adapter"
    write_marker_adapter(tiny_model, made, 31, seed=time.time_ns() % 2**32)
    return made


@pytest.fixture(scope="module")
def version(stack: Stack, shell: Shell, folder: Path) -> Iterator[str]:
    """A version pushed by the command, which waits until it answers."""
    done = shell.atelier("adapters", "push", str(folder), "--name", "cli")
    assert done.returncode == 0, done.stderr
    assert VERSION.match(done.stdout.strip()), done.stdout
    assert "uploading my-adapter" in done.stderr
    yield done.stdout.strip()
    with stack.http() as client:
        client.delete("/v1/releases/cli")
        client.delete(f"/v1/adapters/{done.stdout.strip().replace('@', '/')}")


def test_a_pushed_version_answers(stack: Stack, version: str) -> None:
    answer = stack.openai().chat.completions.create(
        model=version, messages=[{"role": "user", "content": "x"}], max_tokens=2
    )
    assert answer.choices[0].message.content == "<m031>" * 2


def test_pushing_it_again_gives_the_same_version(shell: Shell, version: str, folder: Path) -> None:
    assert shell.said("adapters", "push", str(folder), "--name", "cli", "--no-wait") == version


def test_list_show_and_wait(shell: Shell, version: str) -> None:
    assert version in shell.said("adapters", "list")
    assert version in shell.said("adapters", "list", "cli", "--history")
    assert version not in shell.said("adapters", "list", "another")
    shown = json.loads(shell.said("adapters", "show", version))
    assert (shown["id"], shown["name"]) == (version, "cli")
    assert shell.said("adapters", "wait", version).startswith(f"{version} is ")


def test_release_set_list_drop(shell: Shell, version: str) -> None:
    assert shell.said("release", "set", "cli-alias", version) == f"cli-alias: nothing → {version}"
    listed = next(line for line in shell.said("release", "list").splitlines() if "cli-alias" in line)
    assert version in listed
    assert shell.said("release", "set", "cli-alias", version).endswith(version)
    assert shell.said("release", "drop", "cli-alias") == "cli-alias dropped"
    assert "no alias" in shell.refused("release", "drop", "cli-alias")
    assert "no adapter version" in shell.refused("release", "set", "cli-alias", "cli@000000000000")
    assert "alias" in shell.refused("release", "set", "Bad Alias", version)


def test_delete(shell: Shell, tiny_model: Path, tmp_path: Path) -> None:
    write_marker_adapter(tiny_model, tmp_path, 32, seed=time.time_ns() % 2**32)
    doomed = shell.said("adapters", "push", str(tmp_path), "--name", "cli-doomed")
    inuse = shell.refused("adapters", "delete", doomed)
    assert "cli-doomed" in inuse
    assert "409" in inuse
    shell.said("release", "drop", "cli-doomed")
    assert shell.said("adapters", "delete", doomed).startswith(f"{doomed} is ")
    assert f"{doomed} is " in shell.refused("adapters", "wait", doomed)


def test_what_is_no_adapter_is_named(shell: Shell, tiny_model: Path, tmp_path: Path) -> None:
    missing = shell.refused("adapters", "push", str(tmp_path / "nowhere"), "--name", "cli")
    assert "adapter_config.json is missing" in missing
    assert "save_pretrained" in missing
    assert "not a version id" in shell.refused("adapters", "show", "cli")
    assert "no adapter version" in shell.refused("adapters", "show", "cli@000000000000")
    write_poisoned(tiny_model, tmp_path / "poison", "nan")
    poisoned = shell.refused("adapters", "push", str(tmp_path / "poison"), "--name", "cli-poison")
    assert "not finite" in poisoned or "NaN" in poisoned or "nan" in poisoned
    assert "v_proj" in poisoned
    assert "adapter_rejected" in poisoned
    write_marker_adapter(tiny_model, tmp_path / "good", 33)
    assert "name" in shell.refused("adapters", "push", str(tmp_path / "good"), "--name", "Not A Name")


def test_keys_create_list_revoke_usage(stack: Stack, shell: Shell) -> None:
    done = shell.atelier(
        "keys", "create", "from the command line", "--role", "auditor", "--scope", "chat",
        "--model", "general", "--days", "2", "--requests", "100", "--tokens", "100000", "--concurrency", "4",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    key = done.stdout.strip()
    identity = key.split("-")[1]
    assert f"key {identity} for from the command line: audit, chat" in done.stderr
    listed = next(line for line in shell.said("keys", "list").splitlines() if identity in line)
    assert "general" in listed
    assert "valid until" in listed
    assert "requests_per_minute 100" in listed
    assert key not in shell.said("keys", "list")
    with stack.http(key) as client:
        body = {"model": "general", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
        assert client.post("/v1/chat/completions", json=body).status_code == 200
        client.get("/v1/audit")
    assert identity in shell.said("keys", "usage", "--days", "1")
    assert "missing_scope" in shell.refused("keys", "list", ATELIER_KEY=key)
    assert shell.said("keys", "revoke", identity) == f"{identity} revoked"
    assert "revoked" in next(line for line in shell.said("keys", "list").splitlines() if identity in line)
    assert "invalid_key" in shell.refused("audit", "show", ATELIER_KEY=key)
    assert "no key with id" in shell.refused("keys", "revoke", "nobody")
    assert "unknown role" in shell.refused("keys", "create", "x", "--role", "king")


def test_audit_show_and_verify(shell: Shell) -> None:
    lines = shell.said("audit", "show", "--limit", "5").splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3, 4, 5]
    created = shell.said("audit", "show", "--action", "key.create", "--limit", "3").splitlines()
    assert {json.loads(line)["action"] for line in created} <= {"key.create"}
    assert re.fullmatch(r"\d+ records, the chain is whole", shell.said("audit", "verify"))


def test_without_a_server_or_a_key(shell: Shell, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    away = shell.refused("adapters", "list", "--url", url)
    assert f"no gateway answers at {url}" in away
    assert "make serve" in away
    keyless = shell.refused("adapters", "list", ATELIER_VAR_DIR=str(tmp_path))
    assert "no API key" in keyless
    assert "ATELIER_KEY" in keyless
    assert "invalid_key" in shell.refused("adapters", "list", "--key", "atl-0000000000000000-wrong")


def test_one_process_commands_say_what_they_miss(stack: Stack, shell: Shell) -> None:
    assert "ATELIER_STATE_URL" in shell.refused("gateway")
    assert "ATELIER_STATE_URL" in shell.refused("agent")
    assert "ATELIER_ENGINE_URL" in shell.refused("agent", ATELIER_STATE_URL=stack.state_url)


def test_wrong_settings_are_told_without_a_traceback(shell: Shell) -> None:
    for command in (("adapters", "list"), ("gateway",), ("agent",), ("serve",)):
        words = shell.refused(*command, ATELIER_PORT="eighty")
        assert "ATELIER_PORT" in words
        assert "integer" in words


def test_help_names_every_group() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "--help"],
        cwd=ROOT, env=dict(os.environ) | {"NO_COLOR": "1"}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    for group in ("serve", "gateway", "agent", "adapters", "release", "keys", "audit"):
        assert group in done.stdout
