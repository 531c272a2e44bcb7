"""Signatures of recordings by Ed25519, and the keys that are trusted.

The digest in a recording shows accidents only: a forger can compute a new one. A signature of the
digest needs the private key. If the environment variable RPARITY_TRUST names a file of public keys
in PEM, every recording that is read must be signed with one of these keys.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from rparity.errors import SignatureError, UsageError, install

# The environment variable that names the file of trusted keys; unset, signatures are not checked.
TRUST = "RPARITY_TRUST"
SIGN = "rparity seal --key KEYFILE"
MAKE_KEY = "make one with `rparity seal --new-key KEYFILE`"
# Signed with every digest, so that signatures of the same key for other uses do not fit.
CONTEXT = b"rparity recording "
BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)

Sign = Callable[[str], str]


def trust_file() -> Path | None:
    """Return the file of trusted keys, if one is named."""
    named = os.environ.get(TRUST)
    return Path(named) if named else None


def trusted_keys(file: Path) -> list[Any]:
    """Return the public keys in a file of one or more keys in PEM.

    Raises
    ------
    UsageError
        The file cannot be read, has no key or one that is not of Ed25519, or the package
        cryptography is missing.
    """
    serialization, ed25519 = _library()
    blocks = [found[0] for found in BLOCK.finditer(_content(file))]
    keys = [_loaded(serialization.load_pem_public_key, block) for block in blocks]
    if not keys or not all(isinstance(key, ed25519.Ed25519PublicKey) for key in keys):
        raise UsageError(
            f"{file}, which {TRUST} names, must hold public keys of Ed25519 in PEM and no other: "
            "they are in the files that `rparity seal --new-key` calls KEYFILE.pub."
        )
    return keys


def require_trusted(path: Path, digest: str, signature: object) -> None:
    """Refuse a recording that no trusted key has signed, if a file of trusted keys is named.

    Raises
    ------
    SignatureError
        The signature is missing (None), by another key, or of another digest.
    UsageError
        As `trusted_keys` does.
    """
    file = trust_file()
    if file is None:
        return
    keys = trusted_keys(file)
    if signature is None:
        raise SignatureError(
            f"{path} is not signed, and {TRUST} asks for a signature: have its owner sign it "
            f"(`{SIGN}`), or unset {TRUST}."
        )
    from cryptography.exceptions import InvalidSignature

    for key in keys:
        try:
            key.verify(base64.b64decode(str(signature)), CONTEXT + digest.encode())
        except (InvalidSignature, ValueError):
            continue
        return
    raise SignatureError(
        f"{path} has no valid signature by a key in {file}: get it from an owner of one of these "
        f"keys, or unset {TRUST}."
    )


def signer(file: Path) -> Sign:
    """Return a function that signs a digest with the private key in a file.

    Raises
    ------
    UsageError
        The file cannot be read, is not a private key of Ed25519 in PEM without a password, or the
        package cryptography is missing.
    """
    serialization, ed25519 = _library()
    key = _loaded(lambda pem: serialization.load_pem_private_key(pem, None), _content(file))
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise UsageError(
            f"{file} is not a private key of Ed25519 in PEM without a password: {MAKE_KEY}."
        )
    return lambda digest: base64.b64encode(key.sign(CONTEXT + digest.encode())).decode()


def write_key(file: Path) -> Path:
    """Make a private key that only its owner may read, and beside it the public key.

    Returns the file of the public key. No file is overwritten.

    Raises
    ------
    UsageError
        One of the files exists or cannot be written, or the package cryptography is missing.
    """
    serialization, ed25519 = _library()
    key, public = ed25519.Ed25519PrivateKey.generate(), file.with_name(f"{file.name}.pub")
    pem = serialization.Encoding.PEM
    private_bytes = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public_bytes = key.public_key().public_bytes(
        pem, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    made: list[Path] = []
    try:
        for path, mode, content in ((public, 0o644, public_bytes), (file, 0o600, private_bytes)):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            made.append(path)
            with os.fdopen(descriptor, "wb") as out:
                out.write(content)
    except OSError as error:
        for path in made:  # one key without the other is of no use
            path.unlink()
        raise UsageError(
            f"Cannot write the key {error.filename or path}: {error.strerror}. Name another file."
        ) from error
    return public


def _library() -> tuple[ModuleType, ModuleType]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise UsageError(
            f"{TRUST} and `rparity seal` need cryptography: {install('sign')}"
        ) from error
    return serialization, ed25519


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"Cannot read the key {file}: {error.strerror}; {MAKE_KEY}.") from error


def _loaded(load: Callable[[bytes], Any], pem: bytes) -> Any:
    """Return the key, or None if this is no PEM, a key of another kind, or has a password."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
