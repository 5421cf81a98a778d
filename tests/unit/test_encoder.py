"""An encoder from an ONNX file: what it is fed, what it gives, and what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, save

from pipeline.errors import GenloopError, ParamsError
from pipeline.evaluate.encoder import MEAN, Encoder, prepared
from pipeline.evaluate.space import Sampler
from pipeline.evaluate.step import score
from pipeline.settings import Evaluate
from tests.unit.small_shards import small_shards

FLOAT = TensorProto.FLOAT


def encoder_file(path: Path, operator: str = "Identity", taken: list[str | int] | None = None) -> str:
    """Write a graph of one operator on images; returns its sha256."""
    given = helper.make_tensor_value_info("images", FLOAT, taken or ["n", 3, 8, 8])
    out = helper.make_tensor_value_info("features", FLOAT, None)
    graph = helper.make_graph([helper.make_node(operator, ["images"], ["features"])], "encoder", [given], [out])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def images(count: int, channels: int, side: int = 8) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, channels, side, side), np.uint8)


@pytest.mark.parametrize("batch", ["n", 4])
def test_features_do_not_depend_on_the_batch_they_came_in(tmp_path: Path, batch: str | int) -> None:
    path = tmp_path / "flat.onnx"
    encoder = Encoder(path, encoder_file(path, "Flatten", [batch, 3, 8, 8]))
    some = images(70, 3)
    found = encoder(some)
    assert found.shape == (70, 192) and found.dtype == np.float32
    np.testing.assert_array_equal(found, np.concatenate([encoder(some[:13]), encoder(some[13:])]))
    np.testing.assert_allclose(found, prepared(some, 8).reshape(70, -1), rtol=1e-6)


def test_maps_are_averaged_over_places(tmp_path: Path) -> None:
    path = tmp_path / "maps.onnx"
    encoder = Encoder(path, encoder_file(path))
    np.testing.assert_allclose(encoder(images(5, 3)), prepared(images(5, 3), 8).mean((2, 3)), rtol=1e-4, atol=1e-6)


def test_images_are_prepared_as_encoders_expect_them() -> None:
    white = np.full((1, 1, 16, 16), 255, np.uint8)
    normal = (1 - np.array(MEAN)) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(prepared(white, 8)[0, :, 4, 4], normal, rtol=1e-5)
    clear = np.concatenate([np.zeros((1, 3, 8, 8), np.uint8), np.zeros((1, 1, 8, 8), np.uint8)], 1)
    np.testing.assert_allclose(prepared(clear, 8)[0, :, 4, 4], normal, rtol=1e-5)  # nothing there: white
    assert prepared(images(2, 3, 16), 224).shape == (2, 3, 224, 224)


@pytest.mark.parametrize("said", ["", "0" * 64])
def test_a_file_that_is_not_the_one_named(tmp_path: Path, said: str) -> None:
    path = tmp_path / "flat.onnx"
    sha256 = encoder_file(path, "Flatten")
    with pytest.raises(ParamsError, match=sha256):
        Encoder(path, said)
    with pytest.raises(ParamsError, match="no encoder here"):
        Encoder(tmp_path / "other.onnx", sha256)


def test_what_is_no_encoder_of_images(tmp_path: Path) -> None:
    path = tmp_path / "noise.onnx"
    path.write_bytes(b"\x80\x04pickle")
    with pytest.raises(ParamsError, match="not an ONNX graph"):
        Encoder(path, hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(ParamsError, match="the graph takes"):
        Encoder(path, encoder_file(path, "Identity", ["n", 1, 8, 8]))
    broken = Encoder(path, encoder_file(path, "Log"))  # of negative numbers
    with pytest.raises(GenloopError, match="not finite"):
        broken(np.zeros((2, 3, 8, 8), np.uint8))


def test_a_scorecard_in_its_space_names_it_and_stands_in_no_column_with_others(tmp_path: Path) -> None:
    shards, path = small_shards(tmp_path / "shards"), tmp_path / "pixels.onnx"
    plain = Evaluate(classifier_steps=20, tstr_images=200)
    settings = plain.model_copy(update={"encoder": str(path), "encoder_sha256": encoder_file(path, "Flatten")})

    def sampler(labels: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.uint8]:
        members = [np.flatnonzero(shards.train_labels == label) for label in range(3)]
        rows = [members[label][seed % len(members[label])] for label, seed in zip(labels, seeds, strict=True)]
        return np.asarray(shards.train_images[rows], np.uint8)

    def card(settings: Evaluate, sampler: Sampler, cache: str = "a"):  # type: ignore[no-untyped-def]
        return score(settings, shards, sampler, "m", tmp_path / cache).scorecard

    inside, outside = card(plain, sampler), card(settings, sampler)
    assert outside.space.startswith(f"encoder pixels {settings.encoder_sha256[:8]}")
    assert inside.space != outside.space and inside.metrics["nfd"] != outside.metrics["nfd"]
    for name in ("tstr", "label_accuracy"):  # told by the classifier, whatever distances are taken in
        assert inside.metrics[name] == outside.metrics[name] and inside.floor[name] == outside.floor[name]
    assert card(settings, sampler) == card(settings, sampler, "b") == outside
    moved = tmp_path / "elsewhere.onnx"
    moved.write_bytes(path.read_bytes())
    assert card(settings.model_copy(update={"encoder": str(moved)}), sampler).metrics == outside.metrics
