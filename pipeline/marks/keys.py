"""Private keys, certificate chains, and signatures in the raw form that COSE and JOSE share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, cast

from pipeline.errors import ParamsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.padding import PSS
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256, SHA384
    from cryptography.x509 import Certificate

    PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey
    PublicKey = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey

Algorithm = Literal["ed25519", "es256", "es384", "ps256"]
CURVES: dict[str, Algorithm] = {"secp256r1": "es256", "secp384r1": "es384"}
NUMBER_BYTES = {"es256": 32, "es384": 48}  # of r, and of s
MIN_RSA_BITS = 2048
SUPPORTED = f"Ed25519, ECDSA on P-256 or P-384, or RSA of at least {MIN_RSA_BITS} bits"
CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*")


def load_key(pem: bytes, where: str) -> PrivateKey:
    """Raises ParamsError, which says nothing of what the key is made of."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if b"-----BEGIN" not in pem:
        raise ParamsError("is no PEM", where=where, remedy="give the private key in PEM, PKCS #8")
    try:
        key = load_pem_private_key(pem, None)
    except TypeError:
        raise ParamsError(
            "the key is encrypted", where=where, remedy="decrypt it, or sign by a callback that holds it"
        ) from None
    except Exception:  # the parser's words could quote the key
        raise ParamsError(
            "holds no private key that can be read", where=where, remedy="give the private key in PEM, PKCS #8"
        ) from None
    if algorithm_of(key.public_key()) is None:
        raise ParamsError("is a key of another kind", where=where, remedy=f"use {SUPPORTED}")
    return cast("PrivateKey", key)


def load_chain(pem: bytes, where: str) -> tuple[Certificate, ...]:
    """The certificates in PEM, in their order, whatever stands between them. Raises ParamsError."""
    from cryptography.x509 import load_pem_x509_certificate

    try:
        chain = tuple(load_pem_x509_certificate(block) for block in CERTIFICATE.findall(pem))
    except ValueError:
        raise ParamsError("a certificate can't be read", where=where, remedy="give certificates in PEM") from None
    if not chain:
        raise ParamsError("holds no certificate", where=where, remedy="give certificates in PEM, leaf first")
    return chain


def pem_of(certificates: tuple[Certificate, ...]) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def pkcs8(key: PrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def algorithm_of(key: object) -> Algorithm | None:
    """The one that a public key signs with here; None where it is of no use."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return CURVES.get(key.curve.name)
    return "ps256" if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS else None


def signing(key: PrivateKey) -> Callable[[bytes], bytes]:
    """data -> signature: for ECDSA r and s, each at its curve's full length (RFC 7518, 3.4; RFC 9053, 2.1)."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    def sign(data: bytes) -> bytes:
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(data)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            algorithm = CURVES[key.curve.name]
            size = NUMBER_BYTES[algorithm]
            r, s = decode_dss_signature(key.sign(data, ec.ECDSA(_hash(algorithm))))
            return r.to_bytes(size) + s.to_bytes(size)
        return key.sign(data, _pss(), _hash("ps256"))

    return sign


def is_signed(data: bytes, signature: bytes, key: PublicKey) -> bool:
    """Whether the raw signature is the public key's over the data."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, data)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            algorithm = CURVES[key.curve.name]
            size = NUMBER_BYTES[algorithm]
            if len(signature) != 2 * size:
                return False
            numbers = (int.from_bytes(signature[:size]), int.from_bytes(signature[size:]))
            key.verify(encode_dss_signature(*numbers), data, ec.ECDSA(_hash(algorithm)))
        else:
            key.verify(signature, data, _pss(), _hash("ps256"))
    except InvalidSignature:
        return False
    return True


def _hash(algorithm: Algorithm) -> SHA256 | SHA384:
    from cryptography.hazmat.primitives import hashes

    return hashes.SHA384() if algorithm == "es384" else hashes.SHA256()


def _pss() -> PSS:
    """RFC 7518, 3.5: MGF1 with the same hash, a salt as long as it."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    return padding.PSS(padding.MGF1(hashes.SHA256()), 32)
