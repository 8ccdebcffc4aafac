"""Signatures over packages: real keys, the real library, and what must not pass."""

import base64
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.package import CARD, CONFIG, MANIFEST, SIGNATURE, WEIGHTS, PackageError
from adapters.signing import sign_package, verify_signature
from tests.adapters.adapter_builder import build


def make_key(directory: Path, name: str, curve: ec.EllipticCurve | None = None) -> tuple[Path, Path]:
    key = ec.generate_private_key(curve or ec.SECP256R1())
    private, public = directory / f"{name}.key", directory / f"{name}.pub"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


@pytest.fixture
def package(tmp_path: Path) -> Path:
    replace(build(), card={"base": {"name": "x"}}).write(tmp_path / "package")
    return tmp_path / "package"


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_round_trip(tmp_path: Path, package: Path, curve: ec.EllipticCurve) -> None:
    private, public = make_key(tmp_path, "one", curve)
    _, other = make_key(tmp_path, "other")
    signature = sign_package(package, private)
    # Neither of these is part of the signed set.
    (package / MANIFEST).write_text("{}")
    (package / SIGNATURE).write_bytes(signature)
    assert verify_signature(package, signature, [other, public]).key == public
    refused = verify_signature(package, signature, [other])
    assert not refused.ok
    assert "other.pub" in refused.reason


def test_without_a_card(tmp_path: Path) -> None:
    build().write(tmp_path / "package")
    private, public = make_key(tmp_path, "one")
    signature = sign_package(tmp_path / "package", private)
    assert verify_signature(tmp_path / "package", signature, [public]).ok
    (tmp_path / "package" / CARD).write_text("{}")
    added = verify_signature(tmp_path / "package", signature, [public])
    assert not added.ok
    assert CARD in added.reason


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, CARD])
def test_changed_or_missing_file(tmp_path: Path, package: Path, name: str) -> None:
    private, public = make_key(tmp_path, "one")
    signature = sign_package(package, private)
    content = (package / name).read_bytes()
    (package / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert not verify_signature(package, signature, [public]).ok
    (package / name).unlink()
    assert not verify_signature(package, signature, [public]).ok
    (package / name).write_bytes(content)
    assert verify_signature(package, signature, [public]).ok


def test_signer_that_leaves_the_card_out(tmp_path: Path, package: Path) -> None:
    """The library would ignore what the signature says to ignore; the card would then be anyone's."""
    private, public = make_key(tmp_path, "one")
    target = tmp_path / "signature"
    command = [
        sys.executable,
        "-m",
        "model_signing",
        "sign",
        "key",
        str(package),
        "--private_key",
        str(private),
    ]
    command += ["--signature", str(target)]
    subprocess.run(
        [*command, "--ignore-paths", str(package / CARD)], check=True, capture_output=True, timeout=60
    )
    assert not verify_signature(package, target.read_bytes(), [public]).ok
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert verify_signature(package, target.read_bytes(), [public]).ok


def test_the_library_verifies_ours(tmp_path: Path, package: Path) -> None:
    private, public = make_key(tmp_path, "one")
    target = tmp_path / "signature"
    target.write_bytes(sign_package(package, private))
    command = [
        sys.executable,
        "-m",
        "model_signing",
        "verify",
        "key",
        str(package),
        "--public_key",
        str(public),
    ]
    subprocess.run([*command, "--signature", str(target)], check=True, capture_output=True, timeout=60)


def test_second_envelope_under_another_name(tmp_path: Path) -> None:
    """A signature over two files, dressed up to claim three."""
    build().write(tmp_path / "package")
    private, public = make_key(tmp_path, "one")
    bundle = json.loads(sign_package(tmp_path / "package", private))
    (tmp_path / "package" / CARD).write_text("{}")
    payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    payload["predicate"]["resources"].append({"name": CARD, "algorithm": "sha256", "digest": "0" * 64})
    forged = {**bundle["dsseEnvelope"], "payload": base64.b64encode(json.dumps(payload).encode()).decode()}
    for dressed in (
        {**bundle, "dsseEnvelope": forged, "dsse_envelope": bundle["dsseEnvelope"]},
        {**bundle, "dsseEnvelope": forged},
    ):
        result = verify_signature(tmp_path / "package", json.dumps(dressed).encode(), [public])
        assert not result.ok


def test_missing_files_and_keys(tmp_path: Path, package: Path) -> None:
    private, public = make_key(tmp_path, "one")
    signature = sign_package(package, private)
    assert "no public keys" in verify_signature(package, signature, []).reason
    assert not verify_signature(package, signature, [tmp_path / "absent.pub"]).ok
    assert not verify_signature(package, b"x" * (2 << 20), [public]).ok
    (package / WEIGHTS).unlink()
    with pytest.raises(PackageError, match=WEIGHTS):
        sign_package(package, private)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_signatures_never_pass_or_raise(tmp_path: Path, package: Path, data: st.DataObject) -> None:
    if not (tmp_path / "one.key").exists():
        make_key(tmp_path, "one")
        (tmp_path / "signature").write_bytes(sign_package(package, tmp_path / "one.key"))
    good = (tmp_path / "signature").read_bytes()
    bundle = json.loads(good)
    envelope = bundle["dsseEnvelope"]
    part = data.draw(st.sampled_from(["payload", "sig"]))
    text = envelope["payload"] if part == "payload" else envelope["signatures"][0]["sig"]
    raw = bytearray(base64.b64decode(text))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    changed = base64.b64encode(bytes(raw)).decode()
    if part == "payload":
        envelope["payload"] = changed
    else:
        envelope["signatures"][0]["sig"] = changed
    assert not verify_signature(package, json.dumps(bundle).encode(), [tmp_path / "one.pub"]).ok


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(signature=st.binary(max_size=300))
def test_random_signatures_never_raise(tmp_path: Path, package: Path, signature: bytes) -> None:
    if not (tmp_path / "one.pub").exists():
        make_key(tmp_path, "one")
    assert not verify_signature(package, signature, [tmp_path / "one.pub"]).ok


def test_import_stays_cheap() -> None:
    code = "import sys, adapters.signing; sys.exit('model_signing' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
