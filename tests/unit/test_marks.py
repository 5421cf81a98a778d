"""What a model made says so, signed; whoever else says it, or alters it, is found out."""

from __future__ import annotations

import io
import json
import os
import random
import resource
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from PIL import Image

from pipeline.errors import GenloopError, ParamsError, ServiceError
from pipeline.marks.boxes import BoxError, check_store, store_of
from pipeline.marks.credentials import Claim, Mark, Marker, read_mark
from pipeline.marks.reading import ITEM, UNTRUSTED
from pipeline.marks.self_made import certificates_made
from pipeline.marks.signer import Signer, SignerSettings, make_signer
from pipeline.marks.xmp import TRAINED, read_source_type
from tests.unit.certificates import company, issued, name, signer_of

MIMES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
CLAIM = Claim(
    batch="b-1",
    item="0123abcd-7",
    index=7,
    model="generator",
    version=3,
    snapshot="5e3f",
    made_at="2026-11-25T04:00:00Z",
    title='seven "☃" \0 </x>',
)


def encoded(format: str = "PNG", side: int = 28, mode: str = "L", **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 4), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, format, **options)
    return out.getvalue()


def pixels_of(data: bytes) -> tuple[str, tuple[int, int], bytes]:
    image = Image.open(io.BytesIO(data))
    return image.mode, image.size, image.tobytes()


def sign_by_hand(data: bytes, signer: Signer, assertions: list[dict[str, Any]], parent: bytes = b"") -> bytes:
    """As a stranger would, with the library alone."""
    settings = {"version": 1, "builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_after_sign": False}}
    native = c2pa.Signer.from_callback(signer.sign, c2pa.C2paSigningAlg.ED25519, signer.certificates.decode())
    first = {"action": "c2pa.created", "digitalSourceType": TRAINED}
    action = {"label": "c2pa.actions.v2", "data": {"actions": [first]}}
    manifest = {"claim_generator_info": [{"name": "x"}], "assertions": [*([] if parent else [action]), *assertions]}
    out = io.BytesIO()
    with c2pa.Builder(manifest, c2pa.Context(c2pa.Settings.from_dict(settings))) as builder:
        if parent:
            builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
            builder.add_ingredient({"title": "p", "relationship": "parentOf"}, "image/png", io.BytesIO(parent))
        builder.sign(native, "image/png", io.BytesIO(data), out)
    return out.getvalue()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return make_signer(SignerSettings(), tmp_path_factory.mktemp("marks"))


@pytest.fixture(scope="module")
def marker(ours: Signer) -> Marker:
    return Marker(ours)


@pytest.mark.parametrize("side", [1, 28, 512])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("format", MIMES)
def test_each_format_is_marked_and_its_pixels_stay(
    format: str, mode: str, side: int, marker: Marker, ours: Signer
) -> None:
    if (format, mode) == ("JPEG", "RGBA"):
        pytest.skip("JPEG has no alpha")
    data = encoded(format, side, mode)
    marked = marker.mark(data, MIMES[format], CLAIM)
    assert pixels_of(marked) == pixels_of(data)
    mark = read_mark(marked, MIMES[format], certificates=ours.certificates)
    assert (mark.state, mark.trusted, mark.claim, mark.problems) == ("valid", True, CLAIM, ())
    assert (mark.source_type, read_source_type(marked)) == (TRAINED, TRAINED)
    assert mark.signer == "genloop test certificate"
    with c2pa.Reader(MIMES[format], io.BytesIO(marked)) as reader:
        assert reader.get_validation_state() == "Valid"
        (manifest,) = json.loads(reader.detailed_json())["manifests"].values()
    assert "gathered_assertions" not in manifest["claim"]  # all are what we say ourselves
    action = manifest["assertion_store"]["c2pa.actions.v2"]["actions"][0]
    assert (action["action"], action["digitalSourceType"], action["when"]) == ("c2pa.created", TRAINED, CLAIM.made_at)


@pytest.mark.parametrize("kms", [False, True], ids=["key", "callback"])
@pytest.mark.parametrize("kind", ["ed25519", "es256", "es384", "ps256"])
def test_each_algorithm_marks(kind: str, kms: bool) -> None:
    signer = company(kind, kms=kms)
    marked = Marker(signer).mark(encoded(), "image/png", CLAIM)
    assert read_mark(marked, certificates=signer.certificates).claim == CLAIM
    assert len(marked) - len(encoded()) < (16_000 if kms else 7_000)


