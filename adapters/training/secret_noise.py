"""Randomness that nobody without the key can take away again: which rows a private step uses, and its noise.

A generator seeded from the recipe would not do: who has the recipe could compute the noise and subtract it. The
key is drawn from the operating system when a run starts and thrown away when it ends. Step and purpose choose the
part of the key stream, so a run that goes on after a kill draws what it would have drawn, without any state kept.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

KEY_BYTES = 32
_SAMPLE, _NOISE = 0, 1
_53_BITS = 1.0 / (1 << 53)


@dataclass(frozen=True, slots=True, repr=False)
class SecretNoise:
    """`key`: 32 bytes."""

    key: bytes

    def drawn(self, step: int, rows: int, rate: float) -> list[int]:
        """Poisson sampling: each of `rows` with the chance `rate`, independently; their positions in order."""
        return [int(row) for row in np.flatnonzero(self._uniform(_SAMPLE, 0, step, rows) <= rate)]

    def gaussian(self, step: int, part: int, count: int) -> Any:
        """`count` standard normal numbers (float64) for the `part`-th tensor, by Box and Muller."""
        half = (count + 1) // 2
        uniform = self._uniform(_NOISE, part, step, 2 * half)
        radius, angle = np.sqrt(-2.0 * np.log(uniform[:half])), 2.0 * np.pi * uniform[half:]
        return np.concatenate((radius * np.cos(angle), radius * np.sin(angle)))[:count]

    def _uniform(self, purpose: int, part: int, step: int, count: int) -> Any:
        """Numbers above 0 and up to 1, in steps of 2⁻⁵³."""
        place = (
            bytes(8) + purpose.to_bytes(1, "little") + part.to_bytes(3, "little") + step.to_bytes(4, "little")
        )
        stream = Cipher(ChaCha20(self.key, place), mode=None).encryptor().update(bytes(8 * count))
        return ((np.frombuffer(stream, dtype="<u8") >> 11) + 1) * _53_BITS


def keep_key(file: Path) -> SecretNoise:
    """The key in `file`; a new one where there is none, readable by its owner only. Raises OSError."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_name(f".{file.name}.partial")
        aside.unlink(missing_ok=True)
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(os.urandom(KEY_BYTES))
            opened.flush()
            os.fsync(opened.fileno())
        aside.replace(file)
    key = file.read_bytes()
    if len(key) != KEY_BYTES:
        raise OSError(f"{file} does not hold {KEY_BYTES} bytes; remove the run's folder and begin again")
    return SecretNoise(key)
