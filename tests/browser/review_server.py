"""The review page on its real server, in a process that can be killed: python -m tests.browser.review_server ROOT PORT.

ROOT is a workspace that also holds the batches (store/), what was said (review.db) and what signs.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from pipeline.adapters.ratings import Ratings, open_ratings
from pipeline.adapters.store import FolderStore
from pipeline.environment import SIGNING
from pipeline.feedback_params import Review
from pipeline.marks.signer import SignerSettings, make_signer
from pipeline.values import Batch

REPOSITORY = Path(__file__).parents[2]
RANDOM = 0.25


def ratings_in(root: Path) -> Ratings:
    return open_ratings(f"sqlite:///{root}/review.db")


def store_in(root: Path) -> FolderStore:
    return FolderStore(root / "store")


def enroll(root: Path, batch: Batch) -> None:
    from pipeline.generate.enrolling import items_of  # with torch, which the server does without

    with ratings_in(root) as ratings:
        ratings.enroll(batch.id, items_of(store_in(root), batch), RANDOM)


class Server:
    """Started, killed and started again at one address."""

    def __init__(self, root: Path) -> None:
        self._root, self._process = root, None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.browser.review_server", str(self._root), str(self.port)]
        mine = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}  # this process's
        with (self._root / "server.log").open("a") as log:
            self._process = subprocess.Popen(command, cwd=REPOSITORY, env=mine, stdout=log, stderr=log)
        for _ in range(600):
            try:
                if httpx.get(f"{self.url}/healthz", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                assert self._process.poll() is None, self.log()
                time.sleep(0.1)
        raise AssertionError(f"the server did not start: {self.log()}")

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(20)

    def log(self) -> str:
        return (self._root / "server.log").read_text()


@contextmanager
def serving(root: Path) -> Iterator[Server]:
    server = Server(root)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def main() -> None:
    import logging

    from flows.candidates import Candidates
    from pipeline.review.app import make_app, serve
    from pipeline.review.serving import Serving, secret_of
    from pipeline.review.withdrawals import withdrawer
    from tests.contract.waiting import NAME

    logging.basicConfig(level=logging.DEBUG)
    root, port = Path(sys.argv[1]), int(sys.argv[2])
    store, signer = store_in(root), make_signer(SignerSettings(), root / SIGNING)
    settings = Serving(secret=secret_of(root / "review-secret"), review=Review(quorum=20), local="owner")
    withdraw = withdrawer(lambda bucket: store, signer, signer.certificates)
    with ratings_in(root) as ratings:
        app = make_app(ratings, lambda bucket: store, settings, withdraw, models=Candidates(root, NAME))
        serve(app, "127.0.0.1", port)


if __name__ == "__main__":
    os.environ.setdefault("TZ", "UTC")
    main()
