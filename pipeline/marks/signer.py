"""Who signs: a key of the environment, one in a file, a KMS behind a callback, or a test certificate of our own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import get_args

from pydantic import SecretStr

from pipeline.errors import ParamsError
from pipeline.marks.hooks import load_function
from pipeline.marks.keys import Algorithm, algorithm_of, is_signed, load_chain, load_key, pem_of, pkcs8, signing
from pipeline.marks.self_made import self_made
from pipeline.marks.trust import has_issued, is_ca
from pipeline.values import Value

TRIAL = b"genloop: whether the key is the certificate's"


class SignerSettings(Value):
    """One of key, key_file and callback, or none: then a test certificate is made.

    key: PEM, from the environment; line ends may stand as \\n in it. certificates: a PEM file, leaf first, its CA
    behind it. callback: `module:function` that returns a `Signer`.
    """

    key: SecretStr = SecretStr("")
    key_file: Path | None = None
    certificates: Path | None = None
    callback: str = ""


@dataclass(frozen=True)
class Signer:
    """certificates: PEM, leaf first, at least it and its CA. sign: data -> signature in the raw form of COSE and JOSE
    (ECDSA: r and s behind each other; RSA: PSS).

    key: PEM, where it is here and not in a KMS: then C2PA keeps 1.8 kB free for the signature instead of 11 kB.
    Not to be pickled: a process makes its own.
    """

    algorithm: Algorithm
    certificates: bytes = field(repr=False)
    sign: Callable[[bytes], bytes] = field(repr=False)
    is_test: bool = False
    key: SecretStr = field(default=SecretStr(""), repr=False)


def make_signer(settings: SignerSettings, folder: Path) -> Signer:
    """folder: where the test certificate is kept. Raises ParamsError, which never says what a key is made of."""
    given = [name for name in ("key", "key_file", "callback") if _is_set(settings, name)]
    if len(given) > 1:
        raise ParamsError(f"{' and '.join(given)} are both set", where="signer", remedy="set one of them")
    if settings.callback:
        return _called(settings)
    if given:
        return _with_key(settings)
    if settings.certificates:
        raise ParamsError(
            "there are certificates but no key", where="signer", remedy="set key, key_file or callback, or neither"
        )
    pem = self_made(folder, datetime.now(UTC))
    return _checked(_signer(pem, pem, str(folder), is_test=True), str(folder))


def _with_key(settings: SignerSettings) -> Signer:
    if settings.certificates is None:
        raise ParamsError("there is a key but no certificates", where="signer", remedy="set certificates, a PEM file")
    where = str(settings.key_file or "signer.key")
    told = settings.key.get_secret_value().replace("\\n", "\n").encode()
    pem = told if settings.key_file is None else _read(settings.key_file)
    return _checked(_signer(pem, _read(settings.certificates), where, str(settings.certificates)), where)


def _signer(key_pem: bytes, chain_pem: bytes, where: str, chain_where: str = "", is_test: bool = False) -> Signer:
    key, chain = load_key(key_pem, where), load_chain(chain_pem, chain_where or where)
    algorithm = algorithm_of(key.public_key())
    assert algorithm is not None  # load_key saw to it
    return Signer(algorithm, pem_of(chain), signing(key), is_test, SecretStr(pkcs8(key).decode()))


def _called(settings: SignerSettings) -> Signer:
    where = f"signer.callback {settings.callback}"
    if settings.certificates:
        raise ParamsError("a callback brings its own certificates", where=where, remedy="leave certificates out")
    function = load_function(settings.callback, where)
    try:
        signer = function()
    except Exception as error:  # its words may hold a secret
        raise ParamsError(f"raised {type(error).__name__}", where=where, remedy="call it by hand to see why") from None
    if not isinstance(signer, Signer):
        raise ParamsError(
            f"returned a {type(signer).__name__}", where=where, remedy="return a pipeline.marks.signer.Signer"
        )
    if not isinstance(signer.certificates, bytes):
        raise ParamsError("its certificates are not bytes", where=where, remedy="give them in PEM, as bytes")
    return _checked(signer, where)


def _checked(signer: Signer, where: str) -> Signer:
    """As it is, if it can sign what its certificates stand for."""
    if signer.algorithm not in get_args(Algorithm):
        raise ParamsError(
            f"the algorithm is {signer.algorithm!r}", where=where, remedy=f"use {', '.join(get_args(Algorithm))}"
        )
    chain = load_chain(signer.certificates, where)
    if len(chain) < 2 or is_ca(chain[0]):
        raise ParamsError("the certificates are not a leaf and its CA", where=where, remedy="put the CA's behind it")
    for below, (one, issuer) in enumerate(pairwise(chain)):
        if not has_issued(issuer, one, below):
            raise ParamsError(
                f"certificate {below + 1} was not issued by the next one", where=where, remedy="order them, leaf first"
            )
    now = datetime.now(UTC)
    for one in chain:
        if not one.not_valid_before_utc <= now <= one.not_valid_after_utc:
            raise ParamsError(
                f"a certificate is in force from {one.not_valid_before_utc:%Y-%m-%d} "
                f"to {one.not_valid_after_utc:%Y-%m-%d} only",
                where=where,
                remedy="have a new one issued",
            )
    _check_trial(signer, chain[0].public_key(), where)
    return signer


def _check_trial(signer: Signer, key: object, where: str) -> None:
    try:
        signature = signer.sign(TRIAL)
    except Exception as error:  # its words may hold a secret
        raise ParamsError(
            f"signing raised {type(error).__name__}", where=where, remedy="call it by hand to see why"
        ) from None
    is_its_own = algorithm_of(key) == signer.algorithm and isinstance(signature, bytes)
    if not is_its_own or not is_signed(TRIAL, signature, key):  # type: ignore[arg-type]
        raise ParamsError(
            "the first certificate is not this key's, or the signature is not in raw form",
            where=where,
            remedy="give the certificate that was issued for the key; ECDSA signs as r and s, not as DER",
        )


def _is_set(settings: SignerSettings, name: str) -> bool:
    value = getattr(settings, name)
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ParamsError(
            f"can't be read: {error.strerror}", where=str(path), remedy="mend the path or its rights"
        ) from None
