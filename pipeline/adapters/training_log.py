"""Curves and sample grids of a training run in MLflow while it trains, sent by a thread of its own."""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from pipeline.environment import registry_uri
from pipeline.log import say

if TYPE_CHECKING:
    from PIL import Image

    from pipeline.adapters.registry import Registry

PICTURE_EVERY_S = 20.0
PATIENCE_S = 20.0
OPEN_S = 10.0


class TrainingLog:
    """One MLflow run for each `key`: a training that goes on after a crash goes on in the same run.

    A tracking server that fails is told of once, and never stops the training. Entering waits for it, for at most
    10 s: the import of MLflow would slow down the training's first steps, by which its budget is measured.
    """

    def __init__(self, workspace: Path, key: str) -> None:
        self._workspace, self._key = workspace, key
        self._queue: Queue[tuple[str, Any, int] | None] = Queue()
        self._pictured = time.monotonic()
        self._opened = Event()
        self._thread = Thread(target=self._work, daemon=True, name="training-log")
        self.bundle = ""

    def __enter__(self) -> TrainingLog:
        self._thread.start()
        self._opened.wait(OPEN_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._queue.put(("end", self.bundle if kind is None else None, 0))
        self._queue.put(None)
        self._thread.join(PATIENCE_S)

    def metrics(self, values: dict[str, float], images_seen: int) -> None:
        self._queue.put(("metrics", values, images_seen))

    def wants_picture(self) -> bool:
        return time.monotonic() - self._pictured >= PICTURE_EVERY_S

    def picture(self, picture: Image.Image, images_seen: int) -> None:
        self._pictured = time.monotonic()
        self._queue.put(("picture", picture, images_seen))

    def _work(self) -> None:
        try:
            from pipeline.adapters.registry import Registry

            (self._workspace / "var").mkdir(exist_ok=True)
            registry = Registry(registry_uri(self._workspace), self._workspace / "var/mlartifacts")
            run = registry.training_run(self._key)
            self._opened.set()
            while (task := self._queue.get()) is not None:
                _send(registry, run, *task)
        except Exception as error:
            why = next(iter(str(error).splitlines()), type(error).__name__)
            say(f"mlflow: no curves of this training: {why[:200]}", logging.WARNING)
            self._opened.set()


def _send(registry: Registry, run: str, kind: str, content: Any, images_seen: int) -> None:
    if kind == "metrics":
        registry.log_step(run, content, images_seen)
    elif kind == "picture":
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{images_seen:012d}.png"
            content.save(path)
            registry.client.log_artifact(run, str(path), "samples")
    else:
        registry.end_training_run(run, content)
