"""Our own images are known again, also in another format or size; nobody else's are taken for them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from pipeline.alike import SIDE
from pipeline.collect.snapshot import collect
from pipeline.environment import SIGNING
from pipeline.generated import Generated, note, noted, read_generated
from pipeline.manifest import read_manifest
from pipeline.marks.credentials import Marker
from pipeline.marks.reading import Claim
from pipeline.marks.signer import SignerSettings, make_signer
from pipeline.media.image import areas_of, encode_png
from pipeline.settings import Collect
from tests.unit.test_collect import folder

BATCH = "b" * 16


def tiles() -> list[bytes]:
    """Photographs of 64 x 64, cut out of two large ones; without sky and blurred ground, where all is alike."""
    whole = np.concatenate([image[:384, :640] for image in load_sample_images().images])
    squares = whole.reshape(12, 64, 10, 64, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, 64, 64)
    return [encode_png(square) for square in squares if square.mean(0).std() > 20]


def known(root: Path, images: list[bytes]) -> Generated:
    import hashlib

    note(root / "generated", BATCH, [hashlib.sha256(data).hexdigest() for data in images], areas_of(images, SIDE))
    return read_generated(root / "generated")


def variants(data: bytes) -> dict[str, bytes]:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    large = image.resize((image.width * 2, image.height * 2), Image.Resampling.BICUBIC)
    found = {}
    for name, picture, kind, options in (
        ("jpeg", image, "JPEG", {"quality": 80}),
        ("webp", image, "WEBP", {"quality": 80}),
        ("larger", large, "PNG", {}),
        ("larger jpeg", large, "JPEG", {"quality": 80}),
    ):
        out = io.BytesIO()
        picture.save(out, kind, **options)  # type: ignore[arg-type]
        found[name] = out.getvalue()
    return found


def test_other_forms_of_a_photograph_are_known_and_its_neighbours_are_not(tmp_path: Path) -> None:
    images = tiles()
    own = known(tmp_path, images[::2])
    for name in variants(images[0]):
        some = areas_of([variants(data)[name] for data in images[::2]], SIDE)
        rows = [row for row, batch in own.like(some) if batch == BATCH]
        assert len(rows) >= 0.95 * len(some), name
    assert not list(own.like(areas_of(images[1::2], SIDE)))


def test_real_digits_are_not_taken_for_other_ones(tmp_path: Path) -> None:
    pixels = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)[:, None]
    images = list(dict.fromkeys(encode_png(image) for image in pixels))
    own = known(tmp_path, images[:900])
    assert len(list(own.like(areas_of(images[900:], SIDE)))) <= 3


def test_the_nearest_batches(tmp_path: Path) -> None:
    images = tiles()
    known(tmp_path, images[:5])
    note(tmp_path / "generated", "c" * 16, ["0" * 64], areas_of(images[7:8], SIDE))
    own = read_generated(tmp_path / "generated")
    found = own.nearest(areas_of([variants(images[7])["jpeg"]], SIDE))
    assert [batch for batch, _ in found] == ["c" * 16, BATCH] and found[0][1] <= 1 < found[1][1]


def test_a_damaged_note_is_made_again(tmp_path: Path) -> None:
    known(tmp_path, tiles()[:3])
    (tmp_path / "generated/damaged.npz").write_bytes(b"PK\3\4 not an archive")
    assert read_generated(tmp_path / "generated").names == (BATCH,)
    assert noted(tmp_path / "generated") == [BATCH]


@pytest.mark.parametrize("generated", ["reject", "keep"])
def test_what_a_source_brings_back_is_rejected_with_its_batch(tmp_path: Path, generated: str) -> None:
    images = tiles()
    known(tmp_path, images[:10])
    tree = {"a/own.png": images[0], "a/near.jpg": variants(images[1])["jpeg"], "a/real.png": images[20]}
    folder(tmp_path / "s", tree)
    settings = Collect(source="s", generated=generated)  # type: ignore[arg-type]

    def update() -> dict[str, str | None]:
        collect(
            settings,
            tmp_path,
            tmp_path / "out",
            tmp_path / "kept",
            tmp_path / "ledgers",
            generated=tmp_path / "generated",
        )
        table = read_manifest(tmp_path / "out")
        return dict(zip(table["path"].to_pylist(), table["problem"].to_pylist(), strict=True))

    why = {
        "a/own.png": f"made by this system: in batch {BATCH}",
        "a/near.jpg": f"made by this system: near-copy of an image in batch {BATCH}",
        "a/real.png": None,
    }
    assert update() == (why if generated == "reject" else dict.fromkeys(tree))


def test_an_image_that_was_there_before_stands_when_one_like_it_is_made(tmp_path: Path) -> None:
    """The generator may have learned it by heart: then the real one is the older."""
    images = tiles()
    tree = folder(tmp_path / "s", {"a/real.png": images[0], "a/other.png": images[1]})

    def update() -> list[str | None]:
        places = [tmp_path / name for name in ("out", "kept", "ledgers")]
        collect(Collect(source="s"), tmp_path, *places, generated=tmp_path / "generated")
        return [*read_manifest(tmp_path / "out")["problem"].to_pylist()]

    assert update() == [None, None]
    known(tmp_path, [variants(images[0])["jpeg"]])
    (tree / "a/real.png").touch()
    assert update() == [None, None]


def test_our_mark_is_known_also_where_its_batch_is_not_and_a_strangers_is_not_believed(tmp_path: Path) -> None:
    claim = Claim(
        batch=BATCH, item=f"{BATCH}-00000001", index=1, model="m", version=1, snapshot="s",
        made_at="2026-01-01T00:00:00Z", title="t",
    )  # fmt: skip
    ours, strangers = (
        Marker(make_signer(SignerSettings(), folder)) for folder in (tmp_path / SIGNING, tmp_path / "elsewhere")
    )
    images = tiles()
    tree = {
        "a/ours.png": ours.mark(images[0], "image/png", claim),
        "a/theirs.png": strangers.mark(images[1], "image/png", claim),
        "a/plain.png": images[2],
    }
    folder(tmp_path / "s", tree)
    places = [tmp_path / name for name in ("out", "kept", "ledgers")]
    collect(Collect(source="s"), tmp_path, *places, generated=tmp_path / "generated")
    table = read_manifest(tmp_path / "out")
    told = dict(zip(table["path"].to_pylist(), table["problem"].to_pylist(), strict=True))
    own = f"made by this system: in batch {BATCH}"
    assert told == {"a/ours.png": own, "a/theirs.png": None, "a/plain.png": None}
