"""Real servers in a temporary workspace: they start, keep objects, and leave no process behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from flows import processes, records, servers, services
from flows.doctor import diagnose
from pipeline.errors import ServiceError

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("ports")  # `up` asks for the same ones, here and in test_operator


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    services.down(tmp_path)


def carriers(workspace: Path) -> list[int]:
    """Processes that have the workspace in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if str(workspace).encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def client(workspace: Path, service: services.Service, **other: str) -> Any:
    variables = services.s3_environment(workspace, service)
    options = {
        "aws_access_key_id": variables["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": variables["AWS_SECRET_ACCESS_KEY"],
        "region_name": variables["AWS_DEFAULT_REGION"],
        "endpoint_url": variables["AWS_ENDPOINT_URL_S3"],
    }
    make: Any = boto3.client
    return make("s3", **(options | other))


def test_s3_and_prefect_start_work_and_leave_nothing(workspace: Path) -> None:
    s3, prefect = services.up(workspace, ["s3", "prefect"])
    client(workspace, s3).put_object(Bucket="genloop", Key="a/b", Body=b"content")
    assert (workspace / "var/s3/genloop/a/b").read_bytes() == b"content"
    assert httpx.get(f"{prefect.url}/api/health").json() is True
    assert (workspace / "var/prefect/prefect.db").exists()
    assert services.running(workspace) == [s3, prefect]

    assert services.down(workspace) == [s3, prefect]
    assert not carriers(workspace)
    assert services.running(workspace) == []
    for service in (s3, prefect):
        assert not Path(f"/proc/{service.pid}").exists() or not processes.exists(service.pid)


def test_credentials_are_private_and_checked(workspace: Path) -> None:
    (s3,) = services.up(workspace, ["s3"])
    path = workspace / "var/aws-credentials"
    assert path.stat().st_mode & 0o777 == 0o600
    assert services.s3_environment(workspace, s3)["AWS_SECRET_ACCESS_KEY"] in path.read_text()
    with pytest.raises(Exception, match="Signature"):
        client(workspace, s3, aws_secret_access_key="guessed").list_buckets()


def test_up_again_keeps_what_runs_and_objects_outlive_a_restart(workspace: Path) -> None:
    (first,) = services.up(workspace, ["s3"])
    assert services.up(workspace, ["s3"]) == [first]
    client(workspace, first).put_object(Bucket="genloop", Key="kept", Body=b"1")
    os.kill(first.pid, signal.SIGKILL)
    (second,) = services.up(workspace, ["s3"])
    assert second.pid != first.pid
    assert client(workspace, second).get_object(Bucket="genloop", Key="kept")["Body"].read() == b"1"


def test_a_strangers_pid_is_never_taken_for_ours(workspace: Path) -> None:
    services.up(workspace, ["s3"])
    services.down(workspace)
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        record = {
            "name": "s3",
            "url": "http://127.0.0.1:9",
            "pid": stranger.pid,
            "mark": "x" * 32,
            "owner": 0,
        }
        (workspace / "var/services.json").write_text(json.dumps([record]))
        assert services.running(workspace) == []
        assert services.down(workspace) == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_for_run_stops_only_what_it_started(workspace: Path) -> None:
    (shared,) = services.up(workspace, ["s3"])
    with services.for_run(workspace, ["s3"]) as run:
        run.wait()
        assert run["s3"] == shared
    assert services.running(workspace) == [shared]
    services.down(workspace)

    with pytest.raises(KeyError), services.for_run(workspace, ["s3"]) as run:
        run.wait()
        assert services.running(workspace) == [run["s3"]]
        assert services.down(workspace) == []  # it belongs to a run that is alive
        raise KeyError
    assert not carriers(workspace)


def test_services_of_a_killed_run_end(workspace: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from flows import services\n"
        "with services.for_run(Path(sys.argv[1]), ['s3']) as run:\n"
        "    run.wait(); print('ready', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(workspace)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        assert len(carriers(workspace)) == 2
        run.kill()
    deadline = time.monotonic() + 5
    while carriers(workspace) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not carriers(workspace)


def test_a_second_prefect_on_the_same_database_is_refused(workspace: Path) -> None:
    with services.for_run(workspace, ["prefect"]) as run:
        with pytest.raises(ServiceError, match=f"the run at work.*process {os.getpid()}.*`genloop up`") as refused:
            services.up(workspace, ["s3", "prefect"])
        assert refused.value.exit_code == 5
        assert [record.name for record in records.read(workspace)] == ["prefect"]  # nothing else was begun
        assert processes.exists(run["prefect"].pid)
    assert not carriers(workspace)


def test_a_run_takes_over_what_up_is_only_starting(workspace: Path) -> None:
    starting = services.start(workspace, "s3")  # not waited for
    with services.for_run(workspace, ["s3"]) as run:
        run.wait()
        assert run["s3"] == starting
    assert services.running(workspace) == [starting]


def test_the_records_of_a_killed_run_are_cleared(workspace: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    entry = {"name": "s3", "url": "http://127.0.0.1:9", "pid": gone.pid, "mark": "x" * 32, "owner": gone.pid}
    (workspace / "var").mkdir()
    (workspace / "var/services.json").write_text(json.dumps([entry]))
    (s3,) = services.up(workspace, ["s3"])
    assert [record.service for record in records.read(workspace)] == [s3]


def test_another_program_at_the_same_port_is_never_taken_for_ours(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where two workspaces start at once and pick the same free port."""
    stranger = ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    threading.Thread(target=stranger.serve_forever, daemon=True).start()
    try:
        monkeypatch.setattr(processes, "free_port", lambda *_, **__: stranger.server_port)
        service = services.start(workspace, "s3")
        assert servers.answers(service) and not services.running(workspace)  # something answers there
        with pytest.raises(ServiceError, match="ended before it answered"):
            services.wait_ready(workspace, service, timeout_s=10)
    finally:
        stranger.shutdown()
        stranger.server_close()


def test_prefect_starts_where_connections_linger(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `down`: the side that closed first waits a minute, and Prefect refuses such a port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()
        client.close()
    monkeypatch.setitem(servers.PORTS, "prefect", port)
    (prefect,) = services.up(workspace, ["prefect"])
    assert prefect.port != port and services.running(workspace) == [prefect]


def test_a_server_that_ends_is_told_with_its_last_line(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = [sys.executable, "-c", "raise SystemExit('no such flag')"]
    monkeypatch.setattr(servers, "command", lambda *_: failing)
    with pytest.raises(ServiceError, match="no such flag"):
        services.up(workspace, ["s3"])


def test_doctor_names_the_remedy_for_a_broken_params_file(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    began = time.monotonic()
    before = {check.name: check for check in diagnose(tmp_path)}
    assert time.monotonic() - began < 20  # 4 s on a quiet machine; one service that is waited for takes 60
    assert before["params.yaml"].state == "ok"
    assert before["s3"].state == "ok", before["s3"]
    assert before["dvc"].state == "warn"
    text = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("minutes: 1.0", "minutes: -1"))
    broken = {check.name: check for check in diagnose(tmp_path)}["params.yaml"]
    assert broken.state == "fail"
    assert "train.minutes = -1" in broken.detail
    assert broken.remedy == "mend the value and run again"


def test_doctor_asks_the_mlflow_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLOOP_MLFLOW_URI", "http://127.0.0.1:9")
    found = {check.name: check for check in diagnose(tmp_path)}["mlflow"]
    assert (found.state, "GENLOOP_MLFLOW_URI" in found.remedy) == ("fail", True)


def test_doctor_never_raises(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var/mlflow.db").write_bytes(b"not a database" * 100)
    found = {check.name: check for check in diagnose(tmp_path)}
    assert found["params.yaml"].state == "fail"
    assert found["mlflow"].state == "fail"
    assert all(check.remedy for check in found.values() if check.state != "ok")
    assert all(check.state == "fail" for check in diagnose(tmp_path / "absent") if check.name == "workspace")
