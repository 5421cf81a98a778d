"""Keys and certificates to test with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from pipeline.marks.keys import algorithm_of, pem_of, pkcs8, signing
from pipeline.marks.signer import Signer

KEYS = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ps256": lambda: rsa.generate_private_key(65537, 2048),
}
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    key: Any
    certificate: x509.Certificate

    @property
    def key_pem(self) -> bytes:
        return pkcs8(self.key)


def name(common_name: str, organisation: str) -> x509.Name:
    pairs = ((NameOID.COMMON_NAME, common_name), (NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in pairs])


def issued(
    subject: x509.Name,
    by: Identity | None = None,
    *,
    kind: str = "ed25519",
    ca: bool = False,
    days: tuple[float, float] = (-1, 365),
    use: x509.ObjectIdentifier = ExtendedKeyUsageOID.EMAIL_PROTECTION,
    digest: hashes.HashAlgorithm | None = None,
    ocsp: str = "",
) -> Identity:
    """days: from today on that it is in force. by: itself, where it is not given. ocsp: who knows if it is revoked."""
    key, now = KEYS[kind](), datetime.now(UTC)
    signer = by.key if by else key
    usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
    builder = (
        x509.CertificateBuilder(by.certificate.subject if by else subject, subject, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * DAY)
        .not_valid_after(now + days[1] * DAY)
        .add_extension(x509.BasicConstraints(ca, None), True)
        .add_extension(usage, True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False)
    )
    if not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), False)
    if ocsp:
        place = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(ocsp))
        builder = builder.add_extension(x509.AuthorityInformationAccess([place]), False)
    hashed = None if isinstance(signer, ed25519.Ed25519PrivateKey) else digest or hashes.SHA256()
    return Identity(key, builder.sign(signer, hashed))


def signer_of(leaf: Identity, *chain: Identity, kms: bool = False) -> Signer:
    """kms: as if its key were elsewhere."""
    algorithm = algorithm_of(leaf.key.public_key())
    assert algorithm
    pem = pem_of((leaf.certificate, *(one.certificate for one in chain)))
    made = Signer(algorithm, pem, signing(leaf.key))
    return made if kms else Signer(algorithm, pem, signing(leaf.key), False, _secret(leaf))


def _secret(leaf: Identity) -> Any:
    from pydantic import SecretStr

    return SecretStr(leaf.key_pem.decode())


def company(kind: str = "ed25519", *, kms: bool = False, name_: str = "Content desk", **options: Any) -> Signer:
    """A leaf of a company and its CA."""
    root = issued(name("Acme root", "Acme"), kind=kind, ca=True, days=(-30, 365))
    return signer_of(issued(name(name_, "Acme"), root, kind=kind, **options), root, kms=kms)


def write(folder: Path, leaf: Identity, *chain: Identity) -> tuple[Path, Path]:
    """Files of the key and of the certificates."""
    key, certificates = folder / "key.pem", folder / "certificates.pem"
    key.write_bytes(leaf.key_pem)
    certificates.write_bytes(pem_of((leaf.certificate, *(one.certificate for one in chain))))
    return key, certificates