def test_an_intermediate_is_enough() -> None:
    root = issued(name("root", "Acme"), ca=True)
    middle = issued(name("middle", "Acme"), root, ca=True)
    signer = signer_of(issued(name("desk", "Acme"), middle), middle)
    marked = Marker(signer).mark(encoded(), "image/png", CLAIM)
    assert read_mark(marked, certificates=signer.certificates).trusted


@pytest.mark.parametrize("what", ["pixel", "xmp", "claim", "end"])
@pytest.mark.parametrize("format", MIMES)
def test_what_was_altered_is_found(format: str, what: str, marker: Marker, ours: Signer) -> None:
    marked = marker.mark(encoded(format, 64, "RGB"), MIMES[format], CLAIM)
    scan = {"PNG": b"IDAT", "JPEG": b"\xff\xda", "WEBP": b"VP8 "}[format]
    old, at = {"xmp": b"trainedAlgorithmicMedia", "claim": CLAIM.item.encode()}.get(what, scan), 0
    at = marked.index(old) + (40 if what == "pixel" else 3)
    if what == "xmp":
        at = marked.index(old, marked.index(b"x:xmpmeta")) + 3
    altered = marked + b"\0" if what == "end" else marked[:at] + bytes([marked[at] ^ 1]) + marked[at + 1 :]
    mark = read_mark(altered, certificates=ours.certificates)
    assert (mark.state, mark.trusted, mark.claim) == ("altered", False, None)
    assert any(problem.startswith("assertion.") for problem in mark.problems)


def test_a_strangers_certificate_is_not_ours(marker: Marker, ours: Signer, tmp_path: Path) -> None:
    """With a certificate of the same name, he says what we would."""
    stranger = make_signer(SignerSettings(), tmp_path)
    forged = Marker(stranger).mark(encoded(), "image/png", CLAIM)
    mark = read_mark(forged, certificates=ours.certificates)
    assert mark == read_mark(forged)
    assert (mark.state, mark.trusted, mark.claim, mark.problems) == ("valid", False, None, (UNTRUSTED,))
    assert mark.signer == read_mark(marker.mark(encoded(), "image/png", CLAIM)).signer


def test_a_stranger_who_shows_our_ca_is_not_ours(ours: Signer, tmp_path: Path) -> None:
    stranger = make_signer(SignerSettings(), tmp_path)
    leaf = stranger.certificates.split(b"-----END CERTIFICATE-----\n")[0] + b"-----END CERTIFICATE-----\n"
    our_ca = ours.certificates.split(b"-----END CERTIFICATE-----\n")[1] + b"-----END CERTIFICATE-----\n"
    shown = Signer("ed25519", leaf + our_ca, stranger.sign)
    forged = sign_by_hand(encoded(), shown, [{"label": ITEM, "data": CLAIM.model_dump()}])
    mark = read_mark(forged, certificates=ours.certificates)
    assert (mark.trusted, mark.claim) == (False, None)


def test_another_customer_of_our_ca_is_not_ours() -> None:
    ca = issued(name("Public CA", "CA Ltd"), ca=True)
    ours, other = (signer_of(issued(name("Content desk", company), ca), ca) for company in ("Acme", "Other"))
    renewed = signer_of(issued(name("Content desk", "Acme"), ca), ca)
    data = encoded()
    assert read_mark(Marker(renewed).mark(data, "image/png", CLAIM), certificates=ours.certificates).claim == CLAIM
    mark = read_mark(Marker(other).mark(data, "image/png", CLAIM), certificates=ours.certificates)
    assert (mark.state, mark.trusted, mark.claim, mark.problems) == ("valid", False, None, (UNTRUSTED,))
    both = ours.certificates + other.certificates
    assert read_mark(Marker(other).mark(data, "image/png", CLAIM), certificates=both).trusted


def test_our_credentials_on_another_picture_are_altered(marker: Marker, ours: Signer) -> None:
    marked, other = marker.mark(encoded(), "image/png", CLAIM), encoded(side=27)
    store = store_of(marked, "image/png")
    block = b"caBX" + store
    moved = other[:33] + struct.pack(">I", len(store)) + block + struct.pack(">I", zlib.crc32(block)) + other[33:]
    assert read_mark(moved, certificates=ours.certificates).state == "altered"


def test_what_a_stranger_made_of_ours_is_his(marker: Marker, ours: Signer, tmp_path: Path) -> None:
    marked = marker.mark(encoded(), "image/png", CLAIM)
    edited = sign_by_hand(encoded(side=27), make_signer(SignerSettings(), tmp_path), [], parent=marked)
    assert CLAIM.item.encode() in edited  # ours is still in it
    mark = read_mark(edited, certificates=ours.certificates)
    assert (mark.state, mark.trusted, mark.claim) == ("valid", False, None)


