"""Four ways to a key, and each mistake in one line that never shows what a key is made of."""

from __future__ import annotations

import multiprocessing
import re
import stat
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from pydantic import SecretStr

from pipeline.errors import DiskError, ParamsError
from pipeline.marks.keys import is_signed, load_chain, pkcs8
from pipeline.marks.self_made import self_made
from pipeline.marks.signer import Signer, SignerSettings, make_signer
from pipeline.marks.watermark import load_watermark
from tests.unit.certificates import KEYS, Identity, issued, name, signer_of, write
from tests.unit.test_marks import CLAIM

ROOT = issued(name("root", "Acme"), ca=True)
LEAF = issued(name("desk", "Acme"), ROOT)


def settings(folder: Path, leaf: Identity = LEAF, *chain: Identity) -> SignerSettings:
    key, certificates = write(folder, leaf, *(chain or (ROOT,)))
    return SignerSettings(key_file=key, certificates=certificates)


def works(signer: Signer) -> bool:
    return is_signed(b"x", signer.sign(b"x"), load_chain(signer.certificates, "")[0].public_key())  # type: ignore[arg-type]


def refused(settings: SignerSettings, folder: Path, match: str) -> None:
    with pytest.raises(ParamsError, match=match) as caught:
        make_signer(settings, folder)
    told = str(caught.value)
    assert "\n" not in told and caught.value.remedy
    body = "".join(LEAF.key_pem.decode().splitlines()[1:-1])
    assert not any(piece in told for piece in (body[:20], body[-20:]))


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_in_a_file(kind: str, tmp_path: Path) -> None:
    leaf = issued(name("desk", "Acme"), ROOT, kind=kind)
    signer = make_signer(settings(tmp_path, leaf), tmp_path)
    assert (signer.algorithm, signer.is_test) == (kind, False)
    assert works(signer) and not works(Signer(signer.algorithm, signer.certificates, lambda _: b"x" * 64))


@pytest.mark.parametrize("ends", ["\n", "\\n"])
def test_a_key_in_the_environment(ends: str, tmp_path: Path) -> None:
    _, certificates = write(tmp_path, LEAF, ROOT)
    told = SecretStr(LEAF.key_pem.decode().replace("\n", ends))
    signer = make_signer(SignerSettings(key=told, certificates=certificates), tmp_path / "none")
    assert works(signer) and not (tmp_path / "none").exists()
    body = LEAF.key_pem.decode().splitlines()[1][:20]
    assert body not in repr(signer) + repr(SignerSettings(key=told)) + str(signer)


def test_an_older_form_of_a_key(tmp_path: Path) -> None:
    leaf = issued(name("desk", "Acme"), ROOT, kind="es256")
    given = settings(tmp_path, leaf)
    assert given.key_file
    old = PrivateFormat.TraditionalOpenSSL
    from cryptography.hazmat.primitives.serialization import NoEncryption

    given.key_file.write_bytes(leaf.key.private_bytes(Encoding.PEM, old, NoEncryption()))
    assert works(make_signer(given, tmp_path))


