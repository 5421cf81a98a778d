"""A feature space from outside: an image encoder in an ONNX file, such as Inception-v3 or DINOv2.

ONNX holds a graph and numbers, no code, so that a file from elsewhere can be trusted to do nothing but compute.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from pipeline.errors import GenloopError, ParamsError

SIDE = 224  # where the file leaves it open
BATCH = 50
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels, as its encoders expect them
KEYS = "evaluate.encoder and evaluate.encoder_sha256"


class Encoder:
    """Images to features by a graph of one input, float32 [N, 3, S, S], whose first output is taken.

    That is [N, D], [N, tokens, D] (the first token is taken) or [N, D, h, w] (averaged over places).
    """

    def __init__(self, path: Path, sha256: str) -> None:
        """Raises ParamsError where the file is missing, is not the one that was named, or takes something else."""
        data = _read(path, sha256)
        try:
            from onnxruntime import InferenceSession, get_available_providers
        except ImportError:
            raise ParamsError(
                "an encoder needs onnxruntime", where=KEYS, remedy="pip install 'genloop[encoder]'"
            ) from None
        try:
            providers = [name for name in PROVIDERS if name in get_available_providers()]
            self._session = InferenceSession(data, providers=providers)
        except Exception as error:  # what the library raises has no base of its own
            raise ParamsError(f"not an ONNX graph that runs here: {_line(error)}", where=str(path)) from None
        inputs = self._session.get_inputs()
        shape = inputs[0].shape
        if len(inputs) != 1 or len(shape) != 4 or shape[1] != 3 or inputs[0].type != "tensor(float)":
            told = ", ".join(f"{entry.type} {entry.shape}" for entry in inputs)
            raise ParamsError(f"the graph takes {told}, not one float32 [N, 3, S, S]", where=str(path))
        self.input, self.side = inputs[0].name, shape[2] if isinstance(shape[2], int) else SIDE
        self.batch = shape[0] if isinstance(shape[0], int) else BATCH

    def __call__(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """uint8 [N, C, S, S], grey, colour or with alpha, to float32 [N, D]. Raises GenloopError if not finite."""
        found = [self._batch(images[start : start + self.batch]) for start in range(0, len(images), self.batch)]
        features = np.concatenate(found)
        if not np.isfinite(features).all():
            raise GenloopError("the encoder gives features that are not finite", where=KEYS)
        return features

    def _batch(self, images: NDArray[Any]) -> NDArray[np.float32]:
        missing = self.batch - len(images)
        whole = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)]) if missing else images
        (output, *_) = self._session.run(None, {self.input: prepared(whole, self.side)})
        if output.ndim == 3:
            output = output[:, 0]
        elif output.ndim == 4:
            output = output.mean(axis=(2, 3))
        return np.asarray(output[: len(images)].reshape(len(images), -1), np.float32)


def prepared(images: NDArray[Any], side: int) -> NDArray[np.float32]:
    """uint8 [N, C, S, S] to float32 [N, 3, side, side]: over white, as colour, resized bicubically, normalised."""
    x = torch.from_numpy(np.array(images)).float() / 255
    if x.shape[1] == 4:
        colours, alpha = x[:, :3], x[:, 3:]
        x = colours * alpha + 1 - alpha
    x = x.expand(-1, 3, -1, -1)
    if x.shape[-1] != side:
        x = F.interpolate(x, (side, side), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    found: NDArray[np.float32] = ((x - mean) / deviation).numpy()
    return found


def _read(path: Path, sha256: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError:
        raise ParamsError(
            "no encoder here", where=str(path), remedy="put the ONNX file there, or leave it empty"
        ) from None
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        named = f"not {sha256[:12]}…" if sha256 else "which is not named"
        raise ParamsError(
            f"the file's sha256 is {found}, {named}",
            where=str(path),
            remedy="if it is the right file, set evaluate.encoder_sha256 to that",
        )
    return data


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