def test_a_trusted_claim_of_another_form_is_none() -> None:
    ours = company()
    marked = sign_by_hand(encoded(), ours, [{"label": ITEM, "data": {"batch": ["x"], "more": {}}}])
    mark = read_mark(marked, certificates=ours.certificates)
    assert (mark.trusted, mark.claim, mark.problems) == (True, None, ("claim.malformed",))


def test_an_expired_certificate_leaves_the_mark_whole_but_untrusted() -> None:
    ours = company(days=(-1, 3 / 86400))
    marked = Marker(ours).mark(encoded(), "image/png", CLAIM)
    time.sleep(4)
    mark = read_mark(marked, certificates=ours.certificates)
    assert (mark.state, mark.trusted, mark.claim) == ("valid", False, None)
    assert "signingCredential.expired" in mark.problems


def test_a_certificate_for_something_else_is_refused() -> None:
    from cryptography.x509.oid import ExtendedKeyUsageOID

    with pytest.raises(ParamsError, match="emailProtection"):
        Marker(company(use=ExtendedKeyUsageOID.SERVER_AUTH))


def test_a_second_mark_replaces_the_first(marker: Marker, ours: Signer) -> None:
    once = marker.mark(encoded(), "image/png", CLAIM)
    again = marker.mark(once, "image/png", CLAIM.model_copy(update={"index": 8}))
    assert abs(len(again) - len(once)) < 50
    claim = read_mark(again, certificates=ours.certificates).claim
    assert claim and claim.index == 8


@pytest.mark.parametrize(
    ("data", "mime"),
    [(b"", "image/png"), (b"GIF89a", "image/gif"), (encoded("JPEG"), "image/png"), (encoded()[:40], "image/png"),
     (encoded("WEBP")[:40], "image/webp"), (encoded("JPEG")[:30], "image/jpeg")],
)  # fmt: skip
def test_what_is_no_image_is_not_marked(data: bytes, mime: str, marker: Marker) -> None:
    with pytest.raises(GenloopError):
        marker.mark(data, mime, CLAIM)


def test_a_kms_that_fails_says_so_without_its_words(marker: Marker) -> None:
    signer = company(kms=True)
    calls: list[bytes] = []

    def sign(data: bytes) -> bytes:
        calls.append(data)
        if len(calls) > 1:
            raise ConnectionError("token s3cr3t")
        return signer.sign(data)

    failing = Marker(Signer(signer.algorithm, signer.certificates, sign))
    with pytest.raises(ServiceError, match="ConnectionError") as caught:
        failing.mark(encoded(), "image/png", CLAIM)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_threads_and_a_fork_mark_with_the_same_marker(marker: Marker, ours: Signer) -> None:
    wrong: list[Mark] = []

    def work(index: int) -> None:
        for _ in range(20):
            claim = CLAIM.model_copy(update={"index": index})
            mark = read_mark(marker.mark(encoded(), "image/png", claim), certificates=ours.certificates)
            if mark.claim != claim:
                wrong.append(mark)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    child = os.fork()
    if not child:
        work(9)
        os._exit(len(wrong))
    assert os.waitpid(child, 0)[1] == 0