def test_a_callback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "company_kms.py").write_text(
        "from tests.unit.test_signer import LEAF, ROOT, signer_of\n"
        "def signer(): return signer_of(LEAF, ROOT, kms=True)\n"
        "def der():\n"
        "    from tests.unit.test_signer import der\n"
        "    return der()\n"
        "def other(): return 'signer'\n"
        "def broken(): raise OSError('token s3cr3t')\n"
        "value = 1\n"
    )
    (tmp_path / "company_broken.py").write_text("raise RuntimeError('token s3cr3t')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    signer = make_signer(SignerSettings(callback="company_kms:signer"), tmp_path)
    assert works(signer) and not signer.is_test and not signer.key.get_secret_value()
    for callback, match in (
        ("company_kms:other", "returned a str"),
        ("company_kms:broken", "raised OSError"),
        ("company_kms:der", "raw form"),
        ("company_kms:value", "no function value"),
        ("company_kms:absent", "no function absent"),
        ("company_absent:signer", "can't be imported: ModuleNotFoundError"),
        ("company_broken:signer", "can't be imported: RuntimeError"),
        ("signer", "not module:function"),
        ("os; x:y", "not module:function"),
    ):
        with pytest.raises(ParamsError, match=match) as caught:
            make_signer(SignerSettings(callback=callback), tmp_path)
        assert "s3cr3t" not in str(caught.value)
    sys.modules.pop("company_kms")


def der() -> Signer:
    """Signs as ECDSA does elsewhere."""
    leaf = issued(name("desk", "Acme"), ROOT, kind="es256")
    made = signer_of(leaf, ROOT)
    return Signer("es256", made.certificates, lambda data: leaf.key.sign(data, ec.ECDSA(hashes.SHA256())))


def test_mistakes_are_told_in_one_line(tmp_path: Path) -> None:
    given = settings(tmp_path)
    key, certificates = given.key_file, given.certificates
    assert key and certificates
    refused(SignerSettings(key_file=key), tmp_path, "a key but no certificates")
    refused(SignerSettings(certificates=certificates), tmp_path, "certificates but no key")
    refused(SignerSettings(key_file=tmp_path / "no", certificates=certificates), tmp_path, "No such file")
    refused(SignerSettings(key_file=key, certificates=tmp_path / "no"), tmp_path, "No such file")
    refused(SignerSettings(key_file=key, key=SecretStr("x"), certificates=certificates), tmp_path, "both set")
    refused(SignerSettings(key_file=key, callback="a:b"), tmp_path, "both set")
    refused(SignerSettings(callback="a:b", certificates=certificates), tmp_path, "its own certificates")
    refused(SignerSettings(key_file=certificates, certificates=certificates), tmp_path, "no private key")
    refused(SignerSettings(key_file=key, certificates=key), tmp_path, "holds no certificate")
    other = LEAF.key_pem.replace(b"\n", b"")[27:-25]
    refused(SignerSettings(key=SecretStr(other.decode()), certificates=certificates), tmp_path, "is no PEM")
    refused(settings(tmp_path, Identity(KEYS["ed25519"](), LEAF.certificate)), tmp_path, "is not this key's")
    refused(settings(tmp_path, issued(name("a", "b"), ROOT, days=(-9, -1))), tmp_path, "in force from .* only")
    refused(settings(tmp_path, issued(name("a", "b"), ROOT, days=(1, 9))), tmp_path, "in force from .* only")
    refused(settings(tmp_path, LEAF, issued(name("root", "Acme"), ca=True)), tmp_path, "not issued by the next")
    refused(settings(tmp_path, ROOT, ROOT), tmp_path, "not a leaf and its CA")
    encrypted = LEAF.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass"))
    key.write_bytes(encrypted)
    refused(SignerSettings(key_file=key, certificates=certificates), tmp_path, "is encrypted")
    key.write_bytes(pkcs8(ec.generate_private_key(ec.SECP521R1())))
    refused(SignerSettings(key_file=key, certificates=certificates), tmp_path, "another kind")
    key.write_bytes(LEAF.key_pem)
    certificates.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    refused(SignerSettings(key_file=key, certificates=certificates), tmp_path, "can't be read")


def test_a_test_certificate_is_made_once(tmp_path: Path) -> None:
    first, second = (make_signer(SignerSettings(), tmp_path) for _ in range(2))
    assert first.certificates == second.certificates and first.is_test and works(second)
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    leaf, ca = load_chain(first.certificates, "")
    assert all("genloop test" in one.subject.rfc4514_string() for one in (leaf, ca))
    assert file.read_bytes().count(b"PRIVATE KEY-----") == 2  # one key: the CA's is gone


def test_a_test_certificate_is_renewed_before_its_end(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    first = self_made(tmp_path, now)
    end = load_chain(first, "")[0].not_valid_after_utc
    assert self_made(tmp_path, end - timedelta(days=31)) == first
    late = end - timedelta(days=29)
    renewed = self_made(tmp_path, late)
    assert renewed != first and self_made(tmp_path, late) == renewed
    assert len(list(tmp_path.iterdir())) == 2


def test_several_processes_make_one(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(self_made, [tmp_path] * 16, [datetime.now(UTC)] * 16))
    assert len(set(found)) == 1 and len(list(tmp_path.iterdir())) == 1


def test_a_damaged_test_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "test-signer-1.pem").write_bytes(b"half")
    with pytest.raises(ParamsError, match=re.escape("test-signer-1.pem")):
        make_signer(SignerSettings(), tmp_path)
    with pytest.raises(DiskError, match="writable"):
        make_signer(SignerSettings(), tmp_path / "test-signer-1.pem" / "below")


def test_a_watermark_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "company_watermark.py").write_text(
        "import numpy as np\n"
        "def lowest_bit(image, claim):\n"
        "    image[:] = image & 0xFE | claim.index % 2\n"
        "    return image\n"
        "def floats(image, claim): return image / 255\n"
        "def smaller(image, claim): return image[:, 1:]\n"
        "def nothing(image, claim): pass\n"
        "def broken(image, claim): raise KeyError('weights')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    image = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    before = image.copy()
    marked = load_watermark("company_watermark:lowest_bit")(image, CLAIM)
    assert (marked & 1 == 1).all() and (marked >> 1 == image >> 1).all() and (image == before).all()
    for wrong, match in (
        ("floats", "float64"), ("smaller", "shape"), ("nothing", "NoneType"), ("broken", "KeyError: 'weights'")
    ):  # fmt: skip
        with pytest.raises(ParamsError, match=match):
            load_watermark(f"company_watermark:{wrong}")(image, CLAIM)
    with pytest.raises(ParamsError, match="no function absent"):
        load_watermark("company_watermark:absent")
    sys.modules.pop("company_watermark")
