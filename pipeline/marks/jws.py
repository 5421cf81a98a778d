"""Signed JSON: a JWS (RFC 7515) in flattened serialisation, with its certificates in the protected header (x5c)."""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import UTC, datetime
from typing import Any

from pipeline.marks.keys import Algorithm, algorithm_of, is_signed, load_chain
from pipeline.marks.signer import Signer
from pipeline.marks.trust import MAX_CHAIN, Untrusted, check_chain, trust_of

# EdDSA, not Ed25519 as RFC 9864 would have it: few programs know that one yet.
NAMES: dict[Algorithm, str] = {"ed25519": "EdDSA", "es256": "ES256", "es384": "ES384", "ps256": "PS256"}
MAX_BYTES = 64 * 2**20
URL_SAFE = re.compile(r"[A-Za-z0-9_-]*")


def sign_json(content: Any, signer: Signer) -> bytes:
    """JSON of the members payload, protected and signature; the payload is `canonical(content)`.

    Raises ValueError where the content is not JSON: NaN, infinity, other types, half a surrogate pair.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    chain = load_chain(signer.certificates, "signer")
    x5c = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in chain]
    protected = _encoded(canonical({"alg": NAMES[signer.algorithm], "x5c": x5c}))
    payload = _encoded(canonical(content))
    signature = _encoded(signer.sign(f"{protected}.{payload}".encode()))
    return canonical({"payload": payload, "protected": protected, "signature": signature}) + b"\n"


def verify_json(data: bytes, trusted_certificates: bytes, at: datetime | None = None) -> Any:
    """What was signed, if it was by one of those who have the certificates (PEM chains, one behind the other).

    at: when these are to be in force; now, where it is not given. What the data says of its own time is no proof.
    Raises Untrusted, with the reason, on whatever else the data is; ParamsError where the certificates are none.
    """
    trust = trust_of(trusted_certificates)
    try:
        signed = _parts(data)
        header = json.loads(_decoded(signed["protected"]))
        chain = _chain(header)
        check_chain(chain, trust, at or datetime.now(UTC))
        key = chain[0].public_key()
        algorithm = algorithm_of(key)
        if algorithm is None or header.get("alg") != NAMES[algorithm]:
            raise Untrusted(f"its algorithm, {str(header.get('alg'))[:40]!r}, is not its certificate's")
        signature = _decoded(signed["signature"])
        if not is_signed(f"{signed['protected']}.{signed['payload']}".encode(), signature, key):
            raise Untrusted("the signature is not of this content", remedy="it was altered: get it anew")
        return json.loads(_decoded(signed["payload"]))
    except Untrusted:
        raise
    except Exception as error:  # parsers of JSON and of certificates raise nearly anything on hostile bytes
        raise Untrusted(f"can't be read as signed JSON: {type(error).__name__}") from None


def canonical(content: Any) -> bytes:
    """The same bytes for the same content: sorted keys, no spaces, UTF-8. Raises ValueError, TypeError."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _parts(data: bytes) -> dict[str, str]:
    if len(data) > MAX_BYTES:
        raise Untrusted(f"has {len(data)} bytes, more than {MAX_BYTES}")
    parts = json.loads(data)
    if not isinstance(parts, dict) or set(parts) != {"payload", "protected", "signature"}:
        raise Untrusted("has other members than payload, protected and signature")
    return parts


def _chain(header: Any) -> tuple[Any, ...]:
    """Of the protected header. It may hold nothing else, so that there is no `crit` and no `b64` to obey."""
    from cryptography.x509 import load_der_x509_certificate

    if not isinstance(header, dict) or set(header) != {"alg", "x5c"}:
        raise Untrusted("its header has other members than alg and x5c")
    encoded = header["x5c"]
    if not isinstance(encoded, list) or not 1 <= len(encoded) <= MAX_CHAIN:
        raise Untrusted(f"has no chain of at most {MAX_CHAIN} certificates")
    return tuple(load_der_x509_certificate(base64.b64decode(one, validate=True)) for one in encoded)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    """RFC 7515, appendix C: no padding, and one form only."""
    if not URL_SAFE.fullmatch(text):
        raise binascii.Error("not base64url")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _encoded(data) != text:
        raise binascii.Error("not base64url in its one form")
    return data
