from __future__ import annotations

import stat
from pathlib import Path

import pytest

from app.state.connection import connect
from app.state.embedded import valkey_argv
from tests.valkey_process import ValkeyProcess


async def test_only_this_user_reaches_it_and_it_keeps_everything() -> None:
    with ValkeyProcess() as valkey:
        assert stat.S_IMODE(valkey.socket.stat().st_mode) == 0o700
        redis = connect(valkey.url)
        settings = await redis.config_get("*")
        assert {name: settings[name] for name in ("port", "save", "appendonly", "appendfsync")} == {
            "port": "0",
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
        }
        assert settings["maxmemory-policy"] == "noeviction"
        await redis.aclose()


async def test_starts_again_from_a_torn_file() -> None:
    with ValkeyProcess() as valkey:
        redis = connect(valkey.url)
        for n in range(100):
            await redis.set(f"k{n}", "x" * 100)
        valkey.kill()
        [log] = valkey.folder.glob("appendonlydir/*.incr.aof")
        with log.open("r+b") as file:
            file.truncate(log.stat().st_size - 17)
        valkey.start()
        assert await redis.get("k98") == b"x" * 100
        assert await redis.get("k99") is None
        await redis.aclose()


def test_a_long_socket_path_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 103 bytes"):
        valkey_argv(Path("server"), Path("/tmp"), Path("/tmp") / ("x" * 100))
