"""Whose signatures count: certificates that are known, and the path from a signature's certificate to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from pipeline.errors import GenloopError
from pipeline.marks.keys import load_chain, pem_of

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

MAX_CHAIN = 8
STRONG_HASHES = {"sha256", "sha384", "sha512"}

Name = tuple[str, str]  # common name, organisation


class Untrusted(GenloopError):
    """A signature is not there, is not right, or is of nobody who is trusted."""


@dataclass(frozen=True)
class Trust:
    """anchors: CA certificates; names: of the leaves that may sign. A CA may have issued others to other people."""

    anchors: tuple[Certificate, ...] = ()
    names: frozenset[Name] = frozenset()

    @property
    def anchors_pem(self) -> str:
        return pem_of(self.anchors).decode()


@lru_cache(maxsize=8)
def trust_of(certificates: bytes) -> Trust:
    """Of chains in PEM, one behind the other: `Signer.certificates`, older ones too. Raises ParamsError."""
    if not certificates:
        return Trust()
    found = load_chain(certificates, "trusted certificates")
    anchors = tuple(one for one in found if is_ca(one))
    return Trust(anchors, frozenset(name_of(one) for one in found if not is_ca(one)))


def name_of(certificate: Certificate) -> Name:
    """Of its subject; empty where it has none."""
    from cryptography.x509.oid import NameOID

    def first(kind: object) -> str:
        found = certificate.subject.get_attributes_for_oid(kind)  # type: ignore[arg-type]
        return str(found[0].value) if found else ""

    return first(NameOID.COMMON_NAME), first(NameOID.ORGANIZATION_NAME)


def is_ca(certificate: Certificate) -> bool:
    from cryptography.x509 import BasicConstraints, ExtensionNotFound

    try:
        return certificate.extensions.get_extension_for_class(BasicConstraints).value.ca
    except ExtensionNotFound:
        return False


def has_issued(issuer: Certificate, certificate: Certificate, below: int = 0) -> bool:
    """Whether a CA signed it and may have. below: CAs between it and the leaf."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.x509 import BasicConstraints

    if not is_ca(issuer) or not _may(issuer, "key_cert_sign"):
        return False
    most = issuer.extensions.get_extension_for_class(BasicConstraints).value.path_length
    if most is not None and below > most:
        return False
    used = certificate.signature_hash_algorithm  # None: of Ed25519, which has its own
    if used is not None and used.name not in STRONG_HASHES:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def check_chain(chain: Sequence[Certificate], trust: Trust, at: datetime) -> None:
    """From a leaf, which is first, to an anchor; all in force at that time. Raises Untrusted."""
    leaf = chain[0]
    if len(chain) > MAX_CHAIN:
        raise Untrusted(f"its chain has {len(chain)} certificates, more than {MAX_CHAIN}")
    if is_ca(leaf) or not _may(leaf, "digital_signature"):
        raise Untrusted("its certificate is not one to sign documents with")
    if name_of(leaf) not in trust.names:
        signer = " of ".join(filter(None, name_of(leaf)))[:100]
        raise Untrusted(f"signed by {signer!r}, who is not among the trusted")
    for below, one in enumerate(chain):
        _check_in_force(one, at)
        for anchor in trust.anchors:
            if has_issued(anchor, one, below):
                _check_in_force(anchor, at)
                return
        if below + 1 == len(chain) or not has_issued(chain[below + 1], one, below):
            break
    raise Untrusted("its certificate was not issued by a trusted one")


def _check_in_force(certificate: Certificate, at: datetime) -> None:
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        raise Untrusted(f"a certificate is in force from {start:%Y-%m-%d} to {end:%Y-%m-%d}, not on {at:%Y-%m-%d}")


def _may(certificate: Certificate, use: str) -> bool:
    from cryptography.x509 import ExtensionNotFound, KeyUsage

    try:
        return bool(getattr(certificate.extensions.get_extension_for_class(KeyUsage).value, use))
    except ExtensionNotFound:
        return True
