"""Content Credentials (C2PA 2): each item says, signed, that a model made it, which one, and in which batch.

Two marks of the same item differ: the library salts every assertion at random, and has no setting for it. Hash items
before they are marked where hashes are to be equal.
Without a timestamp of an authority a mark counts only as long as the certificate is in force.
"""

from __future__ import annotations

import io
import os
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from pipeline.errors import GenloopError, ParamsError, ServiceError
from pipeline.marks.reading import ACTIONS, CREATED, ITEM, Claim, Mark, context, read_mark
from pipeline.marks.signer import Signer
from pipeline.marks.xmp import TRAINED, mime_of, with_source_type
from pipeline.media.image import encode_png

if TYPE_CHECKING:
    import c2pa

__all__ = ["Claim", "Mark", "Marker", "read_mark"]

MIMES = ("image/png", "image/jpeg", "image/webp")
ISSUED = "have a certificate issued with key usage digitalSignature and extended key usage emailProtection"


class Marker:
    """Marks items as one signer. May be shared by threads, and survives a fork."""

    def __init__(self, signer: Signer) -> None:
        """Raises ParamsError where C2PA doesn't accept the certificates, such as for what they are issued for."""
        self._signer = signer
        self._version = _own_version()
        told = Claim(
            batch="", item="", index=0, model="", version=0, snapshot="", made_at="2026-01-01T00:00:00Z", title=""
        )
        tried = read_mark(self.mark(_pixel(), "image/png", told), certificates=signer.certificates)
        if not tried.trusted:
            raise ParamsError(
                f"C2PA does not accept the certificates: {', '.join(tried.problems)}",
                where="signer",
                remedy=ISSUED,
            )

    def mark(self, data: bytes, mime: str, claim: Claim) -> bytes:
        """The image with IPTC's field and signed credentials in it; the pixels as they are, stored as they are.

        mime: image/png, image/jpeg or image/webp. An older mark is replaced.
        Raises GenloopError where it is no such image or damaged, ServiceError where the signer's callback fails.
        """
        if mime not in MIMES or mime_of(data) != mime:
            raise GenloopError(
                f"not {mime!r}, or nothing that can be marked", where=claim.item, remedy="encode it anew"
            )
        return self._signed(with_source_type(data), mime, claim)

    def _signed(self, data: bytes, mime: str, claim: Claim) -> bytes:
        import c2pa

        failures: list[Exception] = []
        out = io.BytesIO()
        try:
            with (
                _native_signer(self._signer, failures) as signer,
                c2pa.Builder(self._manifest(mime, claim), context(os.getpid(), "")) as builder,
            ):
                builder.sign(signer, mime, io.BytesIO(data), out)
        except c2pa.C2paError as error:
            if failures:
                raise ServiceError(
                    f"signing failed: {type(failures[0]).__name__}",
                    where="signer",
                    remedy="try again, or mend the callback",
                ) from None
            if isinstance(error, c2pa.C2paError.Signature):
                raise ParamsError(_line(error), where="signer", remedy=ISSUED) from None
            raise GenloopError(f"can't be marked: {_line(error)}", where=claim.item, remedy="encode it anew") from None
        return out.getvalue()

    def _manifest(self, mime: str, claim: Claim) -> dict[str, Any]:
        agent = {"name": "genloop", "version": self._version}
        action = {"action": CREATED, "when": claim.made_at, "softwareAgent": agent, "digitalSourceType": TRAINED}
        return {
            "claim_generator_info": [agent],
            "title": claim.title,
            "format": mime,
            "assertions": [
                {"label": ACTIONS, "data": {"actions": [action]}, "created": True},
                {"label": ITEM, "data": claim.model_dump(), "created": True},
            ],
        }


def _native_signer(signer: Signer, failures: list[Exception]) -> c2pa.Signer:
    """failures: gets what a callback raises, which the library keeps to itself."""
    import c2pa

    key = signer.key.get_secret_value()
    if key:
        return c2pa.Signer.from_info(c2pa.C2paSignerInfo(signer.algorithm, signer.certificates, key.encode(), None))

    def sign(data: bytes) -> bytes:
        try:
            return signer.sign(data)
        except Exception as error:
            failures.append(error)
            return b""

    return c2pa.Signer.from_callback(sign, c2pa.C2paSigningAlg[signer.algorithm.upper()], signer.certificates.decode())


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _pixel() -> bytes:
    import numpy as np

    return encode_png(np.zeros((1, 1, 1), np.uint8))


def _own_version() -> str:
    try:
        return version("genloop")
    except PackageNotFoundError:
        return "0"