def test_without_a_mark_there_is_none() -> None:
    for format, mime in MIMES.items():
        assert read_mark(encoded(format, 16, "RGB"), mime) == Mark(state="none")
    assert read_mark(b"nothing").problems == ("format.unknown",)
    assert read_mark(encoded(), "image/jpeg").problems == ("format.other",)


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """The address of a server, and the paths that it was asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        do_POST = do_GET

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()
        thread.join()


def test_no_manifest_is_fetched(asked: tuple[str, list[str]]) -> None:
    url, paths = asked
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="{url}/m.c2pa"/>'
        "</rdf:RDF></x:xmpmeta>"
    )
    told = encoded("JPEG", 16, "RGB", xmp=xmp.encode())
    assert read_mark(told) == Mark(state="none") and not paths
    with pytest.raises(c2pa.C2paError):
        c2pa.Reader("image/jpeg", io.BytesIO(told))  # by its defaults the library does ask
    assert paths == ["/m.c2pa"]


def test_no_authority_is_asked_about_a_certificate(asked: tuple[str, list[str]]) -> None:
    url, paths = asked
    ours = company(ocsp=f"{url}/ocsp")
    marked = Marker(ours).mark(encoded(), "image/png", CLAIM)
    assert read_mark(marked, certificates=ours.certificates).trusted and not paths
    asking = c2pa.Context(c2pa.Settings.from_dict({"version": 1, "verify": {"ocsp_fetch": True}}))
    with c2pa.Reader("image/png", io.BytesIO(marked), context=asking):
        assert paths  # where it is allowed to


@pytest.mark.parametrize("format", MIMES)
def test_hostile_bytes_cost_little_and_never_raise(format: str, marker: Marker, ours: Signer) -> None:
    marked = marker.mark(encoded(format, 8, "RGB"), MIMES[format], CLAIM)
    chance, before, start = random.Random(0), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    states = set()
    for _ in range(1000):
        data = bytearray(marked)
        for _ in range(chance.choice((1, 1, 3, 20))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.2:
            del data[chance.randrange(len(data)) :]
        mark = read_mark(bytes(data), certificates=ours.certificates)
        states.add(mark.state)
        assert mark.claim in (None, CLAIM)
    store = store_of(marked, MIMES[format])
    at = marked.index(store[:40])
    for place in range(at, at + 1200):  # strings that say they have 4 GB
        data = bytearray(marked)
        data[place : place + 5] = b"\x7a\xff\xff\xff\xff"
        assert read_mark(bytes(data), certificates=ours.certificates).state != "valid"
    assert states >= {"valid", "altered", "unreadable"}
    assert time.monotonic() - start < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def boxed(*bodies: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(body) + 4) + body for body in bodies)


@pytest.mark.parametrize(
    ("store", "reason"),
    [(b"\xff\xff\xff\xffjumb", "boxes"), (b"\0\0\0\0jumb" + b"\0" * 99, "boxes"), (boxed(b"cbor\x01"), "boxes"),
     (boxed(b"jumb" + boxed(b"brob")), "compressed"), (boxed(b"jumb" + boxed(b"cbor")), "cbor"),
     (boxed(b"jumb" + boxed(b"cbor\x01\x01")), "cbor"), (boxed(b"jumb" + boxed(b"cbor\x7a\xff\xff\xff\xff")), "cbor"),
     (boxed(b"jumb" + boxed(b"cbor\x9f\xff")), "cbor"),
     (boxed(b"jumb" + boxed(b"cbor" + b"\x81" * 99 + b"\0")), "cbor"),
     (boxed(b"jumb" + boxed(*[b"free"] * 300_000)), "items"), (b"\0" * (2**24 + 1), "size")],
)  # fmt: skip
def test_boxes_that_lie_are_not_read(store: bytes, reason: str) -> None:
    with pytest.raises(BoxError, match=reason):
        check_store(store)


def test_boxes_in_boxes_end() -> None:
    store = b"jumb"
    for _ in range(40):
        store = b"jumb" + boxed(store)
    with pytest.raises(BoxError, match="depth"):
        check_store(boxed(store))
    check_store(boxed(b"jumb" + boxed(b"json{}", b"cbor\xa1\x61a\x82\xc0\x60\xfb" + b"\0" * 8)))


def test_credentials_in_several_packets_of_a_jpeg_are_one(ours: Signer, marker: Marker) -> None:
    """As the library splits what is larger than a segment."""
    native = c2pa.Signer.from_callback(ours.sign, c2pa.C2paSigningAlg.ED25519, ours.certificates.decode())
    action = {"action": "c2pa.created", "digitalSourceType": TRAINED}
    large = {"label": "org.example.large", "data": {"text": "x" * 200_000}}
    manifest = {"assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}, large]}
    out = io.BytesIO()
    with c2pa.Builder(manifest) as builder:
        builder.sign(native, "image/jpeg", io.BytesIO(encoded("JPEG", 16, "RGB")), out)
    mark = read_mark(out.getvalue(), certificates=ours.certificates)
    assert (mark.state, mark.trusted, mark.claim, mark.problems) == ("valid", True, None, ())


def test_marks_of_older_test_certificates_are_read(tmp_path: Path) -> None:
    from datetime import UTC, datetime, timedelta

    from pipeline.marks.self_made import self_made

    marked = Marker(make_signer(SignerSettings(), tmp_path)).mark(encoded(), "image/png", CLAIM)
    self_made(tmp_path, datetime.now(UTC) + timedelta(days=3640))
    assert len(list(tmp_path.iterdir())) == 2
    assert read_mark(marked, certificates=certificates_made(tmp_path)).claim == CLAIM
