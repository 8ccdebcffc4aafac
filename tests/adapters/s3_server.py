"""A real S3 server for tests: SeaweedFS on loopback, with ports of its own, ended with its whole process group."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import obstore
import orjson
from obstore.store import S3Store as Bucket

from adapters.s3_store import S3Settings

ACCESS, SECRET, BUCKET = "tester", "tester-secret", "adapters"
START_SECONDS = 60.0
SERVERS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
)
S3_PORTS = ("s3.port", "s3.port.grpc")


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def s3_server(directory: Path) -> Iterator[S3Settings]:
    """Run the server with its data under `directory`; yields the settings of an empty bucket."""
    (directory / "data").mkdir(parents=True)
    rights = {
        "identities": [
            {
                "name": ACCESS,
                "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}],
                "actions": ["Admin", "Read", "Write", "List", "Tagging"],
            }
        ]
    }
    (directory / "s3.json").write_bytes(orjson.dumps(rights))
    names = (*SERVERS, *S3_PORTS)
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    command = [str(Path(sys.executable).with_name("weed")), "server", "-s3", f"-dir={directory / 'data'}"]
    command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-volume.max=8"]
    command += [
        "-master.volumeSizeLimitMB=256",
        "-volume.preStopSeconds=0",
        f"-s3.config={directory / 's3.json'}",
    ]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.localSocket={directory / 's3.sock'}"]
    command += [f"-filer.localSocket={directory / 'filer.sock'}"]
    command += [f"-{name}={port}" for name, port in ports.items()]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=directory)
    try:
        settings = S3Settings(BUCKET, f"http://127.0.0.1:{ports['s3.port']}", ACCESS, SECRET)
        wait_for_bucket(settings, process, directory / "log")
        yield settings
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)


def wait_for_bucket(settings: S3Settings, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until an object can be written; the server makes the bucket by itself."""
    bucket = Bucket(
        settings.bucket,
        endpoint=settings.endpoint,
        access_key_id=settings.access_key,
        secret_access_key=settings.secret_key,
        region=settings.region,
        client_options={"allow_http": True, "timeout": "5s"},
        retry_config={"max_retries": 0},
    )
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            obstore.put(bucket, "started", b"x")
            obstore.delete(bucket, "started")
            return
        except Exception:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"SeaweedFS did not start:\n{log.read_text()[-3000:]}") from None
            time.sleep(0.2)
