"""A clock that jumps, for every process of a run: forwards and backwards, by a day and by years.

What is read is the clock of the C library; files keep the times that the kernel gives them.
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from pipeline.marks.jws import sign_json, verify_json
from pipeline.marks.keys import load_chain
from pipeline.marks.self_made import certificates_made, self_made
from pipeline.marks.signer import SignerSettings, make_signer
from pipeline.marks.trust import Untrusted
from tests.faults.loops import dvc_status, make, registered
from tests.flows.command import genloop

DAY = 86_400
YEAR = 365 * DAY
JUMPS = (DAY, -DAY, 3 * YEAR, -2 * YEAR, 0)
EVERY_S = 3.0


@dataclass(frozen=True)
class Clock:
    """environment: of processes that read it."""

    file: Path
    environment: dict[str, str]

    def ahead(self, seconds: int) -> None:
        with self.file.open("r+b") as file:
            file.write(struct.pack("=q", seconds))

    def jumping(self, work: Callable[[], Any]) -> tuple[Any, int]:
        """What the work comes to while it jumps, and how often it did."""
        done, jumps = threading.Event(), 0

        def jump() -> None:
            nonlocal jumps
            while not done.wait(EVERY_S):
                self.ahead(JUMPS[jumps % len(JUMPS)])
                jumps += 1

        thread = threading.Thread(target=jump)
        thread.start()
        try:
            return work(), jumps
        finally:
            done.set()
            thread.join()
            self.ahead(0)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    source, library, file = Path(__file__).with_name("clock.c"), tmp_path / "clock.so", tmp_path / "ahead"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    file.write_bytes(struct.pack("=q", 0))
    return Clock(file, {"LD_PRELOAD": str(library), "CLOCK_AHEAD": str(file)})


@pytest.fixture
def s3() -> Iterator[dict[str, str]]:
    """One that does not hold a request's time against its own: the embedded one, in Go, does not read this clock."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    login = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    try:
        boto3.client("s3", endpoint_url=url, **login).create_bucket(Bucket="genloop")
        yield {"GENLOOP_S3_ENDPOINT": url, "AWS_ENDPOINT_URL_S3": url, "GENLOOP_DVC_PUSH": "false"} | keys
    finally:
        server.stop()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_jumping_within_and_between_runs_loses_nothing(tmp_path: Path, clock: Clock, s3: dict[str, str]) -> None:
    workspace, there = make(tmp_path / "w"), clock.environment | s3
    done, jumps = clock.jumping(lambda: genloop(workspace, "run", "--json", **there))
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)
    assert jumps >= len(JUMPS)
    for ahead in JUMPS:
        clock.ahead(ahead)
        done = genloop(workspace, "run", "--json", **there)
        assert done.returncode == 0, done.stderr
        again = json.loads(done.stdout)
        assert set(again["up_to_date"]) == {"collect", "validate", "preprocess", "train", "evaluate"}
        assert (again["snapshot"], again["batches"]) == (first["snapshot"], first["batches"])
    clock.ahead(10 * YEAR)
    done = genloop(workspace, "clean", "--json", **there)
    assert done.returncode == 0, done.stderr
    print(f"{jumps} jumps; cleaned with a clock ten years ahead: {json.loads(done.stdout)['names']}")
    clock.ahead(0)
    (batch,) = first["batches"]
    assert genloop(workspace, "verify", batch["id"], **there).returncode == 0
    done = genloop(workspace, "run", "--json", **there)
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert (again["snapshot"], again["batches"]) == (first["snapshot"], first["batches"])
    assert again["model"]["version"] == 1 and "train" in again["up_to_date"]
    assert list(registered(workspace)[0]) == [1]
    assert dvc_status(workspace) == {}


def test_what_was_signed_while_the_clock_was_wrong_can_be_read_at_any_time_before_and_after(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    right = self_made(tmp_path, now)
    ahead = self_made(tmp_path, now + timedelta(days=4000))
    assert right != ahead
    for days in (-20_000, -400, 0, 4000):
        assert self_made(tmp_path, now + timedelta(days=days)) == ahead  # none is made anew
    signed = sign_json({"a": 1}, make_signer(SignerSettings(), tmp_path))
    for days in (-20_000, -400, 0, 4000):
        assert verify_json(signed, certificates_made(tmp_path), now + timedelta(days=days)) == {"a": 1}
    with pytest.raises(Untrusted, match="in force"):
        verify_json(signed, certificates_made(tmp_path), now + timedelta(days=8000))


def test_one_that_begins_in_the_future_is_in_nobodys_way(tmp_path: Path) -> None:
    """As earlier versions of genloop made them while the clock was ahead."""
    now = datetime.now(UTC)
    with pytest.MonkeyPatch.context() as earlier:
        earlier.setattr("pipeline.marks.self_made.START", now + timedelta(days=30))
        future = self_made(tmp_path, now + timedelta(days=31))
    used = self_made(tmp_path, now)
    assert used != future and load_chain(used, "it")[0].not_valid_before_utc <= now
    assert self_made(tmp_path, now) == used
    assert certificates_made(tmp_path).count(b"BEGIN CERTIFICATE") == 2 * 2
