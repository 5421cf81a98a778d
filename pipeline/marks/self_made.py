"""A certificate to try marks with, made here and trusted by nobody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import DiskError
from pipeline.files import write_new
from pipeline.marks.keys import load_chain, pem_of, pkcs8

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.x509 import Certificate, CertificateBuilder, KeyUsage, Name

LASTS, RENEWED_BEFORE = timedelta(days=3650), timedelta(days=30)
START = datetime(1970, 1, 1, tzinfo=UTC)  # whatever the clock said when it was made, no reader's is behind it
MODE = 0o600


def self_made(folder: Path, now: datetime) -> bytes:
    """PEM of an Ed25519 key, its certificate and the CA's: the newest in the folder, made where there is none in force.

    One file each, so that it is whole or not there; of several processes one writes, all read the same.
    Raises ParamsError where a file is damaged, DiskError.
    """
    try:
        while True:
            files = _files(folder)
            for path in reversed(files):  # older ones begin when they were made, which may be in the future
                leaf = load_chain(found := path.read_bytes(), str(path))[0]
                if leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc - RENEWED_BEFORE:
                    return found
            write_new(folder / f"test-signer-{_number(files[-1]) + 1 if files else 1}.pem", _made(now), MODE)
    except OSError as error:
        raise DiskError(
            f"can't keep a test certificate: {error.strerror}", where=str(folder), remedy="make it writable"
        ) from None


def certificates_made(folder: Path) -> bytes:
    """PEM of all that were ever made there, for reading what they signed. Raises ParamsError, DiskError."""
    try:
        return b"".join(pem_of(load_chain(path.read_bytes(), str(path))) for path in _files(folder))
    except OSError as error:
        raise DiskError(f"can't be read: {error.strerror}", where=str(folder), remedy="mend its rights") from None


def _files(folder: Path) -> list[Path]:
    """Oldest first."""
    found = (path for path in folder.glob("test-signer-*.pem") if path.stem.rpartition("-")[2].isdecimal())
    return sorted(found, key=_number)


def _number(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def _made(now: datetime) -> bytes:
    """The CA's key is thrown away: it signs this one leaf."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    ca, leaf = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    ca_name, leaf_name = _name("genloop test CA, not for production"), _name("genloop test certificate")
    ca_certificate = _of_ca(_builder(ca_name, ca_name, ca.public_key(), ca.public_key(), now)).sign(ca, None)
    certificate = _of_leaf(_builder(leaf_name, ca_name, leaf.public_key(), ca.public_key(), now)).sign(ca, None)
    chain: tuple[Certificate, ...] = (certificate, ca_certificate)
    return pkcs8(leaf) + pem_of(chain)


def _name(common_name: str) -> Name:
    from cryptography.x509 import Name, NameAttribute
    from cryptography.x509.oid import NameOID

    organisation = NameAttribute(NameOID.ORGANIZATION_NAME, "genloop test, self-made")
    return Name([NameAttribute(NameOID.COMMON_NAME, common_name), organisation])


def _builder(
    name: Name, issuer: Name, key: Ed25519PublicKey, issuer_key: Ed25519PublicKey, now: datetime
) -> CertificateBuilder:
    from cryptography import x509

    return (
        x509.CertificateBuilder(issuer, name, key, x509.random_serial_number(), START, now + LASTS)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), False)
    )


def _of_ca(builder: CertificateBuilder) -> CertificateBuilder:
    from cryptography.x509 import BasicConstraints

    return builder.add_extension(BasicConstraints(True, 0), True).add_extension(_usage(signs_certificates=True), True)


def _of_leaf(builder: CertificateBuilder) -> CertificateBuilder:
    """As C2PA wants it: it may sign, and it is for e-mail, which no other use that is known to all comes closer to."""
    from cryptography.x509 import BasicConstraints, ExtendedKeyUsage
    from cryptography.x509.oid import ExtendedKeyUsageOID

    return (
        builder.add_extension(BasicConstraints(False, None), True)
        .add_extension(_usage(signs_certificates=False), True)
        .add_extension(ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    )


def _usage(signs_certificates: bool) -> KeyUsage:
    from cryptography.x509 import KeyUsage

    return KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
