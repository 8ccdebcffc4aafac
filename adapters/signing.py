"""OpenSSF signatures over an adapter package: who made it, provable with a public key.

The signed set is exactly the package's files (config, weights, card if there is one), never manifest or signature.
`model_signing` takes 0.4 s to import, so it is imported where it is used.
"""

import base64
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from adapters.package import CONFIG, MAX_SIGNATURE_BYTES, SIGNED_FILES, WEIGHTS, PackageError
from adapters.strict_json import parse_object

_BUNDLE = {"mediaType", "verificationMaterial", "dsseEnvelope"}
_ENVELOPE = {"payload", "payloadType", "signatures"}


@dataclass(frozen=True, slots=True)
class SignatureResult:
    """`key` is the public key's file that verified the signature; None when none did, and `reason` says why."""

    key: Path | None
    reason: str

    @property
    def ok(self) -> bool:
        """Whether a configured key signed exactly these files."""
        return self.key is not None


def verify_signature(package_dir: Path, signature: bytes, public_keys: Sequence[Path]) -> SignatureResult:
    """Check a signature against each configured public key (PEM, elliptic curve). Blocking: hashes the files.

    Never raises for anything in the package or the signature.
    """
    if not public_keys:
        return SignatureResult(None, "no public keys are configured; name at least one to accept signatures")
    if len(signature) > MAX_SIGNATURE_BYTES:
        return SignatureResult(None, f"the signature is larger than {MAX_SIGNATURE_BYTES:,} bytes")
    with tempfile.TemporaryDirectory() as aside:
        path = Path(aside) / "signature"
        path.write_bytes(signature)
        reasons = []
        for key in public_keys:
            try:
                _verify(package_dir, path, key)
            # The library lets whatever its parsers raise through: KeyError, AttributeError, binascii.Error, …
            except Exception as error:
                reasons.append(f"{key.name}: {str(error).strip()[:200] or type(error).__name__}")
            else:
                return SignatureResult(key, f"signed with {key.name}")
    return SignatureResult(None, "no configured key made this signature: " + "; ".join(reasons))


def sign_package(package_dir: Path, private_key: Path) -> bytes:
    """Sign a package folder with an unencrypted PEM key on P-256, P-384 or P-521. Blocking.

    Raises PackageError when a file is missing, ValueError for a key that cannot sign.
    """
    names = _package_files(package_dir)
    with tempfile.TemporaryDirectory() as aside:
        # A folder with nothing else in it, so that other tools verify the same set without options.
        staged = Path(aside) / package_dir.resolve().name
        staged.mkdir()
        for name in names:
            shutil.copyfile(package_dir / name, staged / name, follow_symlinks=False)
        return sign_model(staged, private_key)


def sign_model(folder: Path, private_key: Path) -> bytes:
    """Sign every file of a folder, with a key as above. Blocking: hashes the files.

    Raises ValueError for a key that cannot sign, OSError.
    """
    from model_signing import hashing, signing  # noqa: PLC0415

    serial = hashing.Config()  # type: ignore[no-untyped-call]
    serial.use_file_serialization(hashing_algorithm="sha256")
    config = signing.Config()  # type: ignore[no-untyped-call]
    config.use_elliptic_key_signer(private_key=private_key)
    with tempfile.TemporaryDirectory() as aside:
        target = Path(aside) / "signature"
        config.set_hashing_config(serial).sign(folder, target)
        return target.read_bytes()


def _verify(package_dir: Path, signature: Path, key: Path) -> None:
    from model_signing import verifying  # noqa: PLC0415

    signed, expected = _named_files(signature.read_bytes()), set(_package_files(package_dir))
    config = verifying.Config()  # type: ignore[no-untyped-call]
    config.use_elliptic_key_verifier(public_key=key)
    # Hashes the files the signature names, and no other: compared with the package's below.
    config.set_ignore_unsigned_files(True).verify(package_dir, signature)
    if signed != expected:
        raise ValueError(f"it covers {sorted(signed)}, the package is {sorted(expected)}; sign exactly these")


def _named_files(signature: bytes) -> set[str]:
    """The file names a signature covers, to be believed once it is verified. Raises ValueError, KeyError.

    The bundle must have the one usual spelling: the library also takes other names for the envelope, and a
    second envelope under such a name would be verified while this one is read.
    """
    bundle, problems = parse_object(signature, "signature", MAX_SIGNATURE_BYTES)
    if bundle is None:
        raise ValueError(problems[0].message)
    envelope = bundle.get("dsseEnvelope")
    if bundle.keys() != _BUNDLE or not isinstance(envelope, dict) or envelope.keys() != _ENVELOPE:
        raise ValueError("it is not a signature bundle over a model; sign with model_signing")
    payload = orjson.loads(base64.b64decode(envelope["payload"], validate=True))
    predicate: Any = payload["predicate"]
    serialization = predicate["serialization"]
    if serialization["method"] != "files" or serialization["hash_type"] != "sha256":
        raise ValueError("it was not made over whole files with sha256; sign with the default options")
    return {resource["name"] for resource in predicate["resources"]}


def _package_files(package_dir: Path) -> list[str]:
    names = [name for name in SIGNED_FILES if (package_dir / name).is_file()]
    if not {CONFIG, WEIGHTS} <= set(names):
        raise PackageError(f"{package_dir} holds no {CONFIG} or no {WEIGHTS}; name an adapter's folder")
    return names
