"""Signed JSON: an independent library agrees with it, and nothing that is not as it was signed passes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from pipeline.marks.jws import canonical, sign_json, verify_json
from pipeline.marks.signer import Signer
from pipeline.marks.trust import Untrusted
from tests.unit.certificates import KEYS, company, issued, name, signer_of

CONTENT = {"batch": "b-1", "items": [1, 2.5, None, True], "title": "☃ \u0000"}
OURS = company()
SIGNED = sign_json(CONTENT, OURS)


def parts(data: bytes) -> dict[str, str]:
    found: dict[str, str] = json.loads(data)
    return found


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def resigned(change: Callable[[dict[str, Any]], Any], signer: Signer = OURS) -> bytes:
    """With another header, signed as it then is."""
    found = parts(SIGNED)
    header = decoded(found["protected"])
    change(header)
    found["protected"] = encoded(canonical(header))
    found["signature"] = encoded(signer.sign(f"{found['protected']}.{found['payload']}".encode()))
    return json.dumps(found).encode()


@pytest.mark.parametrize("kind", KEYS)
def test_what_was_signed_comes_back(kind: str) -> None:
    signer = company(kind, kms=True)
    assert verify_json(sign_json(CONTENT, signer), signer.certificates) == CONTENT


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize("kind", KEYS)
def test_another_library_verifies_it(kind: str) -> None:
    from joserfc import jws
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    signer = company(kind)
    data = parts(sign_json(CONTENT, signer))
    header = decoded(data["protected"])
    leaf = x509.load_der_x509_certificate(base64.b64decode(header["x5c"][0]))
    from cryptography.hazmat.primitives.serialization import PublicFormat

    pem = leaf.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    key = {"ed25519": OKPKey, "ps256": RSAKey}.get(kind, ECKey).import_key(pem)  # type: ignore[attr-defined]
    registry = jws.JWSRegistry(algorithms=[header["alg"]])
    registry.max_header_length = 2**16  # a chain is longer than what it takes by itself
    found = jws.deserialize_json(data, key, registry=registry)  # type: ignore[arg-type]
    assert found.payload == canonical(CONTENT)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_any_json_comes_back(content: Any) -> None:
    try:
        data = sign_json(content, OURS)
    except UnicodeEncodeError:  # half a surrogate pair
        return
    assert verify_json(data, OURS.certificates) == content


def test_the_same_content_is_the_same_bytes() -> None:
    assert sign_json({"b": 1, "a": [{"d": 1, "c": 2}]}, OURS) == sign_json({"a": [{"c": 2, "d": 1}], "b": 1}, OURS)
    with pytest.raises(ValueError, match="JSON"):
        sign_json(float("nan"), OURS)


@pytest.mark.parametrize("member", ["payload", "protected", "signature"])
def test_no_character_can_be_altered(member: str) -> None:
    found = parts(SIGNED)
    text = found[member]
    for at in range(0, len(text), max(1, len(text) // 60)):
        for other in ("A", "B", "-", "=", "\n", "+"):
            if other != text[at]:
                altered = text[:at] + other + text[at + 1 :]
                with pytest.raises(Untrusted):
                    verify_json(json.dumps(found | {member: altered}).encode(), OURS.certificates)


@pytest.mark.parametrize(
    ("change", "match"),
    [(lambda h: h.update(alg="none"), "algorithm"), (lambda h: h.update(alg="HS256"), "algorithm"),
     (lambda h: h.update(alg="ES256"), "algorithm"), (lambda h: h.update(alg=["EdDSA"]), "algorithm"),
     (lambda h: h.update(crit=["b64"], b64=False), "other members"), (lambda h: h.pop("x5c"), "other members"),
     (lambda h: h.update(x5c=[]), "chain"), (lambda h: h.update(x5c="x"), "chain"),
     (lambda h: h.update(x5c=h["x5c"] * 5), "chain"), (lambda h: h.update(x5c=["AAAA"]), "can't be read"),
     (lambda h: h.update(x5c=[7]), "can't be read"), (lambda h: h.update(x5c=h["x5c"][1:]), "sign documents")],
)  # fmt: skip
def test_a_header_says_what_it_must_and_no_more(change: Callable[[dict[str, Any]], Any], match: str) -> None:
    with pytest.raises(Untrusted, match=match):
        verify_json(resigned(change), OURS.certificates)


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000, b'{"payload":1,"protected":2,"signature":3}',
     b'{"payload":"","protected":"","signature":""}', SIGNED[:-9], SIGNED.replace(b'"payload"', b'"Payload"'),
     SIGNED.replace(b"{", b'{"header":{},', 1)],
    ids=range(12),
)  # fmt: skip
def test_hostile_bytes_are_untrusted(data: bytes) -> None:
    with pytest.raises(Untrusted):
        verify_json(data, OURS.certificates)


def test_who_signed_is_looked_at() -> None:
    stranger = company()  # of the same names
    with pytest.raises(Untrusted, match="not issued by a trusted"):
        verify_json(sign_json(CONTENT, stranger), OURS.certificates)
    with pytest.raises(Untrusted, match="not among the trusted"):
        verify_json(SIGNED, company(name_="Another desk").certificates)
    with pytest.raises(Untrusted, match="not among the trusted"):
        verify_json(SIGNED, b"")
    assert verify_json(SIGNED, stranger.certificates + OURS.certificates) == CONTENT


def test_a_chain_leads_to_an_anchor_by_cas_alone() -> None:
    root = issued(name("root", "Acme"), ca=True)
    middle = issued(name("middle", "Acme"), root, ca=True)
    desk = issued(name("desk", "Acme"), middle)
    trusted = signer_of(issued(name("desk", "Acme"), root), root).certificates
    assert verify_json(sign_json(CONTENT, signer_of(desk, middle)), trusted) == CONTENT
    with pytest.raises(Untrusted, match="not issued"):
        verify_json(sign_json(CONTENT, signer_of(desk, root)), trusted)  # the one between is not shown
    below = issued(name("desk", "Acme"), issued(name("leaf", "Acme"), root))  # a leaf is no CA
    leaf = issued(name("leaf", "Acme"), root)
    with pytest.raises(Untrusted, match="not issued"):
        verify_json(sign_json(CONTENT, signer_of(below, leaf, root)), trusted)
    made_by_leaf = issued(name("desk", "Acme"), leaf)
    with pytest.raises(Untrusted, match="not issued"):
        verify_json(sign_json(CONTENT, signer_of(made_by_leaf, leaf, root)), trusted)


def test_certificates_are_to_be_in_force() -> None:
    late, early = datetime.now(UTC) + timedelta(days=366), datetime.now(UTC) - timedelta(days=2)
    for at in (late, early):
        with pytest.raises(Untrusted, match="in force from"):
            verify_json(SIGNED, OURS.certificates, at)
    expired = company(days=(-9, -1))
    with pytest.raises(Untrusted, match="in force from"):
        verify_json(sign_json(CONTENT, expired), expired.certificates)
    assert verify_json(sign_json(CONTENT, expired), expired.certificates, early) == CONTENT


def test_weak_hashes_are_not_trusted() -> None:
    root = issued(name("root", "Acme"), kind="ps256", ca=True)
    strong, weak = (
        signer_of(issued(name("desk", "Acme"), root, digest=digest), root)
        for digest in (hashes.SHA256(), hashes.SHA224())
    )
    assert verify_json(sign_json(CONTENT, strong), strong.certificates) == CONTENT
    with pytest.raises(Untrusted, match="not issued"):
        verify_json(sign_json(CONTENT, weak), strong.certificates)
