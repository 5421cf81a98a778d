"""What Content Credentials (C2PA 2) in an image say, and whether it is one of ours who says it."""

from __future__ import annotations

import io
import json
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError

from pipeline.marks.boxes import BoxError, check_store, store_of
from pipeline.marks.trust import Trust, trust_of
from pipeline.marks.xmp import mime_of
from pipeline.values import Value

if TYPE_CHECKING:
    import c2pa

ITEM, ACTIONS, CREATED = "com.genloop.item", "c2pa.actions.v2", "c2pa.created"
CREDENTIAL = "signingCredential."  # problems of who signed, not of what is signed
UNTRUSTED = CREDENTIAL + "untrusted"
SIGNED = "claimSignature.validated"
BOUND = {"assertion.dataHash.match", "assertion.boxesHash.match"}
MAX_PROBLEMS = 20
SETTINGS: dict[str, Any] = {
    "version": 1,
    "builder": {"thumbnail": {"enabled": False}},  # a thumbnail is larger than a small image
    "verify": {
        "verify_trust": True,
        "verify_after_sign": False,  # twice the time; `Marker` tries its signer once
        "ocsp_fetch": False,
        "remote_manifest_fetch": False,
    },
    "core": {
        "decode_identity_assertions": False,
        "allowed_network_hosts": [],
        "max_decompressed_manifest_size_in_mb": 8,
    },
}

Text = Annotated[str, Field(max_length=1000)]


class Claim(Value):
    """What is said of an item. made_at: ISO 8601, UTC."""

    batch: Text
    item: Text
    index: int = Field(ge=0)
    model: Text
    version: int = Field(ge=0)
    snapshot: Text
    made_at: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|\+00:00)$")
    title: Text


class Mark(Value):
    """What an image says of itself.

    state: valid (signed, and not altered since, by whoever it was), altered, none, unreadable. trusted: valid, and by
    one of the certificates that were given. claim: only where it is trusted. signer, organisation, serial (hex): of the
    signing certificate, as it says itself. problems: C2PA's codes, and `format.…`, `read.…`, `claim.malformed`.
    """

    state: Literal["valid", "altered", "none", "unreadable"]
    trusted: bool = False
    claim: Claim | None = None
    source_type: str = ""
    signer: str = ""
    organisation: str = ""
    serial: str = ""
    problems: tuple[str, ...] = ()


def read_mark(data: bytes, mime: str | None = None, *, certificates: bytes = b"") -> Mark:
    """What the image says of itself, and whether it is one of those who have the certificates that says so.

    certificates: chains in PEM, one behind the other, such as `Signer.certificates`. mime: what it is said to be.
    Never raises on what is in the data, asks no network, takes time that grows with the data.
    Raises ParamsError where the certificates are none.
    """
    trust, found = trust_of(certificates), mime_of(data)
    if not found or (mime and mime != found):
        return Mark(state="unreadable", problems=("format.other" if found else "format.unknown",))
    report = _report(data, found, trust)
    if isinstance(report, Mark):
        return report
    try:
        return _judged(report, trust)
    except Exception as error:  # whatever a hostile report is made of, it is no mark
        return Mark(state="unreadable", problems=(f"read.{type(error).__name__}",))


def _report(data: bytes, mime: str, trust: Trust) -> dict[str, Any] | Mark:
    import c2pa

    try:
        store = store_of(data, mime)
        if not store:
            return Mark(state="none")
        check_store(store)
        with c2pa.Reader(mime, io.BytesIO(data), store, context=context(os.getpid(), trust.anchors_pem)) as reader:
            report: dict[str, Any] = json.loads(reader.json())
            return report
    except BoxError as error:
        return Mark(state="unreadable", problems=(f"read.{error}",))
    except Exception as error:  # the library raises nearly anything on hostile bytes
        return Mark(state="unreadable", problems=(f"read.{type(error).__name__.removeprefix('_C2pa')}",))


def _judged(report: dict[str, Any], trust: Trust) -> Mark:
    """Of the active manifest, which is the last one: what others said of it before is theirs."""
    manifest = report["manifests"].get(report["active_manifest"], {})  # none where a part of it can't be read
    results = report["validation_results"]["activeManifest"]
    succeeded, failed = ([str(one["code"]) for one in results[kind]] for kind in ("success", "failure"))
    assertions = {one["label"]: one["data"] for one in reversed(manifest.get("assertions", []))}
    info = manifest.get("signature_info", {})
    name = (str(info.get("common_name") or ""), str(info.get("issuer") or ""))
    is_whole = bool(manifest) and SIGNED in succeeded and not BOUND.isdisjoint(succeeded)
    is_valid = is_whole and all(code.startswith(CREDENTIAL) for code in failed)
    trusted = is_valid and report["validation_state"] == "Trusted" and name in trust.names
    problems = list(dict.fromkeys(failed))
    if is_valid and not trusted and UNTRUSTED not in problems:
        problems.append(UNTRUSTED)
    claim = _claim(assertions.get(ITEM)) if trusted else None
    if trusted and ITEM in assertions and claim is None:
        problems.append("claim.malformed")
    return Mark(
        state="valid" if is_valid else "altered",
        trusted=trusted,
        claim=claim,
        source_type=_source_type(assertions.get(ACTIONS, {})),
        signer=name[0][:200],
        organisation=name[1][:200],
        serial=f"{int(info.get('cert_serial_number') or 0):x}"[:64],
        problems=tuple(problem[:100] for problem in problems[:MAX_PROBLEMS]),
    )


def _claim(data: Any) -> Claim | None:
    try:
        return Claim.model_validate(data)
    except ValidationError:
        return None


def _source_type(actions: dict[str, Any]) -> str:
    found = (one.get("digitalSourceType") for one in actions.get("actions", []) if one.get("action") == CREATED)
    return str(next(found, None) or "")[:500]


@lru_cache(maxsize=8)
def context(process: int, anchors_pem: str) -> c2pa.Context:
    """The library's settings are of no use in a forked process."""
    import c2pa

    trust = {"trust": {"trust_anchors": anchors_pem}} if anchors_pem else {}  # an empty one is refused
    return c2pa.Context(c2pa.Settings.from_dict(SETTINGS | trust))
